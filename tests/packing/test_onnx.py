"""ONNX files: taken in when they can serve, refused with what was found and how to export instead."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inprocml import Classes, Corrupt, PackError, Regression
from inprocml.packing import graph

WIDTH = 10


def linear(
    width=WIDTH, outputs=1, batch="N", kind=TensorProto.FLOAT, softmax=False, extra_input=False, note=None
):
    """features @ W, and softmax where asked; every trap of an input is one argument."""
    weights = np.linspace(-1, 1, width * outputs, dtype=np.float32).reshape(width, outputs)
    weights = weights.astype(helper.tensor_dtype_to_np_dtype(kind))
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"], doc_string=note)]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    inputs = [helper.make_tensor_value_info("x", kind, [batch, width])]
    if extra_input:
        inputs.append(helper.make_tensor_value_info("y", kind, [batch, 1]))
        nodes.append(helper.make_node("Identity", ["y"], ["out_y"]))
    names = ["scores", *(["probabilities"] if softmax else []), *(["out_y"] if extra_input else [])]
    made = helper.make_graph(
        nodes,
        "linear",
        inputs,
        [helper.make_tensor_value_info(name, kind, [batch, None]) for name in names],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if note:
        model.metadata_props.add(key="author", value=note)
        model.doc_string = note
    return model


def test_a_file_and_its_bytes_give_the_same_bundle(flights, pack_into, tmp_path):
    model = linear()
    onnx.save_model(model, tmp_path / "m.onnx")
    one = pack_into(tmp_path / "m.onnx", Regression())
    other = pack_into(str(tmp_path / "m.onnx"), Regression())
    third = pack_into(model.SerializeToString(), Regression())
    assert one.model == other.model == third.model
    assert (one.inputs, one.output_name) == ({"features": "x"}, "scores")
    assert [b.version for b in (one, other, third)] == ["1", "2", "3"]


def test_parity_is_measured_against_the_reference(pack_into):
    parity = pack_into(linear().SerializeToString(), Regression()).parity
    assert parity.reference == "onnx.reference"
    assert parity.rows == 8
    assert parity.distance < 1e-5


def test_what_the_reference_cannot_compute_is_said(pack_into, monkeypatch):
    import onnx.reference

    def fail(*_, **__):
        raise NotImplementedError("no such operator")

    monkeypatch.setattr(onnx.reference, "ReferenceEvaluator", fail)
    bundle = pack_into(linear().SerializeToString(), Regression())
    assert bundle.parity.distance is None
    assert bundle.parity.rows == 0
    assert "not measured" in bundle.parity.reference
    assert "Not measured" in bundle.card


def test_without_the_onnx_package_running_it_still_checks(pack_into, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    bundle = pack_into(linear().SerializeToString(), Regression())
    assert bundle.parity.distance is None
    with pytest.raises(PackError, match=r"cannot run a batch of 300.*dynamic batch axis"):
        pack_into(linear(batch=4).SerializeToString(), Regression())
    with pytest.raises(PackError, match=r"cannot run a batch of .*float32 \[batch, 10\]"):
        pack_into(linear(width=4).SerializeToString(), Regression())
    with pytest.raises(PackError, match="2 inputs"):
        pack_into(linear(extra_input=True).SerializeToString(), Regression(tensor="scores"))
    with pytest.raises(PackError, match="cannot be served"):
        pack_into(b"not a model", Regression())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch": 1}, r"float \[1, 10\]: its batch is fixed at 1.*dynamic_shapes"),
        ({"batch": 32}, r"its batch is fixed at 32"),
        ({"width": 4}, r"input 'x' of float \[\?, 4\]; .*exactly one float32 input \[batch, 10\]"),
        ({"kind": TensorProto.DOUBLE}, r"of double \[\?, 10\]"),
        ({"kind": TensorProto.FLOAT16}, r"of float16 \[\?, 10\]"),
        ({"extra_input": True}, r"2 inputs \('x', 'y'\)"),
    ],
)
def test_an_input_that_cannot_be_fed_says_what_was_found(pack_into, changes, told):
    with pytest.raises(PackError, match=told):
        pack_into(linear(**changes).SerializeToString(), Regression(tensor="scores"))


def test_a_batch_that_is_only_declared_free_is_noticed(pack_into):
    model = linear()
    model.graph.initializer.append(numpy_helper.from_array(np.array([300, WIDTH]), "sides"))
    model.graph.node.insert(0, helper.make_node("Reshape", ["x", "sides"], ["fixed"]))
    model.graph.node[1].input[0] = "fixed"
    with pytest.raises(PackError, match=r"cannot run a batch of 1 with features float32"):
        pack_into(model.SerializeToString(), Regression())


def test_several_outputs_need_a_choice(pack_into):
    model = linear(outputs=3, softmax=True).SerializeToString()
    with pytest.raises(PackError, match=r"2 outputs \('scores', 'probabilities'\).*tensor="):
        pack_into(model, Classes(["a", "b", "c"]))
    bundle = pack_into(model, Classes(["a", "b", "c"], tensor="probabilities"))
    assert bundle.output_name == "probabilities"
    logits = pack_into(model, Classes(["a", "b", "c"], tensor="scores", scores="logits"))
    assert logits.golden.outputs.shape == (16, 3)


def test_scores_and_labels_must_agree_in_number(pack_into):
    with pytest.raises(PackError, match="gives 3 scores per row, but Classes has 2 labels"):
        pack_into(linear(outputs=3).SerializeToString(), Classes(["a", "b"], scores="logits"))


def test_a_zipmap_says_how_to_export(flights, pack_into):
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(flights.features, flights.late)
    exported = to_onnx(model, flights.features[:1], options={"zipmap": True})
    with pytest.raises(PackError, match=r"is a sequence_type, not a tensor.*'zipmap': False"):
        pack_into(exported.SerializeToString(), Classes(["a", "b"]))


def test_external_data_is_refused(pack_into, tmp_path):
    onnx.save_model(
        linear(), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="w.bin"
    )
    with pytest.raises(PackError, match=r"weights in other files.*external_data=False"):
        pack_into(tmp_path / "m.onnx", Regression())


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x80\x04\x95", b"{}", b"\x08" * 100])
def test_other_bytes_are_refused(pack_into, data):
    with pytest.raises(PackError, match=r"no ONNX model|checker|inputs"):
        pack_into(data, Regression())


def test_a_missing_file_is_named(pack_into, tmp_path):
    with pytest.raises(PackError, match=r"nowhere\.onnx.*No such file"):
        pack_into(tmp_path / "nowhere.onnx", Regression())


def test_texts_about_the_author_are_left_behind(pack_into):
    note = "/home/alice/secret.py"
    bundle = pack_into(linear(note=note).SerializeToString(), Regression())
    assert note.encode() not in bundle.model
    assert bundle.parity.distance < 1e-5


def test_a_model_that_answers_nan_is_refused(pack_into):
    model = linear()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((WIDTH, 1), np.nan, np.float32), "w"))
    with pytest.raises(PackError, match="NaN or infinity"):
        pack_into(model.SerializeToString(), Regression())


def test_surgery_reaches_subgraphs():
    inner = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"], doc_string="secret")],
        "inner",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    nodes = [
        helper.make_node("Identity", ["x"], ["unused"]),
        helper.make_node("If", ["c"], ["out"], then_branch=inner, else_branch=inner),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "outer",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xc"],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("out", "unused")],
            [numpy_helper.from_array(np.ones(1, np.float32), name) for name in ("w", "dead")],
        )
    )
    graph.strip(model)
    graph.keep_output(model, "out")
    assert b"secret" not in model.SerializeToString()
    assert [node.op_type for node in model.graph.node] == ["If"]
    assert [tensor.name for tensor in model.graph.initializer] == ["w"]  # used only inside the branches
    assert not graph.has_external_data(model)
    tensor = model.graph.node[0].attribute[0].g.initializer.add(name="z", data_type=1)
    tensor.data_location = TensorProto.EXTERNAL
    assert graph.has_external_data(model)


def test_a_backend_s_refusal_becomes_a_pack_error(pack_into):
    model = linear()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(PackError) as caught:
        pack_into(model.SerializeToString(), Regression())
    assert not isinstance(caught.value, Corrupt)
