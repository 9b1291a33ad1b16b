"""The arithmetic of ``benchmarks.gpu`` on a device whose every duration is known."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_models import bert, pictures, resnet, sentences
from inprocml.backends import open_backend
from inprocml.backends.staged import Staged
from inprocml.backends.torch_cuda import TorchAccelerator
from inprocml.testing import SimulatedDevice, check_backend, overlap


@pytest.fixture
def staged():
    device = SimulatedDevice(a=1e-3, c=1e-4, bandwidth=1e9, graphs=False)
    return Staged(device, sizes=(10,))


ROWS = {"features": np.zeros((10, 25), np.float32)}  # 1000 bytes: a microsecond


def test_quantiles_are_values_that_were_there():
    values = list(range(1, 101))
    assert (gpu.quantile(values, 0.5), gpu.quantile(values, 0.99), gpu.quantile(values, 1.0)) == (50, 99, 100)
    assert gpu.quantile([7.0], 0.99) == 7.0


def test_a_batch_alone_takes_its_copies_and_its_run(staged):
    took = gpu.batch_seconds(staged, ROWS, 5, staged.accelerator.clock)
    assert took == pytest.approx(1e-6 + 2e-3 + 1e-6, rel=0.01)


def test_two_in_flight_reach_what_the_device_can(staged):
    reached = gpu.pipelined(staged, ROWS, 200, staged.accelerator.clock)
    assert reached == pytest.approx(10 / 2e-3, rel=0.01)
    assert overlap(staged.accelerator.trace) > 0.99


def test_figures_are_held_against_the_targets():
    assert gpu.judged(95.0, 100.0, 0.019, 0.01) == {
        "of_offline": 0.95,
        "p99_in_batches": 1.9,
        "targets": gpu.TARGETS,
        "met": True,
    }
    assert not gpu.judged(89.0, 100.0, 0.019, 0.01)["met"]
    assert not gpu.judged(95.0, 100.0, 0.021, 0.01)["met"]


def test_a_crowd_counts_every_answer_once():
    answers = []
    figures = gpu.crowd(answers.append, ROWS, 3, 0.05)
    assert answers
    assert figures["rows_per_s"] > 0
    assert figures["p50"] <= figures["p99"]


def test_without_a_gpu_it_says_so_and_writes_nothing(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(gpu, "RESULTS", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 0
    assert "SKIPPED: torch sees no CUDA device" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


class Timed:
    """An event that knows when it was recorded: the n-th ever, in milliseconds."""

    count = 0

    def __init__(self, **_):
        self.at = None

    def record(self, stream):
        Timed.count += 1
        self.at = Timed.count

    def elapsed_time(self, other):
        return float(other.at - self.at)


def test_the_trace_of_a_real_device_is_made_of_its_events():
    net = torch.nn.Identity()
    accelerator = gpu.Traced(torch, net, "cpu", inputs=("features",), outputs=("output",))
    staged = Staged(accelerator)
    accelerator._torch = types.SimpleNamespace(
        **{
            name: getattr(torch, name)
            for name in ("from_numpy", "empty", "uint8", "float32", "inference_mode", "Tensor", "bfloat16")
        },
        cuda=types.SimpleNamespace(Event=Timed),
    )
    operations = accelerator.traced(lambda: gpu.pipelined(staged, ROWS, 2, lambda: 0.5 * Timed.count))
    assert [each.name for each in operations[:4]] == ["copy_in", "compute", "copy", "copy_out"]
    assert operations[0].begin == 0.0
    assert operations[0].end == pytest.approx(1e-3)
    assert {each.batch for each in operations} == {1, 2}
    json.dumps(gpu.chrome_trace(operations))


@pytest.mark.parametrize(
    ("make", "rows", "classes"),
    [
        (lambda: resnet(torch, (1, 1, 1, 1), 4), lambda: pictures(2, 32), 1000),
        (lambda: bert(torch, 1, 24, 3, 50), lambda: sentences(2, 7, 50), 2),
    ],
)
def test_the_models_can_be_served(make, rows, classes):
    torch.manual_seed(1)
    accelerator = TorchAccelerator(torch, make(), "cpu", inputs=("features",), outputs=("output",))
    backend = Staged(accelerator)
    assert backend.run(rows())["output"].shape == (2, classes)
    check_backend(backend, rows(), rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_the_models_can_be_exported():
    small = gpu.Case("small", lambda torch: bert(torch, 1, 24, 3, 50), lambda n: sentences(n, 7, 50), 8)
    given = small.rows(3)
    backend = open_backend("onnx", gpu.exported(torch, small))
    torch.manual_seed(1)
    with torch.no_grad():
        expected = small.make(torch)(torch.from_numpy(given["features"])).numpy()
    np.testing.assert_allclose(backend.run(given)["output"], expected, rtol=1e-3, atol=1e-4)


def test_without_cuda_in_onnx_runtime_that_part_is_skipped(monkeypatch):
    monkeypatch.setattr(gpu, "exported", lambda torch, case: b"")
    told = gpu.measure_onnx(torch, gpu.CASES[0])
    assert told["skipped"]


def test_the_shapes_are_those_of_their_names():
    def weights(net):
        return round(sum(each.numel() for each in net.parameters()) / 1e6, 1)

    with torch.device("meta"):
        assert weights(resnet(torch)) == 25.6
        assert weights(bert(torch)) == 108.9
