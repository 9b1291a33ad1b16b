"""ONNX Runtime: the right answer, nothing printed, every bad model or installation refused by name."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from tests.backends.onnx_models import ROWS, WEIGHT, model, serialize, zipmap

from inprocml.backends import onnx as onnx_backend
from inprocml.backends import open_backend
from inprocml.backends.numpy import NumpyBackend
from inprocml.backends.onnx import OnnxBackend
from inprocml.errors import BackendFailed, BackendMissing, BundleError, Corrupt, Unsupported, Untrusted
from inprocml.protocols import Backend
from inprocml.testing import check_backend

EXPECTED = {"scores": ROWS @ WEIGHT}


def test_it_keeps_the_protocol():
    check_backend(OnnxBackend(model(), threads=1), {"features": ROWS}, expected=EXPECTED)


def test_the_numpy_reference_keeps_the_protocol():
    check_backend(NumpyBackend(model()), {"features": ROWS}, expected=EXPECTED)


def test_the_reference_agrees_on_every_operator_used_here():
    for op in ("Relu", "Sigmoid", "Softmax", "Tanh"):
        fast = OnnxBackend(model(op), threads=1).run({"features": ROWS})
        slow = NumpyBackend(model(op)).run({"features": ROWS})
        np.testing.assert_allclose(fast["scores"], slow["scores"], rtol=1e-5, atol=1e-6)


def test_it_says_what_it_is():
    backend = OnnxBackend(model(), threads=1)
    assert (backend.name, backend.device) == ("onnx", "cpu")
    assert (backend.inputs, backend.outputs) == (("features",), ("scores",))
    reference: Backend = NumpyBackend(model())
    assert (reference.name, reference.device) == ("numpy", "cpu")
    assert (reference.inputs, reference.outputs) == (("features",), ("scores",))


def test_auto_takes_what_is_there_and_says_so():
    backend = OnnxBackend(model(), device="auto", threads=1)
    assert backend.device == ("cuda:0" if _cuda() else "cpu")


def test_sessions_are_modest_guests(monkeypatch):
    seen, rest, locked = [], [], []
    real = onnxruntime.InferenceSession

    def spy(*arguments, **options):
        seen.append(arguments[1])
        rest.append(options)
        locked.append(onnx_backend._creating.locked())
        return real(*arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    monkeypatch.setattr(onnx_backend, "thread_budget", lambda: 3)
    OnnxBackend(model())
    OnnxBackend(model(), threads=2)
    assert [options.intra_op_num_threads for options in seen] == [3, 2]
    assert [options.inter_op_num_threads for options in seen] == [1, 1]
    assert {options.get_session_config_entry("session.intra_op.allow_spinning") for options in seen} == {"0"}
    assert {options.log_severity_level for options in seen} == {4}
    assert [options["enable_fallback"] for options in rest] == [0, 0]  # it prints, and changes the device
    assert locked == [True, True]
    assert {options.execution_mode for options in seen} == {onnxruntime.ExecutionMode.ORT_SEQUENTIAL}


@pytest.mark.parametrize("backend", [OnnxBackend, NumpyBackend])
@pytest.mark.parametrize("damage", ["empty", "junk", "truncated"])
def test_malformed_bytes_are_corrupt(backend, damage):
    content = {"empty": b"", "junk": b"junk" * 100, "truncated": model()[:-20]}[damage]
    with pytest.raises(Corrupt, match=r"pack it again|0 bytes"):
        backend(content)


@pytest.mark.parametrize("backend", [OnnxBackend, NumpyBackend])
def test_tensors_in_other_files_are_refused_even_from_bytes(backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(WEIGHT.tobytes())  # there to be read, if anybody would
    with pytest.raises(Untrusted, match="external data"):
        backend(model(external=True))


@pytest.mark.parametrize("backend", [OnnxBackend, NumpyBackend])
@pytest.mark.parametrize(
    "newer",
    [{"opset": 99}, {"ir_version": 99}, {"op": "NoSuchOperator"}, {"op": "Mine", "domain": "com.example"}],
    ids=str,
)
def test_what_only_a_newer_or_other_runtime_could_run_is_unsupported(backend, newer):
    with pytest.raises(Unsupported):
        backend(model(**newer))


def test_an_invalid_graph_is_corrupt():
    dangling = serialize([helper.make_node("Relu", ["nowhere"], ["scores"])])
    for backend in (OnnxBackend, NumpyBackend):
        with pytest.raises(Corrupt):
            backend(dangling)


def test_ort_format_is_unsupported():
    with pytest.raises(Unsupported, match="ONNX Runtime's own format"):
        OnnxBackend(b"\x00\x00\x00\x00ORTM" + b"\x00" * 64)


def test_an_output_that_is_no_tensor_is_unsupported_by_name():
    with pytest.raises(Unsupported, match=r"'output_probability'.*zipmap"):
        OnnxBackend(zipmap(), threads=1)


def test_a_closed_backend_says_so():
    for backend in (OnnxBackend(model(), threads=1), NumpyBackend(model())):
        backend.close()
        with pytest.raises(BackendFailed, match="closed"):
            backend.run({"features": ROWS})


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="device"):
        OnnxBackend(model(), device="gpu")
    with pytest.raises(ValueError, match="threads"):
        OnnxBackend(model(), threads=0)


def _cuda():
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.mark.skipif(_cuda(), reason="this onnxruntime has CUDA: see test_gpu.py")
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_gpu_asked_for_and_not_there_is_missing_with_the_remedy(device):
    with pytest.raises(BackendMissing, match=rf"device='{device}'.*nvidia-smi.*inprocml\[gpu\]"):
        OnnxBackend(model(), device=device)


def test_a_gpu_session_that_runs_on_the_cpu_is_refused(monkeypatch):
    """As the GPU wheel does without a GPU: CUDA is listed, asked for, and silently not used."""
    real = onnxruntime.InferenceSession

    def falls_back(content, options, **rest):
        return real(content, options, providers=["CPUExecutionProvider"])

    listed = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)
    for device in ("cuda", "tensorrt"):
        with pytest.raises(BackendMissing, match="would run on the CPU"):
            OnnxBackend(model(), device=device)
    assert OnnxBackend(model(), device="auto").device == "cpu"


def test_both_wheels_are_refused_with_the_exact_repair(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: name)
    with pytest.raises(BackendMissing) as caught:
        OnnxBackend(model())
    assert "pip uninstall --yes onnxruntime onnxruntime-gpu\n" in str(caught.value)
    assert "pip install 'inprocml[gpu]'" in str(caught.value)


def test_no_wheel_is_missing_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendMissing, match=r"pip install 'inprocml\[cpu\]'"):
        OnnxBackend(model())
    monkeypatch.setitem(sys.modules, "onnx.reference", None)
    with pytest.raises(BackendMissing, match=r"pip install 'inprocml\[reference\]'"):
        NumpyBackend(model())


def test_a_fresh_process_starts_no_telemetry_and_prints_nothing():
    code = """
    import os, sys
    sys.path.insert(0, sys.argv[1])
    import numpy as np
    from tests.backends.onnx_models import ROWS, model
    from inprocml.backends.onnx import OnnxBackend
    from inprocml.errors import InprocmlError
    assert "onnxruntime" not in sys.modules
    backend = OnnxBackend(model(), threads=1, device="auto")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    for bad in (model("NoSuchOperator"), b"junk", model(external=True)):
        for device in ("cpu", "cuda", "tensorrt", "auto"):
            try:
                OnnxBackend(bad, device=device)
            except InprocmlError:
                pass
            else:
                raise SystemExit("a bad model was opened")
    for wrong in ({}, {"features": ROWS.astype(np.float64)}, {"features": ROWS[:, :1]}):
        try:
            backend.run(wrong)
        except Exception:
            pass
    if not os.fork():
        sys.exit(0)  # with telemetry on, this exit hangs for ever
    _, status = os.wait()
    sys.exit(os.waitstatus_to_exitcode(status))
    """
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore::DeprecationWarning",
            "-c",
            textwrap.dedent(code),
            str(Path(__file__).parents[2]),
        ],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_hosts_choice_about_telemetry_stands(monkeypatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    OnnxBackend(model(), threads=1)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


def test_open_backend_knows_a_closed_table_of_runtimes():
    assert isinstance(open_backend("onnx", model(), threads=1), OnnxBackend)
    assert isinstance(open_backend("numpy", model()), NumpyBackend)
    with pytest.raises(Unsupported, match=r"'os\.system' is unknown.*onnx, torch, numpy"):
        open_backend("os.system", model())
    with pytest.raises(ValueError, match="module="):
        open_backend("torch", b"")
    with pytest.raises(ValueError, match="tensorrt"):
        open_backend("torch", b"", module="net", device="tensorrt")
    with pytest.raises(ValueError, match="cuda"):
        open_backend("numpy", model(), device="cuda")


# --- what an error keeps alive ------------------------------------------------------------------------


# A session that the garbage collector frees in a forked child hangs there: nothing may be left to it.


@pytest.mark.parametrize(
    "content", [zipmap, lambda: model("NoSuchOperator"), lambda: model(opset=999), lambda: b"\x08\x08"]
)
def test_a_failed_load_keeps_no_session(content, monkeypatch):
    made = weakref.WeakSet()
    real = onnxruntime.InferenceSession.__init__

    def watched(self, *arguments, **options):
        made.add(self)
        real(self, *arguments, **options)

    monkeypatch.setattr(onnxruntime.InferenceSession, "__init__", watched)
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(BundleError) as caught:
            OnnxBackend(content(), threads=1)
        assert caught.value is not None  # and its traceback
        assert not made
    finally:
        gc.enable()


def test_an_error_of_a_run_keeps_no_closed_session():
    backend = OnnxBackend(model(), threads=1)
    watch = weakref.ref(backend._session)
    with pytest.raises(Exception) as caught:
        backend.run({"features": np.ones((1, 7), np.float32)})
    backend.close()
    assert caught.value is not None  # and its traceback
    assert watch() is None
