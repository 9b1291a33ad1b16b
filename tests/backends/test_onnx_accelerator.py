"""The ONNX Runtime adapter: bound addresses on a real CPU session, and what it asks of sessions on a GPU.

NOT REACHED HERE: CUDA's provider, its stream and its graphs. ``test_gpu.py`` checks them where there is a
GPU.
"""

from __future__ import annotations

import stat
import threading
import types

import numpy as np
import onnxruntime
import pytest
from tests.backends.onnx_models import ROWS, WEIGHT, model

from inprocml.backends import onnx_cuda, open_backend
from inprocml.backends.accelerator import Trouble
from inprocml.backends.cuda_driver import CudaError, HostDriver
from inprocml.backends.onnx import OnnxBackend
from inprocml.backends.onnx_cuda import OnnxAccelerator, open_onnx
from inprocml.backends.onnx_providers import CPU, CUDA, TENSORRT, Wish, cache_folder, placed, providers
from inprocml.backends.staged import Staged
from inprocml.errors import BackendFailed, BackendMissing, Unsupported
from inprocml.testing import check_backend


def staged(proto=None):
    backend = OnnxBackend(proto or model("Softmax"), threads=1)
    return Staged(OnnxAccelerator(onnxruntime, backend, HostDriver(), None))


def test_it_answers_as_the_session_does():
    expected = OnnxBackend(model("Softmax"), threads=1).run({"features": ROWS})
    backend = staged()
    assert (backend.name, backend.device) == ("onnx", "cpu")
    assert backend.prepare({"features": ROWS}, 8) == (1, 2, 4, 8)
    check_backend(backend, {"features": ROWS}, expected=expected)


def test_two_batches_in_flight():
    backend = staged(model())
    first = backend.start([{"features": ROWS[:1]}, {"features": ROWS[1:]}], 3)
    second = backend.start([{"features": ROWS * 2}], 3)
    np.testing.assert_allclose(first.wait()["scores"], ROWS @ WEIGHT, rtol=1e-5)
    np.testing.assert_allclose(second.wait()["scores"], ROWS @ WEIGHT * 2, rtol=1e-5)


def test_a_closed_backend_says_so():
    backend = staged()
    backend.close()
    with pytest.raises(BackendFailed, match="closed"):
        backend.run({"features": ROWS})


class Session:
    """What a session on a GPU is asked for, on addresses of the host; it doubles."""

    def __init__(self):
        self.asked, self.threads = [], []

    def io_binding(self):
        return Binding()

    def run_with_iobinding(self, binding, options):
        self.asked.append(dict(options.entries))
        self.threads.append(threading.current_thread().name)
        binding.run()


class Binding:
    def __init__(self):
        self.inputs, self.outputs = {}, {}

    def bind_input(self, name, kind, number, element, shape, address):
        assert (kind, number) == ("cuda", 1)
        self.inputs[name] = view(element, shape, address)

    def bind_output(self, name, kind, number, element=None, shape=None, address=None):
        assert (kind, number) == ("cuda", 1)
        self.outputs[name] = None if address is None else view(element, shape, address)

    def run(self):
        self.values = []
        for name, target in self.outputs.items():
            answer = self.inputs["features"] * 2
            if target is not None:
                target[:] = answer
            self.values.append(Value(answer))
            assert name == "scores"

    def get_outputs(self):
        return self.values


class Value:
    def __init__(self, array):
        self.array = array

    def data_ptr(self):
        return self.array.ctypes.data

    def shape(self):
        return list(self.array.shape)

    def data_type(self):
        return "tensor(float)"


class Options:
    def __init__(self):
        self.entries = {}

    def add_run_config_entry(self, key, value):
        self.entries[key] = value


def view(element, shape, address):
    import ctypes

    size = int(np.prod(shape)) * np.dtype(element).itemsize
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), element).reshape(shape)


class CudaInName(HostDriver):
    kind = "cuda"


def on_gpu(*, graphs):
    session = Session()
    backend = types.SimpleNamespace(
        device="cuda:1", inputs=("features",), outputs=("scores",), session=session, close=lambda: None
    )
    runtime = types.SimpleNamespace(RunOptions=Options)
    device = OnnxAccelerator(runtime, backend, CudaInName(), "stream", number=1, graphs=graphs)
    return Staged(device), session


def test_runs_do_not_wait_and_arenas_shrink_only_until_something_is_recorded():
    backend, session = on_gpu(graphs=False)
    backend.prepare({"features": ROWS}, 2)
    assert backend.recorded == ()
    assert all(entries["disable_synchronize_execution_providers"] == "1" for entries in session.asked)
    assert session.asked[0]["memory.enable_memory_arena_shrinkage"] == "gpu:1"
    assert "gpu_graph_id" not in session.asked[0]
    assert len(set(session.threads)) == 1


def test_each_size_is_recorded_once_under_a_number_of_its_own():
    backend, session = on_gpu(graphs=True)
    backend.prepare({"features": ROWS}, 4)
    assert backend.recorded == (1, 2, 4)
    waited = [e for e in session.asked if "disable_synchronize_execution_providers" not in e]
    assert [entries["gpu_graph_id"] for entries in waited] == ["1", "2", "3"]
    after = session.asked[session.asked.index(waited[0]) :]
    assert not any("memory.enable_memory_arena_shrinkage" in entries for entries in after)
    session.asked.clear()
    assert backend.run({"features": ROWS})["scores"].tolist() == (ROWS * 2).tolist()
    assert session.asked == [{"gpu_graph_id": "1", "disable_synchronize_execution_providers": "1"}]
    wide = {"features": np.ones((2, 9), np.float32)}
    assert backend.run(wide)["scores"].tolist() == [[2.0] * 9] * 2
    assert session.asked[-1]["gpu_graph_id"] == "-1"


def test_all_runs_of_a_session_with_graphs_are_on_one_thread():
    backend, session = on_gpu(graphs=True)
    backend.prepare({"features": ROWS}, 2)
    thread = threading.Thread(target=backend.run, args=({"features": ROWS},))
    thread.start()
    thread.join()
    assert set(session.threads) == {"inprocml-graphs_0"}
    backend.close()
    assert not any(each.name == "inprocml-graphs_0" for each in threading.enumerate())


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (CudaError("cuMemAlloc_v2", 2, "CUDA_ERROR_OUT_OF_MEMORY"), Trouble.MEMORY),
        (CudaError("cuEventSynchronize", 719, "CUDA_ERROR_LAUNCH_FAILED"), Trouble.STICKY),
        (CudaError("cuEventSynchronize", 900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"), Trouble.RECORDING),
        (CudaError("cuEventRecord", 400, "CUDA_ERROR_INVALID_HANDLE"), Trouble.ORDINARY),
        (RuntimeError("Failed to allocate memory for requested buffer of size 4096"), Trouble.MEMORY),
        (RuntimeError("CUDA failure 700: an illegal memory access ; GPU=0"), Trouble.STICKY),
        (RuntimeError("CUDA failure 2: out of memory ; GPU=0"), Trouble.MEMORY),
        (RuntimeError("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED"), Trouble.MEMORY),
        (RuntimeError("Got invalid dimensions for input: features"), Trouble.ORDINARY),
    ],
)
def test_errors_are_sorted(error, trouble):
    assert on_gpu(graphs=False)[0].accelerator.trouble(error) is trouble


def test_an_output_that_numpy_does_not_know_is_unsupported(monkeypatch):
    backend, _ = on_gpu(graphs=False)
    monkeypatch.setattr(Value, "data_type", lambda self: "tensor(bfloat16)")
    with pytest.raises(Unsupported, match=r"output 'scores' .* tensor\(bfloat16\).*Cast to float"):
        backend.run({"features": ROWS})


# -- opening


def test_on_the_cpu_the_door_gives_the_plain_backend():
    for device in ("cpu", "auto"):
        backend = open_backend("onnx", model(), device=device)
        if backend.device == "cpu":
            assert isinstance(backend, OnnxBackend)


@pytest.fixture
def opened(monkeypatch):
    """What ``OnnxBackend`` is asked for when ONNX Runtime has CUDA; sessions with graphs fail on demand."""
    wishes, fails = [], []

    def plain(proto, *, wish, threads, allow_loops):
        wishes.append(wish)
        if wish.graphs and fails:
            raise BackendMissing("not all of it is on the GPU")
        return types.SimpleNamespace(device="cuda:1", inputs=("features",), outputs=("scores",), session=None)

    runtime = types.SimpleNamespace(get_available_providers=lambda: [CUDA, CPU], RunOptions=Options)
    monkeypatch.setattr(onnx_cuda, "import_runtime", lambda: runtime)
    monkeypatch.setattr(onnx_cuda, "OnnxBackend", plain)
    return wishes, fails


def driver(monkeypatch):
    class Driver(CudaInName):
        def __init__(self, number):
            assert number == 1

        def stream(self):
            return types.SimpleNamespace(handle=77)

    monkeypatch.setattr(onnx_cuda, "CudaDriver", Driver)


@pytest.mark.parametrize("recordable", [True, False])
def test_on_a_gpu_the_session_computes_on_our_stream(opened, monkeypatch, recordable):
    wishes, fails = opened
    fails += [] if recordable else [True]
    driver(monkeypatch)
    backend = open_onnx(b"model", wish=Wish("cuda:1"))
    assert isinstance(backend, Staged)
    assert backend.device == "cuda:1"
    assert [(wish.stream, wish.graphs) for wish in wishes] == [(77, True), (77, False)][: 2 - recordable]


def test_without_a_driver_to_reach_the_plain_session_serves(opened, monkeypatch):
    wishes, _ = opened

    def missing(number):
        raise BackendMissing("no driver")

    monkeypatch.setattr(onnx_cuda, "CudaDriver", missing)
    assert not isinstance(open_onnx(b"model", wish=Wish("cuda:1")), Staged)
    assert wishes == [Wish("cuda:1")]


def test_a_precision_that_cuda_does_not_offer_is_unsupported():
    with pytest.raises(Unsupported, match="'bf16' needs device='tensorrt', or the runtime torch"):
        open_onnx(b"model", wish=Wish("cuda", "bf16"))


# -- what the providers are told


def test_fp32_is_fp32_unless_something_else_was_checked():
    (cuda, options), cpu = providers({CPU, CUDA, TENSORRT}, Wish("cuda:2"))
    assert (cuda, cpu) == (CUDA, CPU)
    assert (options["device_id"], options["use_tf32"]) == ("2", "0")
    assert "user_compute_stream" not in options
    (_, options), _ = providers({CPU, CUDA}, Wish("cuda", "tf32", stream=5, graphs=True))
    assert options["use_tf32"] == options["enable_cuda_graph"] == "1"
    assert options["user_compute_stream"] == "5"
    assert providers({CPU}, Wish("auto")) == [CPU]


def test_tensorrt_keeps_engines_in_the_folder_it_is_given(tmp_path):
    (name, options), *others = providers({CPU, CUDA, TENSORRT}, Wish("tensorrt:1", "fp16", cache=tmp_path))
    assert name == TENSORRT
    assert [each if each == CPU else each[0] for each in others] == [CUDA, CPU]
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert options["trt_fp16_enable"] == "1"
    assert placed(TENSORRT, "tensorrt:1") == "tensorrt:1"
    (_, options), *_ = providers({CPU, TENSORRT}, Wish("tensorrt"))
    assert "trt_engine_cache_enable" not in options


def test_the_cache_is_its_owners_alone(tmp_path):
    bundle = tmp_path / "late"
    bundle.mkdir()
    folder = cache_folder(bundle, "sha256:" + "ab" * 32)
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert cache_folder(bundle, "sha256:" + "ab" * 32) == folder
    assert cache_folder(bundle, "sha256:" + "cd" * 32) != folder
    folder.chmod(0o770)
    assert cache_folder(bundle, "sha256:" + "ab" * 32) is None


def test_a_cache_that_is_a_link_or_cannot_be_made_is_not_used(tmp_path, caplog):
    bundle = tmp_path / "late"
    folder = cache_folder(bundle, "a")
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    assert cache_folder(bundle, "a") is None
    assert cache_folder(tmp_path / "none" / "late", "a") is None
    assert "engines are not kept" in caplog.text
