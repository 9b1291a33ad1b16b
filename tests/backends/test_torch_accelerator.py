"""The torch adapter: its code on real CPU tensors, its calls to CUDA against the signatures of torch's own.

NOT REACHED HERE: that CUDA does what these calls ask for. ``test_gpu.py`` checks that, where there is a GPU.
"""

from __future__ import annotations

import types
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import save

from inprocml.backends import open_backend
from inprocml.backends import torch as torch_backend
from inprocml.backends.accelerator import Span, Trouble
from inprocml.backends.staged import Staged
from inprocml.backends.torch import TorchBackend, register
from inprocml.backends.torch_cuda import TorchAccelerator
from inprocml.errors import BackendFailed
from inprocml.testing import check_backend

ROWS = np.array([[1.0, 2.0], [-3.0, 0.5], [0.0, 1.0]], np.float32)


class Pair(torch.nn.Module):
    def forward(self, ids, mask):
        return ids.float() * 2, mask.sum(dim=1)


@pytest.fixture
def net():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)).eval()


def staged(module, *, inputs=("features",), outputs=("output",), **options):
    return Staged(TorchAccelerator(torch, module, "cpu", inputs=inputs, outputs=outputs, **options))


def test_it_answers_as_the_module_does(net):
    with torch.no_grad():
        expected = {"output": net(torch.from_numpy(ROWS)).numpy()}
    backend = staged(net)
    assert (backend.name, backend.device) == ("torch", "cpu")
    assert backend.prepare({"features": ROWS}, 8) == (1, 2, 4, 8)
    assert backend.recorded == ()  # graphs are CUDA's
    check_backend(backend, {"features": ROWS}, expected=expected)


def test_two_batches_in_flight(net):
    backend = staged(net)
    with torch.no_grad():
        whole = net(torch.from_numpy(np.concatenate([ROWS, ROWS * 2]))).numpy()
    first = backend.start([{"features": ROWS[:1]}, {"features": ROWS[1:]}], 3)
    second = backend.start([{"features": ROWS * 2}], 3)
    np.testing.assert_allclose(first.wait()["output"], whole[:3], rtol=1e-6)
    np.testing.assert_allclose(second.wait()["output"], whole[3:], rtol=1e-6)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int32", "int64", "float16", "float32", "float64"])
def test_every_type_that_both_know_goes_there_and_back(kind):
    given = np.arange(6).reshape(3, 2).astype(kind)
    answer = staged(torch.nn.Identity()).run({"features": given})["output"]
    assert answer.dtype == given.dtype
    assert answer.tolist() == given.tolist()


def test_several_inputs_and_outputs():
    backend = staged(Pair(), inputs=("ids", "mask"), outputs=("twice", "length"))
    given = {"mask": np.ones((2, 5), bool), "ids": np.arange(4, dtype=np.int64).reshape(2, 2)}
    answer = backend.run(given)
    assert answer["twice"].tolist() == (given["ids"] * 2.0).tolist()
    assert answer["length"].tolist() == [5, 5]


def test_answers_that_are_no_tensors_or_too_few_are_told():
    with pytest.raises(BackendFailed, match="returned tuple, not one tensor per output"):
        staged(Pair(), inputs=("ids", "mask")).run({"ids": ROWS, "mask": ROWS})
    with pytest.raises(BackendFailed, match=r"returned 2 tensors; 3 are named \(a, b, c\)"):
        staged(Pair(), inputs=("ids", "mask"), outputs=("a", "b", "c")).run({"ids": ROWS, "mask": ROWS})


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_and_comes_back_in_full(net, precision):
    with torch.no_grad():
        expected = net(torch.from_numpy(ROWS)).numpy()
    answer = staged(net, precision=precision).run({"features": ROWS})["output"]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, atol=0.05)
    assert not np.array_equal(answer, expected)


def test_channels_last_changes_the_layout_and_not_the_answer():
    torch.manual_seed(1)
    net = torch.nn.Conv2d(3, 5, 3).eval()
    pictures = np.random.default_rng(1).random((2, 3, 8, 8), np.float32)
    with torch.no_grad():
        expected = net(torch.from_numpy(pictures)).numpy()
    answer = staged(net, channels_last=True).run({"features": pictures})["output"]
    np.testing.assert_allclose(answer, expected, atol=1e-5)


def test_a_closed_backend_says_so(net):
    backend = staged(net)
    backend.close()
    with pytest.raises(BackendFailed, match="closed"):
        backend.run({"features": ROWS})


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB"), Trouble.MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), Trouble.MEMORY),
        (RuntimeError("CUDA error: device-side assert triggered"), Trouble.STICKY),
        (RuntimeError("CUDA error: operation not permitted when stream is capturing"), Trouble.RECORDING),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), Trouble.STICKY),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Trouble.ORDINARY),
        (ValueError("out of memory, says a row"), Trouble.ORDINARY),
        (BackendFailed("one row alone"), Trouble.ORDINARY),
    ],
)
def test_errors_are_sorted(net, error, trouble):
    assert staged(net).accelerator.trouble(error) is trouble


@pytest.mark.parametrize(("code", "trouble"), [(2, "MEMORY"), (700, "STICKY"), (9, "ORDINARY")])
def test_cudas_number_counts_more_than_its_words(net, code, trouble):
    error = torch.AcceleratorError("CUDA error")
    error.error_code = code
    assert staged(net).accelerator.trouble(error) is Trouble[trouble]


def test_on_the_cpu_the_door_gives_the_plain_backend(net, monkeypatch):
    monkeypatch.setattr(torch_backend, "_factories", {})
    register(
        "net", lambda: torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3))
    )
    backend = open_backend("torch", save(net.state_dict()), module="net")
    assert isinstance(backend, TorchBackend)
    with pytest.raises(ValueError, match="cpu or cuda"):
        open_backend("torch", b"", module="net", device="tensorrt:1")


# -- calls to CUDA


class Cuda:
    """torch as it would be with a GPU, as far as names and arguments go; the tensors are the host's."""

    def __init__(self):
        self.cuda = mock.create_autospec(torch.cuda, instance=True)
        self.cuda.mem_get_info.return_value = (3, 4)
        told = {name: getattr(torch, name) for name in ("from_numpy", "Tensor", "inference_mode", "uint8")}
        self.torch = types.SimpleNamespace(
            **told,
            cuda=self.cuda,
            backends=torch.backends,
            device=torch.device,
            float32=torch.float32,
            bfloat16=torch.bfloat16,
            float16=torch.float16,
            OutOfMemoryError=torch.OutOfMemoryError,
            channels_last=torch.channels_last,
            empty=self.empty,
        )

    @staticmethod
    def empty(size, *, dtype, device=None, pin_memory=False):
        assert device is None or device == torch.device("cuda:1")
        assert pin_memory in {True, False}
        return torch.empty(size, dtype=dtype)


@pytest.fixture
def cuda():
    return Cuda()


def accelerator(cuda, module, **options):
    return TorchAccelerator(
        cuda.torch, module, "cuda:1", inputs=("features",), outputs=("output",), **options
    )


def span(device, array):
    block = device.block(array.nbytes)
    given = Span(block, 0, array.shape, array.dtype)
    device.copy_in(device.stream("in"), given, array)
    return given


def test_what_is_asked_of_cuda_is_what_torch_offers(cuda, net):
    device = accelerator(cuda, net)
    cuda.cuda.synchronize.assert_called_once_with(torch.device("cuda:1"))  # the weights are there
    assert device.device == "cuda:1"
    assert device.memory() == (3, 4)
    stream, event = device.stream("compute"), device.event()
    cuda.cuda.Stream.assert_called_once_with(device=torch.device("cuda:1"))
    cuda.cuda.Event.assert_called_once_with(blocking=True)
    device.record(stream, event)
    event.record.assert_called_once_with(stream)
    device.wait(stream, event)
    stream.wait_event.assert_called_once_with(event)
    device.synchronise(event)
    event.synchronize.assert_called_once_with()
    device.release()
    cuda.cuda.empty_cache.assert_called_once_with()
    device.drain()
    assert cuda.cuda.synchronize.call_count == 2
    host = device.host(64)
    assert (host.shape, host.dtype) == ((64,), np.uint8)


def test_a_new_block_waits_for_what_the_hosts_own_code_left_there(cuda, net):
    accelerator(cuda, net).block(8)
    cuda.cuda.current_stream.assert_called_once_with(torch.device("cuda:1"))
    cuda.cuda.current_stream.return_value.synchronize.assert_called_once_with()


def test_work_is_enqueued_on_the_stream_that_was_given(cuda, net):
    device = accelerator(cuda, net)
    given = span(device, ROWS)
    stream = object()
    device.compute(stream, {"features": given})
    device.copy(stream, given, given)
    device.copy_out(stream, np.empty_like(ROWS), given)
    assert cuda.cuda.stream.call_args_list[-3:] == [mock.call(stream)] * 3
    assert cuda.cuda.stream.return_value.__enter__.call_count == cuda.cuda.stream.call_count


def test_a_recording_shares_the_pool_and_disturbs_no_other_thread(cuda, net):
    device = accelerator(cuda, net)
    stream = device.stream("compute")
    graphs = [device.capture(stream, {"features": span(device, ROWS)}) for _ in range(2)]
    cuda.cuda.graph_pool_handle.assert_called_once_with()
    for call in cuda.cuda.graph.call_args_list:
        assert call.kwargs["pool"] is cuda.cuda.graph_pool_handle.return_value
        assert call.kwargs["stream"] is stream
        assert call.kwargs["capture_error_mode"] == "thread_local"
    assert graphs[0].outputs["output"].shape == (3, 3)
    device.replay(stream, graphs[0])
    graphs[0].handle.replay.assert_called_once_with()


@pytest.mark.parametrize(("precision", "switch"), [("fp32", "ieee"), ("tf32", "tf32")])
def test_tf32_is_switched_for_the_launch_alone(cuda, precision, switch):
    seen = []
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

    class Spy(torch.nn.Module):
        def forward(self, x):
            seen.append((matmul.fp32_precision, cudnn.conv.fp32_precision))
            return x

    before = (matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision)
    device = accelerator(cuda, Spy(), precision=precision)
    device.compute(None, {"features": span(device, ROWS)})
    assert seen == [(switch, switch)]
    assert (matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == before


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
@pytest.mark.parametrize("host", [None, "legacy", "medium", "new"])
def test_the_switches_can_be_read_while_they_are_turned_and_are_as_before_afterwards(cuda, precision, host):
    matmul, cudnn, every = torch.backends.cuda.matmul, torch.backends.cudnn, torch.backends
    fresh = (matmul.allow_tf32, cudnn.allow_tf32)

    def told():
        exact = (matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision)
        return (*exact, every.fp32_precision, torch.get_float32_matmul_precision())

    class Reader(torch.nn.Module):
        def forward(self, x):
            assert cudnn.allow_tf32 == (precision == "tf32")  # torch raises where the two ways differ
            with cudnn.flags(enabled=True, allow_tf32=False):
                return x

    try:
        if host == "legacy":
            matmul.allow_tf32, cudnn.allow_tf32 = True, False
        elif host == "medium":
            torch.set_float32_matmul_precision("medium")
        elif host == "new":
            cudnn.conv.fp32_precision = "ieee"
        before, legacy = told(), _read(cudnn)
        device = accelerator(cuda, Reader(), precision=precision)
        device.compute(None, {"features": span(device, ROWS)})
        assert told() == before
        assert legacy in (_read(cudnn), None)
    finally:
        torch.set_float32_matmul_precision("highest")
        matmul.allow_tf32, cudnn.allow_tf32 = fresh


def _read(cudnn):
    try:
        return cudnn.allow_tf32
    except RuntimeError:  # the old way and the new one differ
        return None
