"""Models that want more than to compute (T1-T4, T6, T7, T13): refused before a runtime sees them."""

from __future__ import annotations

import io
import json
import marshal
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tests.backends.onnx_models import ROWS, WEIGHT, model, serialize
from tests.bundle.kit import forge

from inprocml import Bundle, BundleError, Corrupt, Unsupported, Untrusted
from inprocml.backends import open_backend
from inprocml.backends.audit import audit_model
from inprocml.backends.onnx import OnnxBackend
from inprocml.backends.torch import register

NODE = helper.make_node
HUGE = 2**40


class Payload:
    def __reduce__(self):
        return (os.mkdir, (os.environ["INPROCML_TRACE"],))


@pytest.fixture
def trace(tmp_path, monkeypatch):
    monkeypatch.setenv("INPROCML_TRACE", str(tmp_path / "executed"))
    yield
    assert not (tmp_path / "executed").exists()


# --- T1, T2: pickles, and what is one inside ------------------------------------------------------------


def by_joblib():
    import joblib

    out = io.BytesIO()
    joblib.dump(Payload(), out)
    return out.getvalue()


def by_numpy():
    out = io.BytesIO()
    np.save(out, np.array([Payload()], object), allow_pickle=True)
    return out.getvalue()


def by_torch():
    import torch

    out = io.BytesIO()
    torch.save({"w": Payload()}, out)
    return out.getvalue()


def by_torchscript():
    import torch

    out = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 1)), out)
    return out.getvalue()


def by_export():
    """A ``.pt2`` as ``torch.export`` writes it, in which sample inputs are a pickle, run by its loader."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data/sample_inputs/model.pt", by_torch())
        archive.writestr("archive/models/model.json", "{}")
    return out.getvalue()


COSTUMES = {
    **{f"pickle {one}": lambda one=one: pickle.dumps(Payload(), protocol=one) for one in range(6)},
    "joblib": by_joblib,
    "npy of objects": by_numpy,
    "marshal": lambda: marshal.dumps(compile("import os; os.mkdir('x')", "x", "exec")),
    "torch.save": by_torch,
    "TorchScript": by_torchscript,
    "pt2": by_export,
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("costume", COSTUMES)
def test_t1_t2_a_pickle_in_any_costume_is_no_model(store, trace, costume, monkeypatch):
    content = COSTUMES[costume]()
    import torch

    def never(*_arguments, **_options):
        raise AssertionError("torch was asked to load it")

    for name in ("load", "jit.load", "export.load"):
        monkeypatch.setattr(f"torch.{name}", never)
    register("attacked", lambda: torch.nn.Linear(2, 1))
    for runtime, module in (("onnx", None), ("numpy", None), ("torch", "attacked")):
        with pytest.raises((Corrupt, Untrusted, Unsupported)):
            open_backend(runtime, content, module=module)
    for name in ("model_onnx", "transform_json", "golden_json", "baseline_json"):
        forge(store / "1", **{name: content})
        with pytest.raises(BundleError):
            audit_model(Bundle.open(store / "1").model)


def weights(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(dtype="F32", shape=(1, 2), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HOSTILE_WEIGHTS = {
    "a pickle behind the tensors": weights({"weight": entry()}, b"\0" * 8 + pickle.dumps([1])),
    "a hole": weights({"weight": entry(), "bias": entry(shape=[1], offsets=[12, 16])}, b"\0" * 16),
    "an overlap": weights({"weight": entry(), "bias": entry(shape=[1], offsets=[4, 8])}, b"\0" * 8),
    "a shape of terabytes": weights({"weight": entry(shape=[HUGE, HUGE])}, b"\0" * 8),
    "a product that overflows": weights({"weight": entry(shape=[2**63, 2])}, b"\0" * 8),
    "a header longer than the file": struct.pack("<Q", 2**62) + b"{}",
    "a header over its cap": struct.pack("<Q", 200 << 20) + b"{",
    "no JSON": weights(b"\x80\x04K\x01."),
    "an unknown type": weights({"weight": entry(dtype="PICKLE")}, b"\0" * 8),
    "nothing": b"",
}


@pytest.mark.parametrize("how", HOSTILE_WEIGHTS)
def test_t6_weights_are_what_their_header_says(how):
    import torch

    register("attacked", lambda: torch.nn.Linear(2, 1))
    with pytest.raises(Corrupt):
        open_backend("torch", HOSTILE_WEIGHTS[how], module="attacked")


# --- T3: code -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["com.example", "ai.onnx.contrib", "trt.plugins", "org.pytorch.aten"])
def test_t3_operators_that_a_library_would_bring_are_unsupported(domain):
    with pytest.raises(Unsupported, match=rf"operator set '{domain}'.*com.microsoft"):
        open_backend("onnx", model("Mine", domain=domain))


@pytest.mark.parametrize("operator", ["EPContext", "PythonOp"])
def test_t3_compiled_code_is_untrusted_even_where_loops_are_allowed(operator):
    with pytest.raises(Untrusted, match=operator):
        open_backend("onnx", model(operator, domain="com.microsoft"), allow_loops=True)


def test_t3_a_shared_library_in_the_folder_or_as_the_model_is_refused(store):
    elf = b"\x7fELF\x02\x01\x01" + b"\0" * 200
    with pytest.raises(BundleError):
        open_backend("onnx", elf)
    (store / "1" / "ops.so").write_bytes(elf)
    with pytest.raises(Corrupt, match=r"'ops\.so' not in the manifest"):
        Bundle.open(store / "1")


def test_t3_functions_of_the_models_own_are_unsupported():
    """Thirty of them, each calling the next twice, are a billion nodes once they are inlined."""
    made = ModelProto.FromString(model())
    twice = [NODE("F1", ["a"], ["b"], domain="ai.onnx"), NODE("F1", ["b"], ["c"], domain="ai.onnx")]
    made.functions.append(helper.make_function("ai.onnx", "F0", ["a"], ["c"], twice, []))
    with pytest.raises(Unsupported, match="inline_local_functions"):
        open_backend("onnx", made.SerializeToString())


# --- T4: files outside ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "weights.bin",
        "../secret.bin",
        "/etc/passwd",
        "/proc/self/environ",
        "*/_ORT_MEM_ADDR_/*",
        "link",
        "hard",
    ],
)
@pytest.mark.parametrize("runtime", ["onnx", "numpy"])
def test_t4_every_path_to_a_file_outside_is_refused(tmp_path, monkeypatch, location, runtime):
    """Whether the file is there, and is a link or not: the path is never looked at."""
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    for name in ("weights.bin", "../secret.bin"):
        (tmp_path / "inner" / name).write_bytes(WEIGHT.tobytes())
    (tmp_path / "inner" / "link").symlink_to("../secret.bin")
    os.link("../secret.bin", "hard")
    made = ModelProto.FromString(model(external=True))
    made.graph.initializer[0].external_data[0].value = location
    with pytest.raises(Untrusted, match="external data"):
        open_backend(runtime, made.SerializeToString())


# --- T6: bombs ------------------------------------------------------------------------------------------


def whole(name, *numbers):
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def summed(nodes, weights):
    """A model that adds the sum of tensor ``c`` to its input."""
    last = [NODE("ReduceSum", ["c"], ["r"], keepdims=0), NODE("Cast", ["r"], ["f"], to=1)]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 2])]
    return serialize([*nodes, *last, NODE("Add", ["features", "f"], ["scores"])], weights, outputs=outputs)


ONE = numpy_helper.from_array(np.ones(1, np.float32), "one")
BOMBS = {
    "ConstantOfShape": summed([NODE("ConstantOfShape", ["s"], ["c"])], [whole("s", HUGE)]),
    "two sides": summed([NODE("ConstantOfShape", ["s"], ["c"])], [whole("s", 2**20, 2**20)]),
    "a constant node": summed(
        [NODE("Constant", [], ["s"], value=whole("", HUGE)), NODE("ConstantOfShape", ["s"], ["c"])], []
    ),
    "value_ints": summed(
        [NODE("Constant", [], ["s"], value_ints=[HUGE]), NODE("ConstantOfShape", ["s"], ["c"])], []
    ),
    "Expand": summed([NODE("Expand", ["one", "s"], ["c"])], [whole("s", HUGE), ONE]),
    "Tile": summed([NODE("Tile", ["one", "s"], ["c"])], [whole("s", HUGE), ONE]),
    "Pad": summed([NODE("Pad", ["one", "s"], ["c"])], [whole("s", 0, HUGE), ONE]),
    "Range": summed(
        [NODE("Range", ["a", "b", "d"], ["c"])],
        [numpy_helper.from_array(np.array(x, np.int64), n) for n, x in (("a", 0), ("b", HUGE), ("d", 1))],
    ),
    "RandomNormal": summed([NODE("RandomNormal", [], ["c"], shape=[HUGE])], []),
    "OneHot": summed(
        [NODE("OneHot", ["i", "d", "v"], ["c"])], [whole("i", 1), whole("d", HUGE), whole("v", 0, 1)]
    ),
    "many small": summed(
        [NODE("ConstantOfShape", ["s"], [f"c{one}"]) for one in range(99)]
        + [NODE("ConstantOfShape", ["s"], ["c"])],
        [whole("s", 2**20)],
    ),
}


@pytest.mark.parametrize("how", BOMBS)
def test_t6_tensors_out_of_nothing_are_refused_beforehand(how):
    with pytest.raises(Untrusted, match="out of nothing"):
        open_backend("onnx", BOMBS[how], allow_loops=True)


def tensor(**members):
    made = TensorProto(name="w", data_type=1, dims=[4], raw_data=b"\0" * 16)
    for name, value in members.items():
        made.ClearField(name)
        if value is not None:
            getattr(made, name).extend(value) if isinstance(value, list) else setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    "hollow",
    [
        tensor(dims=[HUGE]),
        tensor(dims=[2**62, 2**62]),
        tensor(dims=[-1]),
        tensor(dims=[1] * 65),
        tensor(raw_data=None),
        tensor(raw_data=b"\0" * 17),
        tensor(raw_data=None, float_data=[0.0] * 3),
        tensor(raw_data=None, data_type=7, int64_data=[1 << 40] * 3),
        tensor(raw_data=None, data_type=8, string_data=[b"abc"] * 3),
        tensor(data_type=8),
        tensor(data_type=22, raw_data=b"\0"),
    ],
    ids=lambda made: str(made).replace("\n", " ")[:40],
)
def test_t6_a_shape_that_its_bytes_do_not_fill_is_corrupt(hollow):
    with pytest.raises(Corrupt, match=r"tensor of the ONNX model"):
        open_backend("onnx", serialize([NODE("Identity", ["features"], ["scores"])], [hollow]))


def test_t6_every_type_of_number_as_onnx_writes_it_passes():
    for kind in (*range(1, 8), *range(9, 15), 16, 17, 18, 19, 20, 21, 22, 23):
        for raw in (False, True):
            if raw and kind == 14:
                continue
            values = b"\1" * ((helper.tensor_dtype_to_np_dtype(kind).itemsize * 3) if kind < 17 else 3)
            values = b"\1\1" if kind in {21, 22, 23} else values
            made = helper.make_tensor("w", kind, [3], values if raw else [1, 0, 1], raw=raw)
            audit_model(serialize([NODE("Identity", ["features"], ["scores"])], [made]))


def test_t6_a_sparse_tensor_is_not_unfolded():
    values = numpy_helper.from_array(np.ones(1, np.float32), "values")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64), "at"), [HUGE])
    made = ModelProto.FromString(model())
    made.graph.sparse_initializer.append(sparse)
    with pytest.raises(Untrusted, match="sparse"):
        open_backend("onnx", made.SerializeToString())


CHILD = """
import resource, sys
from inprocml.backends.onnx import OnnxBackend, import_runtime
from inprocml.errors import InprocmlError
{before}
import_runtime()
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (700 << 20),) * 2)
try:
    OnnxBackend(sys.stdin.buffer.read(), threads=1)
    print("opened")
except InprocmlError as refused:
    print(type(refused).__name__, refused, repr(refused.__cause__))
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
print(int(peak.split()[1]) >> 10, file=sys.stderr)
"""
NO_AUDIT = """
import inprocml.backends.onnx as there
from inprocml.backends.audit import Audited
there.audit_model = lambda *_arguments, **_options: Audited(8, (), 1, False)
there._fold_limit = lambda *_arguments: 1 << 40
"""


def in_a_child(content, before=""):
    script = CHILD.format(before=before)
    return subprocess.run(
        [sys.executable, "-c", script], input=content, capture_output=True, timeout=50, check=False
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_t6_a_derived_shape_is_not_filled_at_load():
    """512 MiB from arithmetic on shapes: the audit cannot know, and the runtime computes it when it opens."""
    nodes = [NODE("Mul", ["s", "k"], ["t"]), NODE("ConstantOfShape", ["t"], ["c"])]
    bomb = summed(nodes, [whole("s", 2**23), whole("k", 16)])
    audit_model(bomb)
    found = in_a_child(bomb)
    assert b"opened" in found.stdout
    assert int(found.stderr.split()[-1]) < 300
    bare = in_a_child(bomb, NO_AUDIT)  # what would happen without the limit
    assert int(bare.stderr.split()[-1]) > 300


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_t6_a_written_shape_is_refused_with_no_memory_spent():
    found = in_a_child(BOMBS["Expand"])
    assert found.stdout.startswith(b"Untrusted")
    assert int(found.stderr.split()[-1]) < 300


# --- T7: graphs that never end ----------------------------------------------------------------------------


def loop():
    one = [helper.make_tensor_value_info("i", TensorProto.INT64, [])]
    one += [helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    body = helper.make_graph(
        [NODE("Identity", ["c"], ["again"])],
        "body",
        one,
        [helper.make_tensor_value_info("again", TensorProto.BOOL, [])],
    )
    return NODE("Loop", ["n", ""], [], body=body)


def branches():
    def graph(name):
        out = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
        return helper.make_graph([NODE("Relu", ["product"], ["b"])], name, [], [out])

    weights = [numpy_helper.from_array(WEIGHT, "weight"), numpy_helper.from_array(np.array(True), "yes")]
    nodes = [NODE("MatMul", ["features", "weight"], ["product"])]
    nodes += [NODE("If", ["yes"], ["scores"], then_branch=graph("then"), else_branch=graph("else"))]
    return serialize(nodes, weights)


def test_t7_loops_are_the_hosts_to_allow():
    endless = serialize([loop(), NODE("Identity", ["features"], ["scores"])], [whole("n", 2**62)])
    for content in (endless, branches()):
        for runtime in ("onnx", "numpy"):
            with pytest.raises(Untrusted, match="allow_loops"):
                open_backend(runtime, content)
        audit_model(content, allow_loops=True)
    allowed = OnnxBackend(branches(), threads=1, allow_loops=True).run({"features": ROWS})
    np.testing.assert_array_equal(allowed["scores"], np.maximum(ROWS @ WEIGHT, 0))


def test_t7_any_node_that_carries_a_graph_counts_whatever_its_name():
    graph = helper.make_graph([], "g", [], [])
    with pytest.raises(Untrusted, match="allow_loops"):
        audit_model(serialize([NODE("NewKindOfLoop", [], [], body=graph)]))


# --- T13: versions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("newer", "told"),
    [
        ({"opset": 99}, r"operator set ai\.onnx 99.*up to \d+"),
        ({"ir_version": 99}, r"IR version 99.*up to \d+"),
    ],
)
def test_t13_versions_beyond_the_runtimes_are_named_before_it_sees_the_model(newer, told, monkeypatch):
    import onnxruntime

    content, seen, real = model(**newer), [], onnxruntime.InferenceSession
    spy = lambda given, *more, **options: (seen.append(given), real(given, *more, **options))[1]
    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    with pytest.raises(Unsupported, match=told):
        open_backend("onnx", content)
    assert content not in seen


def test_t13_a_format_or_kind_of_tomorrow_is_unsupported(store):
    folder = store / "1"
    forge(folder, lambda manifest: manifest.update(format_version=99))
    with pytest.raises(Unsupported, match="99"):
        Bundle.open(folder)
