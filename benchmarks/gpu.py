"""The runner on an NVIDIA GPU: rows/s against an offline loop, latency against a batch's time, overlap,
memory.

Without a GPU it says so and ends well: there is nothing to measure, and nothing is made up. The arithmetic
below is tested on the simulated device (tests/benchmarks/test_gpu_figures.py).

    python -m benchmarks.gpu            # writes benchmarks/results/gpu-<device>.json and a trace for each
    model
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu_models import bert, pictures, resnet, sentences
from benchmarks.machine import machine
from inprocml.backends import open_backend
from inprocml.backends.nvml import usage
from inprocml.backends.onnx import OnnxBackend
from inprocml.backends.staged import Staged
from inprocml.backends.torch_cuda import TorchAccelerator
from inprocml.batching import Runner
from inprocml.errors import InprocmlError
from inprocml.protocols import Backend, Flight
from inprocml.testing import Operation, chrome_trace, overlap
from inprocml.values import BatchRecord, Tensors

RESULTS = Path(__file__).parent / "results"
TARGETS = {"of_offline": 0.90, "p99_in_batches": 2.0}
CALLERS, SECONDS, TRACED = 256, 5.0, 40


@dataclass(frozen=True)
class Case:
    """A model and rows for it; ``largest`` rows are tried at most."""

    name: str
    make: Callable[[Any], Any]
    rows: Callable[[int], dict[str, NDArray[Any]]]
    largest: int
    precision: str = "fp32"


CASES = (
    Case("ResNet-50 shape, 224x224, fp32", resnet, pictures, 128),
    Case("ResNet-50 shape, 224x224, bf16", resnet, pictures, 128, "bf16"),
    Case("BERT-base shape, 128 tokens, fp32", bert, sentences, 128),
    Case("BERT-base shape, 128 tokens, bf16", bert, sentences, 128, "bf16"),
)


# -- arithmetic


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` of all are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(np.ceil(share * len(ordered))) - 1))]


def pipelined(staged: Staged, rows: Tensors, batches: int, clock: Callable[[], float]) -> float:
    """Return rows/s of whole batches with ``depth`` of them in flight; ``rows`` is one of them."""
    size = len(next(iter(rows.values())))
    flights: list[Flight] = []
    begin = clock()
    for _ in range(batches):
        if len(flights) == staged.depth:
            flights.pop(0).wait()
        flights.append(staged.start([rows], size))
    for flight in flights:
        flight.wait()
    return batches * size / (clock() - begin)


def batch_seconds(staged: Backend, rows: Tensors, batches: int, clock: Callable[[], float]) -> float:
    """Return the median seconds of a batch that is alone on the device."""
    took = []
    for _ in range(batches):
        begin = clock()
        staged.run(rows)
        took.append(clock() - begin)
    return statistics.median(took)


def judged(rows_per_s: float, offline: float, p99: float, batch: float) -> dict[str, Any]:
    """Hold what was reached against the targets."""
    reached = {"of_offline": rows_per_s / offline, "p99_in_batches": p99 / batch}
    return {
        **{name: round(value, 3) for name, value in reached.items()},
        "targets": TARGETS,
        "met": reached["of_offline"] >= TARGETS["of_offline"]
        and reached["p99_in_batches"] <= TARGETS["p99_in_batches"],
    }


def crowd(call: Callable[[Tensors], Any], row: Tensors, callers: int, seconds: float) -> dict[str, float]:
    """Let ``callers`` threads ask one row after the other; rows/s and latencies in seconds."""
    latencies: list[list[float]] = [[] for _ in range(callers)]
    until = time.perf_counter() + seconds

    def caller(own: list[float]) -> None:
        while (begin := time.perf_counter()) < until:
            call(row)
            own.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=caller, args=(own,)) for own in latencies]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [each for own in latencies for each in own]
    return {
        "rows_per_s": len(every) / (time.perf_counter() - begin),
        "p50": quantile(every, 0.5),
        "p99": quantile(every, 0.99),
    }


# -- on the device


class Traced(TorchAccelerator):
    """The torch adapter with a pair of timing events around each operation while ``trace`` is a list."""

    trace: list[tuple[str, str, int, Any, Any]] | None = None
    _number = 0

    def stream(self, name: str) -> Any:
        stream = super().stream(name)
        self.names = {**getattr(self, "names", {}), stream: name}
        return stream

    def mark(self, batch: int) -> None:
        self._number = batch

    def copy_in(self, stream: Any, target: Any, source: Any) -> None:
        self._timed("copy_in", stream, lambda: super(Traced, self).copy_in(stream, target, source))

    def copy(self, stream: Any, target: Any, source: Any) -> None:
        self._timed("copy", stream, lambda: super(Traced, self).copy(stream, target, source))

    def copy_out(self, stream: Any, target: Any, source: Any) -> None:
        self._timed("copy_out", stream, lambda: super(Traced, self).copy_out(stream, target, source))

    def compute(self, stream: Any, inputs: Any) -> Any:
        return self._timed("compute", stream, lambda: super(Traced, self).compute(stream, inputs))

    def replay(self, stream: Any, graph: Any) -> None:
        self._timed("replay", stream, lambda: super(Traced, self).replay(stream, graph))

    def _timed(self, name: str, stream: Any, step: Callable[[], Any]) -> Any:
        if self.trace is None:
            return step()
        begin, end = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(stream)
        answer = step()
        end.record(stream)
        self.trace.append((self.names[stream], name, self._number, begin, end))
        return answer

    def traced(self, step: Callable[[], Any]) -> list[Operation]:
        """Run ``step`` and return what the device did meanwhile, in seconds from its first operation."""
        self.drain()
        self.trace = []
        step()
        self.drain()
        taken, self.trace = self.trace, None
        zero = taken[0][3]
        return [
            Operation(stream, name, batch, zero.elapsed_time(begin) / 1e3, zero.elapsed_time(end) / 1e3)
            for stream, name, batch, begin, end in taken
        ]


def offline(torch: Any, module: Any, rows: Tensors, precision: str, batches: int) -> float:
    """Return rows/s of what anybody would write: page-locked batch, copy, forward, copy back, in a loop."""
    device = torch.device("cuda:0")
    (array,) = rows.values()
    given = torch.from_numpy(array).pin_memory()
    half = torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16")
    with torch.inference_mode(), half:
        for _ in range(3):
            module(given.to(device, non_blocking=True)).float().cpu()
        begin = time.perf_counter()
        for _ in range(batches):
            module(given.to(device, non_blocking=True)).float().cpu()
        return batches * len(array) / (time.perf_counter() - begin)


def measure(torch: Any, case: Case, folder: Path, seconds: float = SECONDS) -> dict[str, Any]:
    """Return the figures of one model on the first GPU, and write its trace."""
    torch.manual_seed(1)
    module = case.make(torch).to("cuda:0")
    accelerator = Traced(
        torch, module, "cuda:0", inputs=("features",), outputs=("output",), precision=case.precision
    )
    staged = Staged(accelerator)
    begin = time.perf_counter()
    sizes = staged.prepare(case.rows(2), case.largest)
    prepared = time.perf_counter() - begin
    whole = case.rows(sizes[-1])
    batches = max(20, int(seconds / batch_seconds(staged, whole, 5, time.perf_counter)))
    plain = offline(torch, module, whole, case.precision, batches)
    both = pipelined(staged, whole, batches, time.perf_counter)
    alone = batch_seconds(staged, whole, 20, time.perf_counter)
    operations = accelerator.traced(lambda: pipelined(staged, whole, TRACED, time.perf_counter))
    name = re.sub(r"\W+", "-", case.name).lower()
    trace = chrome_trace(operations, device=torch.cuda.get_device_name(0))
    (folder / f"gpu-trace-{name}.json").write_text(json.dumps(trace))
    served = _served(staged, case, sizes[-1], seconds)
    free, of = accelerator.memory()
    recorded = staged.recorded
    staged.close()
    return {
        "model": case.name,
        "sizes": sizes,
        "recorded": recorded or "none",
        "prepare_s": round(prepared, 1),
        "offline_rows_per_s": round(plain),
        "two_in_flight_rows_per_s": round(both),
        "batch_ms": round(alone * 1e3, 3),
        "copies_hidden": round(overlap(operations), 3),
        **served,
        **judged(served["rows_per_s"], plain, served["p99_ms"] / 1e3, alone),
        "memory_used_gib": round((of - free) / 2**30, 2),
        "nvml": usage(0),
    }


def exported(torch: Any, case: Case) -> bytes:
    """Return the model as ONNX with a free batch axis."""
    torch.manual_seed(1)
    (example,) = case.rows(2).values()
    program = torch.onnx.export(
        case.make(torch),
        (torch.from_numpy(example),),
        dynamo=True,
        external_data=False,
        input_names=["features"],
        output_names=["output"],
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        verbose=False,
    )
    content: bytes = program.model_proto.SerializeToString()
    return content


def measure_onnx(torch: Any, case: Case, seconds: float = SECONDS) -> dict[str, Any]:
    """Return the figures of one model in ONNX Runtime; its offline loop is the plain session."""
    name = f"{case.name}, ONNX Runtime"
    try:
        content = exported(torch, case)
        plain = OnnxBackend(content, device="cuda")
    except InprocmlError as error:
        return {"model": name, "skipped": str(error)}
    whole = case.rows(case.largest)
    one = batch_seconds(plain, whole, 5, time.perf_counter)
    begin = time.perf_counter()
    batches = max(20, int(seconds / one))
    for _ in range(batches):
        plain.run(whole)
    offline_rows = batches * case.largest / (time.perf_counter() - begin)
    plain.close()
    staged = open_backend("onnx", content, device="cuda")
    if not isinstance(staged, Staged):
        return {"model": name, "skipped": "the driver cannot be reached: the plain session serves"}
    sizes = staged.prepare(case.rows(2), case.largest)
    alone = batch_seconds(staged, case.rows(sizes[-1]), 20, time.perf_counter)
    served = _served(staged, case, sizes[-1], seconds)
    recorded = staged.recorded
    staged.close()
    return {
        "model": name,
        "sizes": sizes,
        "recorded": recorded or "none",
        "offline_rows_per_s": round(offline_rows),
        "batch_ms": round(alone * 1e3, 3),
        **served,
        **judged(served["rows_per_s"], offline_rows, served["p99_ms"] / 1e3, alone),
    }


def _served(staged: Staged, case: Case, size: int, seconds: float) -> dict[str, Any]:
    """Many callers of the runner, one row each."""
    seen: list[BatchRecord] = []

    class Watch:
        def observe(self, record: BatchRecord) -> None:
            seen.append(BatchRecord(record.rows, record.requests, record.seconds, record.inline, {}))

    runner = Runner(staged, name="gpu", max_batch_size=size, observers=(Watch(),))
    row = case.rows(1)
    crowd(runner.run, row, CALLERS, 1.0)
    seen.clear()
    figures = crowd(runner.run, row, CALLERS, seconds)
    runner.close(20)
    return {
        "callers": CALLERS,
        "rows_per_s": round(figures["rows_per_s"]),
        "p50_ms": round(figures["p50"] * 1e3, 3),
        "p99_ms": round(figures["p99"] * 1e3, 3),
        "rows_per_batch": round(statistics.fmean(record.rows for record in seen), 1),
    }


def main() -> int:
    try:
        import torch
    except ImportError:
        print("SKIPPED: torch is not installed; pip install 'inprocml[torch]' in a CUDA build")
        return 0
    if not torch.cuda.is_available():
        print("SKIPPED: torch sees no CUDA device; nothing was measured")
        return 0
    torch.backends.cuda.matmul.fp32_precision = "ieee"  # by default torch's convolutions use TF32, which
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # ours do only on demand: the same for both
    name = torch.cuda.get_device_name(0)
    figures = [measure(torch, case, RESULTS) for case in CASES]
    figures += [measure_onnx(torch, case) for case in CASES if case.precision == "fp32"]
    report = {"machine": machine(), "device": name, "cuda": torch.version.cuda, "cases": figures}
    path = RESULTS / f"gpu-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    print(f"written: {path}; open the traces beside it in https://ui.perfetto.dev")
    return 0 if all(each.get("met", True) for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
