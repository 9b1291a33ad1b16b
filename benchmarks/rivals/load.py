"""Closed loops, lone callers and the ceiling, inside one process; no contestant is known here."""

from __future__ import annotations

import asyncio
import os
import statistics
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.rivals.way import WIDTH, Row, Session, Way

__all__ = ["ceiling", "closed", "closed_on_loop", "descendants", "lone", "on_loop", "rounded", "rows"]

WARM = 0.15  # seconds of load before anything is counted
PAUSE = 0.005

Result = TypeVar("Result")


def rows(seed: int) -> Row:
    return np.random.default_rng(seed).standard_normal((1, WIDTH)).astype(np.float32)


_LOOP = asyncio.new_event_loop()


def on_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on this process's one loop, never closed: not all contestants survive that."""
    return _LOOP.run_until_complete(work)


class Cpu:
    """CPU seconds of this process and of those that descend from it now.

    The descendants are listed once, for to walk /proc among busy threads would itself be a load.
    """

    def __init__(self) -> None:
        self.children = [Path(f"/proc/{pid}/stat") for pid in descendants(os.getpid())]

    def seconds(self) -> float:
        return time.process_time() + sum(map(_seconds, self.children))


def descendants(parent: int) -> list[int]:
    """Return the ids of the processes that descend from ``parent``; empty where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        return []
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(entry / "stat")):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], list(children.get(parent, ()))
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], ())
    return found


def _stat(path: Path) -> list[str]:
    """Return the fields after the command's name, which may hold blanks; empty when the process is gone."""
    try:
        return path.read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _seconds(path: Path) -> float:
    fields = _stat(path)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


class Tally:
    """What the callers of one closed loop have seen, and between which moments it counts."""

    def __init__(self, callers: int) -> None:
        self.calls: list[list[tuple[float, float]]] = [[] for _ in range(callers)]  # began, ended
        self.stop = False
        self.errors: list[BaseException] = []
        self.cpu = Cpu()
        self.marks: list[tuple[float, float]] = []  # when the clocks were read: wall, CPU

    def mark(self) -> None:
        self.marks.append((time.perf_counter(), self.cpu.seconds()))

    def figures(self) -> dict[str, float]:
        """Count the calls that ended between the two marks, whenever their caller noted them down."""
        if self.errors:
            raise RuntimeError(f"{len(self.errors)} callers failed") from self.errors[0]
        (began, cpu), (ended, burnt) = self.marks
        calls = np.concatenate([np.asarray(mine).reshape(-1, 2) for mine in self.calls])
        seconds = (calls[:, 1] - calls[:, 0])[(calls[:, 1] >= began) & (calls[:, 1] < ended)] * 1e3
        if not len(seconds):
            raise RuntimeError("no call ended while it was counted")
        return {
            "rows_per_second": len(seconds) / (ended - began),
            "p50_ms": float(np.percentile(seconds, 50)),
            "p99_ms": float(np.percentile(seconds, 99)),
            "cpu_us_per_row": (burnt - cpu) / len(seconds) * 1e6,
        }


def closed(way: Way, callers: int, seconds: float) -> dict[str, float]:
    """Let ``callers`` call without a pause: rows/s, latencies in ms, CPU per row in us."""
    if way.acall is None:
        return _threads(way, callers, seconds)
    return on_loop(closed_on_loop(way, callers, seconds))


def _threads(way: Way, callers: int, seconds: float) -> dict[str, float]:
    tally, call = Tally(callers), way.call
    assert call is not None

    def caller(number: int) -> None:
        mine, clock, row = tally.calls[number], time.perf_counter, rows(number)
        try:
            while not tally.stop:
                began = clock()
                call(row)
                mine.append((began, clock()))
        except BaseException as error:
            tally.errors.append(error)

    threads = [threading.Thread(target=caller, args=(n,), daemon=True) for n in range(callers)]
    for thread in threads:
        thread.start()
    for pause in (WARM, seconds):
        time.sleep(pause)
        tally.mark()
    tally.stop = True
    for thread in threads:
        thread.join(60)
    return tally.figures()


async def closed_on_loop(way: Way, callers: int, seconds: float) -> dict[str, float]:
    """Do what ``closed`` does, from coroutines of the running loop."""
    tally, call = Tally(callers), way.acall
    assert call is not None

    async def caller(number: int) -> None:
        mine, clock, row = tally.calls[number], time.perf_counter, rows(number)
        try:
            while not tally.stop:
                began = clock()
                await call(row)
                mine.append((began, clock()))
        except BaseException as error:
            tally.errors.append(error)

    tasks = [asyncio.create_task(caller(n)) for n in range(callers)]
    for pause in (WARM, seconds):
        await asyncio.sleep(pause)
        tally.mark()
    tally.stop = True
    await asyncio.wait(tasks, timeout=60)
    return tally.figures()


def ceiling(model: Session, size: int, seconds: float) -> dict[str, float]:
    """Run batches of ``size`` from one thread: the most that the model gives on one core."""
    batch = np.random.default_rng(2).standard_normal((size, WIDTH)).astype(np.float32)
    model.run(batch)
    done, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        model.run(batch)
        done += size
    took, burnt = time.perf_counter() - began, time.process_time() - cpu
    rate = done / took
    return {"rows_per_second": rate, "batch_ms": size / rate * 1e3, "cpu_us_per_row": burnt / done * 1e6}


def lone(way: Way, model: Session, seconds: float) -> dict[str, float]:
    """Microseconds of one caller over a bare run, p50: call by call in turns, and after 5 ms of idleness."""
    if way.acall is None:
        return _lone(way, model, seconds)
    return on_loop(_alone(way, model, seconds))


def _lone(way: Way, model: Session, seconds: float) -> dict[str, float]:
    row, clock, call = rows(3), time.perf_counter, way.call
    assert call is not None
    taken: list[tuple[float, float]] = []
    paused: list[tuple[float, float]] = []
    call(row)
    for samples, pause in ((taken, 0.0), (paused, PAUSE)):
        until = clock() + seconds
        while clock() < until or len(samples) < 3:
            time.sleep(pause) if pause else None
            began = clock()
            model.run(row)
            between = clock()
            time.sleep(pause) if pause else None
            again = clock()
            call(row)
            samples.append((between - began, clock() - again))
    return _over(taken, paused)


async def _alone(way: Way, model: Session, seconds: float) -> dict[str, float]:
    row, clock, call = rows(3), time.perf_counter, way.acall
    assert call is not None
    taken: list[tuple[float, float]] = []
    paused: list[tuple[float, float]] = []
    await call(row)
    for samples, pause in ((taken, 0.0), (paused, PAUSE)):
        until = clock() + seconds
        while clock() < until or len(samples) < 3:
            await asyncio.sleep(pause)
            began = clock()
            model.run(row)
            between = clock()
            await asyncio.sleep(pause)
            again = clock()
            await call(row)
            samples.append((between - began, clock() - again))
    return _over(taken, paused)


def _over(taken: list[tuple[float, float]], paused: list[tuple[float, float]]) -> dict[str, float]:
    bare, called = (statistics.median(side) * 1e6 for side in zip(*taken, strict=True))
    bare_paused, called_paused = (statistics.median(side) * 1e6 for side in zip(*paused, strict=True))
    return {
        "bare_us": bare,
        "over_bare_us": called - bare,
        "bare_after_pause_us": bare_paused,
        "over_bare_after_pause_us": called_paused - bare_paused,
    }


def rounded(figures: Any) -> Any:
    """Round every number of a nested result to three digits after the point."""
    if isinstance(figures, dict):
        return {key: rounded(value) for key, value in figures.items()}
    return round(figures, 3) if isinstance(figures, float) else figures
