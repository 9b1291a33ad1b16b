"""What threads that never let go of the interpreter do to a request.

A request gives the interpreter up while the model computes, and must get it back. A thread that runs pure
Python keeps it for the switch interval (5 ms unless set) each time, so beside k of them every return costs up
to k intervals. This is measured, not guessed: round trips beside 0, 1, 2 and 4 such threads.

The switch interval belongs to the whole process. It is changed for a measurement only where the caller named
another one, and put back whatever happens; nothing else here or in the library sets it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inprocml.batching import Result
from inprocml.sizing.drive import closed_loop
from inprocml.sizing.settings import percentile

__all__ = ["Beside", "OwnThreads", "measure_busy_threads", "own_threads"]

BUSY = (0, 1, 2, 4)
_CALLERS, _THINK = 4, 0.004  # threads that ask, and the seconds between an answer and the next question
_PROBE_SECONDS = 0.001
_WORTH_TELLING = 0.05  # of a core

_alone = threading.Lock()  # two measurements would put back each other's interval


@dataclass(frozen=True, slots=True)
class Beside:
    """Round trips beside ``busy`` threads of pure Python, at a switch ``interval``; all in seconds."""

    busy: int
    interval: float
    p50: float
    p90: float
    calls: int


def measure_busy_threads(
    ask: Callable[[int], Result],
    *,
    busy: Sequence[int] = BUSY,
    intervals: Sequence[float] | None = None,
    seconds: float = 0.5,
) -> tuple[Beside, ...]:
    """Measure ``ask`` beside so many busy threads, ``seconds`` each, at each switch interval.

    ``intervals`` in seconds default to the one that is set, which then is not touched. Another one holds for
    the whole process while it is measured, and is put back. Raises what ``ask`` raises.
    """
    with _alone:
        was = sys.getswitchinterval()
        found = []
        for interval in (was,) if intervals is None else intervals:
            with _switching(interval, was):
                found += [_beside(ask, count, interval, seconds) for count in busy]
        return tuple(found)


@contextmanager
def _switching(interval: float, was: float) -> Iterator[None]:
    if interval == was:
        yield
        return
    try:
        sys.setswitchinterval(interval)
        yield
    finally:
        sys.setswitchinterval(was)


def _beside(ask: Callable[[int], Result], count: int, interval: float, seconds: float) -> Beside:
    over = threading.Event()
    burning = [threading.Thread(target=_burn, args=(over,), daemon=True) for _ in range(count)]
    try:
        for thread in burning:
            thread.start()
        seen = closed_loop(ask, callers=_CALLERS, seconds=seconds, think=_THINK)
    finally:
        over.set()
    for thread in burning:
        thread.join()
    return Beside(count, interval, seen.percentile(50), seen.percentile(90), seen.answered)


def _burn(over: threading.Event) -> None:
    while not over.is_set():
        for _ in range(2000):
            pass


@dataclass(frozen=True, slots=True)
class OwnThreads:
    """What the threads of this process did for ``seconds``.

    ``p50`` and ``p99`` are the seconds that a thread was late that asked for the interpreter: some 0.1 ms is
    the system's timer, several milliseconds are other threads. ``busy`` names those that used the processor,
    with their share of a core, most first; empty where the system does not tell (only Linux does). Work
    outside the interpreter counts in ``busy`` and does not delay anybody.
    """

    seconds: float
    p50: float
    p99: float
    busy: tuple[tuple[str, float], ...]


def own_threads(seconds: float = 1.0) -> OwnThreads:
    """Watch the threads of this very process for ``seconds``, from one of its threads; changes nothing."""
    before, began = _used(), time.perf_counter()
    shut = threading.Lock()
    shut.acquire()
    late = []
    while (asked := time.perf_counter()) - began < seconds:
        shut.acquire(timeout=_PROBE_SECONDS)
        late.append(max(0.0, time.perf_counter() - asked - _PROBE_SECONDS))
    took = time.perf_counter() - began
    after = _used()
    shares = [
        (name, (used - before[key][1]) / took)
        for key, (name, used) in after.items()
        if key in before and key != threading.get_native_id()
    ]
    busy = sorted((pair for pair in shares if pair[1] >= _WORTH_TELLING), key=lambda pair: -pair[1])
    late.sort()
    return OwnThreads(took, percentile(late, 50), percentile(late, 99), tuple(busy))


def _used() -> dict[int, tuple[str, float]]:
    """Processor seconds by native id of the threads that Python knows."""
    used = {}
    for thread in threading.enumerate():
        number = thread.native_id
        if number is not None and (seconds := _processor_seconds(number)) is not None:
            used[number] = (thread.name, seconds)
    return used


def _processor_seconds(number: int) -> float | None:
    """The first figure of ``schedstat`` is nanoseconds on a processor (kernel docs, "sched-stats")."""
    try:
        told = Path(f"/proc/self/task/{number}/schedstat").read_text(encoding="ascii").split()
    except OSError:
        return None
    return int(told[0]) / 1e9 if told and told[0].isdigit() else None
