"""A registered torch module with safetensors weights: strict, quiet, and no pickle anywhere."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save

from inprocml.backends import open_backend
from inprocml.backends import torch as torch_backend
from inprocml.backends.torch import TorchBackend, register, registered
from inprocml.errors import BackendFailed, BackendMissing, Corrupt
from inprocml.testing import check_backend

ROWS = np.array([[1.0, 2.0], [-3.0, 0.5], [0.0, 1.0]], np.float32)


def make_net():
    return torch.nn.Sequential(
        torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(4, 3)
    )


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """A registry of the test's own."""
    monkeypatch.setattr(torch_backend, "_factories", {})
    register("net", make_net)


@pytest.fixture
def net():
    torch.manual_seed(3)
    return make_net().eval()


def test_it_keeps_the_protocol(net):
    with torch.no_grad():
        expected = {"scores": net(torch.from_numpy(ROWS)).numpy()}
    backend = open_backend(
        "torch", save(net.state_dict()), module="net", input_name="x", output_name="scores"
    )
    assert isinstance(backend, TorchBackend)
    assert (backend.name, backend.device) == ("torch", "cpu")
    assert (backend.inputs, backend.outputs) == (("x",), ("scores",))
    check_backend(backend, {"x": ROWS}, expected=expected)


def test_dropout_is_off_and_no_gradient_is_kept(net):
    backend = TorchBackend("net", save(net.train().state_dict()))
    first, second = (backend.run({"features": ROWS})["output"] for _ in range(2))
    assert first.tolist() == second.tolist()
    assert not backend._module.training


def test_read_only_features_are_no_reason_to_warn(net):
    frozen = ROWS.copy()
    frozen.flags.writeable = False
    TorchBackend("net", save(net.state_dict())).run({"features": frozen})  # a warning would fail here


def damaged(net, damage):
    state = dict(net.state_dict())
    if damage == "missing":
        del state["0.weight"]
    elif damage == "unexpected":
        state["9.weight"] = torch.ones(1)
    elif damage == "shape":
        state["0.weight"] = torch.ones(4, 3)
    elif damage == "dtype":
        state["0.weight"] = state["0.weight"].half()
    return save(state)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("missing", "missing 0.weight"),
        ("unexpected", "unexpected 9.weight"),
        ("shape", r"0.weight has shape \(4, 3\), not \(4, 2\)"),
        ("dtype", "0.weight is torch.float16, not torch.float32"),
    ],
)
def test_weights_that_do_not_fit_are_named(net, damage, complaint):
    with pytest.raises(Corrupt, match=complaint):
        TorchBackend("net", damaged(net, damage))


@pytest.mark.parametrize("content", [b"", b"junk" * 10, b"\xff" * 64])
def test_malformed_weights_are_corrupt(content):
    with pytest.raises(Corrupt, match="not a safetensors file"):
        TorchBackend("net", content)


def test_a_pickle_is_not_read(net):
    opened = []

    class Trap:
        def __reduce__(self):
            return (opened.append, (1,))

    stream = io.BytesIO()
    torch.save({"0.weight": Trap()}, stream)
    with pytest.raises(Corrupt):
        TorchBackend("net", stream.getvalue())
    assert opened == []


def test_tied_weights_are_stored_once():
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.up = torch.nn.Linear(2, 2, bias=False)
            self.down = torch.nn.Linear(2, 2, bias=False)
            self.down.weight = self.up.weight

        def forward(self, x):
            return self.down(self.up(x))

    register("tied", Tied)
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    answer = TorchBackend("tied", save({"up.weight": weight})).run({"features": ROWS})["output"]
    np.testing.assert_allclose(answer, ROWS @ weight.numpy().T @ weight.numpy().T, rtol=1e-5)
    with pytest.raises(Corrupt, match=r"missing down\.weight"):
        TorchBackend("tied", save({}))


def test_an_unregistered_name_says_what_to_call():
    with pytest.raises(
        BackendMissing, match=r"'other' \(registered: net\); call .*register\('other', factory\)"
    ):
        TorchBackend("other", b"")
    assert registered("net") is make_net


def test_half_precision_answers_come_back_as_numbers_numpy_knows():
    class Half(torch.nn.Module):
        def forward(self, x):
            return x.bfloat16()

    register("half", Half)
    assert TorchBackend("half", save({})).run({"features": ROWS})["output"].dtype == np.float32


def test_a_module_that_returns_no_tensor_is_told_so():
    class Pair(torch.nn.Module):
        def forward(self, x):
            return x, x

    register("pair", Pair)
    with pytest.raises(BackendFailed, match="returned tuple"):
        TorchBackend("pair", save({})).run({"features": ROWS})


def test_threads_are_set_once(net, monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    monkeypatch.setattr(torch_backend, "_configured", {})
    TorchBackend("net", save(net.state_dict()), threads=2)
    TorchBackend("net", save(net.state_dict()), threads=1)
    assert calls == [2]
    with pytest.raises(ValueError, match="threads"):
        TorchBackend("net", save(net.state_dict()), threads=0)


def test_devices(net):
    with pytest.raises(ValueError, match="device"):
        TorchBackend("net", save(net.state_dict()), device="tpu")
    assert TorchBackend("net", save(net.state_dict()), device="auto").device in {"cpu", "cuda:0"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here: see test_gpu.py")
def test_a_gpu_asked_for_and_not_there_is_missing(net):
    with pytest.raises(BackendMissing, match=r"device='cuda'.*nvidia-smi"):
        TorchBackend("net", save(net.state_dict()), device="cuda")


def test_without_torch_or_safetensors_it_says_what_to_install(net, monkeypatch):
    weights = save(net.state_dict())
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(BackendMissing, match=r"safetensors.*pip install 'inprocml\[torch\]'"):
        TorchBackend("net", weights)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendMissing, match=r"PyTorch.*pip install 'inprocml\[torch\]'"):
        TorchBackend("net", weights)


def test_a_closed_backend_says_so(net):
    backend = TorchBackend("net", save(net.state_dict()))
    backend.close()
    with pytest.raises(BackendFailed, match="closed"):
        backend.run({"features": ROWS})
