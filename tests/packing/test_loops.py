"""Models that loop: refused unless whoever packs, and then the host, allows it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import inprocml
from inprocml import Model, Numeric, PackError, Regression, Transform
from inprocml.bundle import Policy

ROWS = [{"x": float(x)} for x in range(20)]


def looping() -> bytes:
    """y = x, doubled three times."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["v", "v"], ["w"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["times", "go", "x"], ["y"], body=body)],
        "looping",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        [
            numpy_helper.from_array(np.array(3, dtype=np.int64), "times"),
            numpy_helper.from_array(np.array(True), "go"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


def pack(path, **options):
    transform = Transform({"x": Numeric()}).fit(ROWS)
    return inprocml.pack(
        path, transform=transform, model=looping(), output=Regression(), baseline=ROWS, **options
    )


def test_a_loop_is_refused_where_it_is_packed(tmp_path):
    with pytest.raises((PackError, inprocml.Untrusted), match="Loop"):
        pack(tmp_path / "m")
    assert not (tmp_path / "m" / "1").exists()


def test_a_loop_that_was_packed_is_refused_by_a_host_that_does_not_allow_it(tmp_path):
    pack(tmp_path / "m", allow_loops=True)
    with pytest.raises(inprocml.Untrusted, match=r"allow_loops=True"):
        Model(tmp_path / "m").predict({"x": 2.0})


def test_a_host_may_allow_loops(tmp_path):
    bundle = pack(tmp_path / "m", allow_loops=True)
    assert bundle.parity.distance == 0.0, "the reference ran it too"
    with Model(tmp_path / "m", policy=Policy(allow_loops=True)) as model:
        assert model.predict({"x": 2.0}).value == 16.0
