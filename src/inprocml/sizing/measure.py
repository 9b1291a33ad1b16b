"""Measures what a model's batches take, and what Python adds to a request.

Sizes take turns in rounds, so that whatever else the machine does hits them all alike; medians and quantiles
are what is used. Everything is bounded in time.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from inprocml.batching import Runner
from inprocml.errors import BackendFailed
from inprocml.sizing.drive import closed_loop
from inprocml.sizing.settings import Settings
from inprocml.sizing.subject import Subject
from inprocml.sizing.timing import Overhead, Timing
from inprocml.values import Tensors

__all__ = ["Measured", "measure"]

_ROUNDS = 200  # at most
_WARM = 3  # runs of each size before any counts
_CALLS = 200
_CALLERS = 16
_PAUSE = 0.002  # seconds that the stand-in device takes


@dataclass(frozen=True, slots=True)
class Measured:
    """The model's times by batch size and the request's other costs; ``notes`` say what was left out."""

    name: str
    backend: str
    device: str
    timing: Timing
    overhead: Overhead
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them; seconds."""
        return {
            "name": self.name,
            "backend": self.backend,
            "device": self.device,
            **self.timing.to_dict(),
            "overhead": asdict(self.overhead),
            "notes": list(self.notes),
        }


def measure(subject: Subject, *, max_batch_size: int = 64, seconds: float = 4.0) -> Measured:
    """Measure batches of 1, 2, 4, ... ``max_batch_size`` rows, and one row's way around the model.

    ``seconds`` bounds it: sizes that are too slow to be tried are left out, and said in ``notes``; one run of
    a single row is always made. Raises ``BackendFailed`` when not even that runs.
    """
    notes: list[str] = []
    sizes = _warmed(subject, list(_sizes(max_batch_size)), seconds / 3, notes)
    timing = Timing(_rounds(subject, sizes, seconds / 3))
    return Measured(
        name=subject.name,
        backend=subject.backend.name,
        device=subject.backend.device,
        timing=timing,
        overhead=_overhead(subject, timing.sizes[-1], seconds / 3),
        notes=tuple(notes),
    )


def _sizes(most: int) -> Iterator[int]:
    """Powers of two, and the last one."""
    size = 1
    while size < most:
        yield size
        size *= 2
    yield most


def _warmed(subject: Subject, sizes: list[int], seconds: float, notes: list[str]) -> dict[int, Tensors]:
    """Run each size a few times, smallest first, while there is time; return the inputs of those that ran."""
    until = time.perf_counter() + seconds
    ready: dict[int, Tensors] = {}
    for size in sizes:
        try:
            inputs = subject.batch(size)
            took = min(_timed(partial(subject.backend.run, inputs)) for _ in range(_WARM))
        except Exception as error:
            if not ready:
                raise BackendFailed(
                    f"{subject.name}: not one row runs ({type(error).__name__}: {error}); see the cause"
                ) from error
            notes.append(f"batches of {size} rows and more do not run here ({type(error).__name__})")
            return ready
        ready[size] = inputs
        if time.perf_counter() + 2 * _WARM * took > until and size != sizes[-1]:
            notes.append(f"batches beyond {size} rows were not measured: one of {size} takes {took:.3g} s")
            return ready
    return ready


def _rounds(subject: Subject, sizes: dict[int, Tensors], seconds: float) -> dict[int, list[float]]:
    """Time all sizes in turn, at least three times."""
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    until = time.perf_counter() + seconds
    for number in range(_ROUNDS):
        if number >= _WARM and time.perf_counter() > until:
            break
        for size, inputs in sizes.items():
            taken[size].append(_timed(partial(subject.backend.run, inputs)))
    return taken


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _overhead(subject: Subject, most: int, seconds: float) -> Overhead:
    """Measure what a request costs beside the model, part by part."""
    outputs = subject.backend.run(subject.batch(1))
    until = time.perf_counter() + seconds / 2
    before: list[float] = []
    after: list[float] = []
    for number in range(_CALLS):
        before.append(_timed(partial(subject.encode, number)))
        after.append(_timed(partial(subject.decode, outputs)))
        if time.perf_counter() > until:
            break
    inputs = subject.encode(0)
    still = Runner(_Still(outputs, 0.0))
    call = [_timed(partial(still.run, inputs)) for _ in range(_CALLS)]
    still.close()
    return Overhead(
        before=statistics.median(before),
        after=statistics.median(after),
        call=statistics.median(call),
        hand=_handing(inputs, outputs, most, seconds / 2),
        wake=_waking(),
    )


class _Still:
    """A device that takes a given time and no processor, and answers all rows alike."""

    name, device = "still", "none"

    def __init__(self, outputs: Tensors, seconds: float) -> None:
        self._outputs, self._seconds = outputs, seconds
        self._never = threading.Event()

    def run(self, inputs: Tensors) -> Tensors:
        rows = len(next(iter(inputs.values())))
        if self._seconds:
            self._never.wait(self._seconds)
        return {name: array[:1].repeat(rows, axis=0) for name, array in self._outputs.items()}

    def close(self) -> None:
        """Nothing is held."""


def _handing(inputs: Tensors, outputs: Tensors, most: int, seconds: float) -> float:
    """Return the processor's seconds for each of many requests in batches, on a device that needs none."""
    runner = Runner(_Still(outputs, _PAUSE), **Settings(max_batch_size=max(1, most)).to_dict())
    try:
        began = time.process_time()
        seen = closed_loop(lambda _: runner.run(inputs), callers=_CALLERS, seconds=min(0.5, seconds))
        used = time.process_time() - began
    finally:
        runner.close()
    return used / max(1, seen.answered)


def _waking(rounds: int = 100) -> float:
    """Return the seconds from waking a thread until it runs: half of there and back, the median."""
    there, back = threading.Semaphore(0), threading.Semaphore(0)

    def answer() -> None:
        for _ in range(rounds):
            there.acquire()
            back.release()

    other = threading.Thread(target=answer, daemon=True)
    other.start()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        there.release()
        back.acquire()
        taken.append(time.perf_counter() - began)
    other.join()
    return statistics.median(taken) / 2
