"""Open loop: arrivals come when they come (Poisson), however slow the answers are.

A latency counts from the moment at which the request should have arrived, so a generator that falls behind
cannot hide a queue (coordinated omission); how late it was is reported beside every figure. One event loop
sends and receives: threads that sleep until their turn would arrive later than what is measured. So all
requests are coroutines, none runs inline, and each pays the hop to the worker. The loop sleeps in ``select``,
whose timeout has microseconds: the usual ``epoll`` rounds up to whole milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.load import closed_on_loop, rounded, rows
from benchmarks.rivals.ours import tasks
from benchmarks.rivals.way import Row, Session, Way

__all__ = ["arrivals", "drive", "measure", "summed"]

EAGER = "eager"
CALLERS = 128  # of the closed loop that tells the capacity
BATCH = 64
CAPACITY_SECONDS = 1.0
PATIENCE = 60.0  # seconds that the last answers may take
TURNS = 4  # a machine that is slow for a second is so for every policy


def arrivals(rate: float, seconds: float, seed: int) -> NDArray[np.float64]:
    """Return the moments, in seconds from the start, of a Poisson process of ``rate`` a second."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1 / rate, int(rate * seconds * 1.5) + 100)
    moments = np.cumsum(gaps)
    inside: NDArray[np.float64] = moments[moments < seconds]
    return inside


async def drive(
    acall: Callable[[Row], Awaitable[Any]], moments: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ask at each moment; return each answer's latency and each question's lateness, in seconds."""
    loop, clock, row = asyncio.get_running_loop(), time.perf_counter, rows(5)
    latency, late = np.full(len(moments), np.nan), np.empty(len(moments))
    offset = loop.time() - clock()
    start = clock() + 0.05
    asked: list[asyncio.Task[None]] = []
    through = loop.create_future()

    async def ask(number: int, due: float) -> None:
        late[number] = clock() - due
        await acall(row)
        latency[number] = clock() - due

    def send(number: int) -> None:
        while number < len(moments):
            due = start + moments[number]
            if due > clock():
                loop.call_at(due + offset, send, number)
                return
            asked.append(loop.create_task(ask(number, due)))
            number += 1
        through.set_result(None)

    send(0)
    await through
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*asked)
    return latency, late


def summed(latency: NDArray[np.float64], late: NDArray[np.float64]) -> dict[str, float]:
    """Return percentiles in milliseconds."""
    return {
        "p50_ms": float(np.percentile(latency, 50) * 1e3),
        "p99_ms": float(np.percentile(latency, 99) * 1e3),
        "late_p50_ms": float(np.percentile(late, 50) * 1e3),
        "late_p99_ms": float(np.percentile(late, 99) * 1e3),
        "requests": len(latency),
    }


async def _points(order: dict[str, Any], ways: dict[str, Way]) -> dict[str, Any]:
    """Go through loads and policies in turns, every policy with the same arrivals, none always first."""
    capacity = (await closed_on_loop(ways[EAGER], CALLERS, CAPACITY_SECONDS))["rows_per_second"]
    loads: dict[str, dict[str, Any]] = {}
    for load, seconds in order["seconds"].items():
        seen: dict[str, list[Any]] = {policy: [] for policy in ways}
        for turn in range(TURNS):
            seed = 1000 * (TURNS * order["seed"] + turn) + int(load)
            moments = arrivals(capacity * int(load) / 100, seconds / TURNS, seed)
            for policy in [*ways][turn:] + [*ways][:turn]:
                acall = ways[policy].acall
                assert acall is not None
                seen[policy].append(await drive(acall, moments))
        loads[load] = {
            policy: summed(*map(np.concatenate, zip(*turns, strict=True))) for policy, turns in seen.items()
        }
    return {"capacity_rows_per_second": capacity, "loads": loads}


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Take ``{"model": path, "lingers_ms": [], "seconds": {load: seconds}, "seed": n}``, loads in percent."""
    model = Session(order["model"])
    ways = {EAGER: tasks(model, BATCH)}
    ways |= {f"{ms} ms": tasks(model, BATCH, delay=ms / 1e3) for ms in order["lingers_ms"]}
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        figures = runner.run(_points(order, ways))
    for way in ways.values():
        way.close()
    return figures


if __name__ == "__main__":
    try:
        answer = rounded(measure(json.loads(sys.argv[1])))
    except BaseException as error:
        answer = {"failed": f"{type(error).__name__}: {error}"[:300]}
    print("\n" + json.dumps(answer), flush=True)
