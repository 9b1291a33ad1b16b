"""The same suites on an NVIDIA GPU; without one they skip, and say so."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save
from tests.backends.onnx_models import ROWS, WEIGHT, model

from benchmarks import gpu
from inprocml.backends import open_backend
from inprocml.backends import torch as torch_backend
from inprocml.backends.nvml import usage
from inprocml.backends.onnx import OnnxBackend
from inprocml.backends.staged import Staged
from inprocml.backends.torch import TorchBackend
from inprocml.backends.torch_cuda import TorchAccelerator
from inprocml.batching import Runner
from inprocml.errors import BackendMissing
from inprocml.testing import check_backend, overlap

pytestmark = pytest.mark.gpu

needs_onnx_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="GPU TEST NOT RUN: no CUDA provider (needs onnxruntime-gpu and an NVIDIA GPU)",
)
needs_torch_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="GPU TEST NOT RUN: torch sees no CUDA device"
)
LOOSE = {"rtol": 1e-2, "atol": 1e-2}  # TF32 products keep 10 bits


@needs_onnx_cuda
@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_onnx_on_cuda(device):
    backend = OnnxBackend(model("Softmax"), device=device)
    assert backend.device == "cuda:0"
    expected = OnnxBackend(model("Softmax"), threads=1).run({"features": ROWS})
    check_backend(backend, {"features": ROWS}, expected=expected, **LOOSE)


@needs_onnx_cuda
def test_a_runner_on_cuda():
    runner = Runner(OnnxBackend(model(), device="cuda"))
    answer = runner.run({"features": ROWS}, rows=3).outputs["scores"]
    np.testing.assert_allclose(answer, ROWS @ WEIGHT, **LOOSE)
    assert runner.close(20)


@needs_torch_cuda
@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_torch_on_cuda(device, monkeypatch):
    monkeypatch.setattr(torch_backend, "_factories", {"net": lambda: torch.nn.Linear(2, 3)})
    net = torch.nn.Linear(2, 3)
    expected = {"output": net(torch.from_numpy(ROWS)).detach().numpy()}
    backend = TorchBackend("net", save(net.state_dict()), device=device)
    assert backend.device == "cuda:0"
    check_backend(backend, {"features": ROWS}, expected=expected, **LOOSE)


# -- two batches in flight


def deep(width=1024, layers=8):
    """A module that takes long enough for copies to hide behind it."""
    torch.manual_seed(2)
    parts = [part for _ in range(layers) for part in (torch.nn.Linear(width, width), torch.nn.Tanh())]
    return torch.nn.Sequential(*parts).eval()


def on_gpu(module, **options):
    accelerator = gpu.Traced(
        torch, module.to("cuda:0"), "cuda:0", inputs=("features",), outputs=("output",), **options
    )
    return Staged(accelerator)


def numbers(rows, width=1024, start=1):
    return {"features": np.random.default_rng(start).standard_normal((rows, width), np.float32)}


def answered(module, rows):
    with torch.no_grad():
        return module.cpu()(torch.from_numpy(rows["features"])).numpy()


@needs_torch_cuda
def test_the_door_gives_a_staged_backend_that_records(monkeypatch):
    monkeypatch.setattr(torch_backend, "_factories", {"net": deep})
    backend = open_backend("torch", save(deep().state_dict()), module="net", device="cuda")
    assert isinstance(backend, Staged)
    assert backend.device == "cuda:0"
    assert backend.prepare(numbers(2), 32) == (1, 2, 4, 8, 16, 32)
    assert backend.recorded == (1, 2, 4, 8, 16, 32)
    expected = {"output": answered(deep(), numbers(5))}
    check_backend(backend, numbers(5), expected=expected, rtol=1e-3, atol=1e-4)


@needs_torch_cuda
@pytest.mark.parametrize("prepared", [True, False])
def test_a_crowd_on_the_gpu_gets_its_own_answers(prepared):
    staged = on_gpu(deep())
    if prepared:
        staged.prepare(numbers(2), 64)
    questions = numbers(512)["features"]
    expected = answered(deep(), {"features": questions})
    runner, wrong = Runner(staged, name="gpu", max_batch_size=64), []

    def call(indexes):
        for index in indexes:
            answer = runner.run({"features": questions[index : index + 1]}).outputs["output"][0]
            if not np.allclose(answer, expected[index], rtol=1e-3, atol=1e-4):
                wrong.append(index)

    threads = [threading.Thread(target=call, args=(range(start, 512, 32),)) for start in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert runner.close(20)


@needs_torch_cuda
def test_copies_hide_behind_computing():
    staged = on_gpu(deep(layers=32))
    staged.prepare(numbers(2), 4096)
    whole = numbers(staged.sizes[-1])
    operations = staged.accelerator.traced(lambda: gpu.pipelined(staged, whole, 20, time.perf_counter))
    assert overlap(operations) > 0.5


@needs_torch_cuda
def test_out_of_memory_is_survived():
    class Greedy(torch.nn.Module):
        def forward(self, x):
            if len(x) > 4:
                torch.empty(1 << 45, dtype=torch.uint8, device=x.device)  # 32 TiB
            return x * 2

    staged = on_gpu(Greedy())
    rows = numbers(13)
    assert np.array_equal(staged.run(rows)["output"], rows["features"] * 2)
    assert staged.sizes[-1] <= 4
    assert staged.healthy


@needs_torch_cuda
def test_an_assertion_on_the_device_loses_it():
    """In a process of its own: nothing on CUDA works there afterwards."""
    code = """
import numpy as np, torch
from inprocml.backends.staged import Staged
from inprocml.backends.torch_cuda import TorchAccelerator
from inprocml.errors import DeviceLost
net = torch.nn.Embedding(4, 2).to("cuda:0").eval()
staged = Staged(TorchAccelerator(torch, net, "cuda:0", inputs=("ids",), outputs=("output",)))
staged.run({"ids": np.array([1, 2])})
flights = [staged.start([{"ids": np.array([9])}], 1), staged.start([{"ids": np.array([1])}], 1)]
for flight in flights:
    try:
        flight.wait()
    except DeviceLost:
        print("lost")
print(staged.healthy)
staged.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=50
    )
    assert done.stdout.split() == ["lost", "lost", "False"], done.stderr


@needs_torch_cuda
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_is_near(precision):
    staged = on_gpu(deep(), precision=precision)
    staged.prepare(numbers(2), 8)
    answer = staged.run(numbers(8))["output"]
    np.testing.assert_allclose(
        answer, answered(deep(), numbers(8)), atol=1e-4 if precision == "fp32" else 5e-2
    )


@needs_torch_cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="GPU TEST NOT RUN: there is no second GPU")
def test_the_second_gpu_by_its_number():
    module = deep().to("cuda:1")
    staged = Staged(TorchAccelerator(torch, module, "cuda:1", inputs=("features",), outputs=("output",)))
    before = torch.cuda.current_device()
    staged.prepare(numbers(2), 4)
    check_backend(staged, numbers(3), expected={"output": answered(deep(), numbers(3))}, rtol=1e-3, atol=1e-4)
    assert torch.cuda.current_device() == before


@needs_torch_cuda
def test_a_gpu_that_is_not_there_is_missing(monkeypatch):
    monkeypatch.setattr(torch_backend, "_factories", {"net": deep})
    with pytest.raises(BackendMissing, match="torch sees"):
        open_backend("torch", save(deep().state_dict()), module="net", device="cuda:99")


@needs_torch_cuda
def test_nvml_tells_of_the_gpu():
    told = usage(0)
    assert told is not None
    assert 0 < told.free <= told.whole


@needs_onnx_cuda
@pytest.mark.parametrize("operator", [None, "Softmax"])
def test_onnx_through_the_door_is_staged_and_right(operator):
    proto = model(operator) if operator else model()
    backend = open_backend("onnx", proto, device="cuda")
    assert isinstance(backend, Staged)
    backend.prepare({"features": ROWS}, 8)
    assert backend.sizes == (1, 2, 4, 8)
    assert backend.recorded == (1, 2, 4, 8)
    expected = OnnxBackend(proto, threads=1).run({"features": ROWS})
    check_backend(backend, {"features": ROWS}, expected=expected, rtol=1e-4, atol=1e-5)


@needs_onnx_cuda
def test_a_crowd_on_onnx_gets_its_own_answers():
    backend = open_backend("onnx", model(), device="cuda")
    backend.prepare({"features": ROWS}, 16)
    runner, wrong = Runner(backend, name="gpu", max_batch_size=16), []

    def call(start):
        for number in range(start, start + 50):
            row = np.array([[number, -number]], np.float32)
            answer = runner.run({"features": row}).outputs["scores"]
            if not np.allclose(answer, row @ WEIGHT, rtol=1e-4):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(100 * index,)) for index in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert runner.close(20)
