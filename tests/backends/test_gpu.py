"""The same suites on an NVIDIA GPU; without one they skip, and say so."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save
from tests.backends.onnx_models import ROWS, WEIGHT, model

from inprocml.backends import torch as torch_backend
from inprocml.backends.onnx import OnnxBackend
from inprocml.backends.torch import TorchBackend
from inprocml.batching import Runner
from inprocml.testing import check_backend

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
