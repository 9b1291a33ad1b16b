"""Real callers: threads that ask a real runner, as fast as they can or at a given rate.

An open loop does not wait for answers before it asks again, as the world does not. A caller that came late
because all of them were busy counts from the moment at which it was due: what is not asked in time is waiting
too (Tene, "How not to measure latency").
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator

from inprocml.batching import Result
from inprocml.errors import DeadlineExceeded, Unavailable
from inprocml.sizing.settings import Seen

__all__ = ["closed_loop", "open_loop"]

Ask = Callable[[int], Result]

_CALLERS = 96  # threads of an open loop: more requests than these are not on their way at once


def closed_loop(ask: Ask, *, callers: int, seconds: float, think: float = 0.0) -> Seen:
    """Let ``callers`` threads ask again ``think`` seconds after they are answered, for ``seconds``.

    ``ask`` gets the number of the request. What it raises other than a refusal ends the loop and is raised.
    """
    until = time.perf_counter() + seconds
    numbers = itertools.count()
    crowd = _Crowd(ask)

    def turns() -> Iterator[tuple[int, float]]:
        while time.perf_counter() < until:
            if think and crowd.pause(think):
                return
            yield next(numbers), 0.0

    return crowd.play(turns, callers)


def open_loop(ask: Ask, *, rate: float, seconds: float, seed: int = 0, callers: int = _CALLERS) -> Seen:
    """Ask ``rate`` times a second by chance (Poisson) for ``seconds``; as ``closed_loop`` otherwise."""
    chance = random.Random(seed)  # noqa: S311  arrivals, repeatable
    crowd = _Crowd(ask)
    turn = threading.Lock()
    start = time.perf_counter()
    state = [0, 0.0]  # requests so far, and when the last of them was due

    def turns() -> Iterator[tuple[int, float]]:
        while True:
            with turn:
                state[0] += 1
                state[1] += chance.expovariate(rate)
                number, due = int(state[0]), start + state[1]
            if due - start > seconds:
                return
            early = due - time.perf_counter()
            if early > 0 and crowd.pause(early):
                return
            yield number, due if early <= 0 else 0.0

    return crowd.play(turns, callers)


class _Crowd:
    """Threads that ask, and what they saw."""

    def __init__(self, ask: Ask) -> None:
        self.ended = False
        self._gate = threading.Lock()  # a raw lock waits more cheaply than an event, 10,000 times a second
        self._gate.acquire()
        self._ask = ask
        self._latencies: list[list[float]] = []
        self._shares: list[float] = []  # of a run, by answer
        self._refused: list[int] = []
        self._faults: list[BaseException] = []

    def pause(self, seconds: float) -> bool:
        """Wait; True: no more, for it is over."""
        if self._gate.acquire(timeout=seconds):
            self._gate.release()
        return self.ended

    def play(self, turns: Callable[[], Iterator[tuple[int, float]]], callers: int) -> Seen:
        """Ask whenever it is somebody's turn: a number, and since when (0: just now)."""
        threads = [
            threading.Thread(target=self._call, args=(turns(),), name="inprocml-bench", daemon=True)
            for _ in range(callers)
        ]
        began = time.perf_counter()
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self._end()
        took = time.perf_counter() - began
        if self._faults:
            raise self._faults[0]
        flat = sorted(itertools.chain.from_iterable(self._latencies))
        runs = sum(self._shares)
        return Seen(
            answered=len(flat),
            refused=sum(self._refused),
            seconds=took,
            mean_batch=len(flat) / runs if runs else 0.0,
            latencies=tuple(flat),
        )

    def _call(self, turns: Iterator[tuple[int, float]]) -> None:
        latencies: list[float] = []
        refused, runs = 0, 0.0
        try:
            for number, due in turns:
                if self.ended:
                    break
                began = due or time.perf_counter()
                try:
                    result = self._ask(number)
                except (DeadlineExceeded, Unavailable):
                    refused += 1
                    continue
                latencies.append(time.perf_counter() - began)
                runs += 1 / max(1, result.batch_rows)
        except BaseException as error:  # noqa: BLE001  raised where the loop was started
            self._faults.append(error)
            self._end()
        self._latencies.append(latencies)
        self._shares.append(runs)
        self._refused.append(refused)

    def _end(self) -> None:
        self.ended = True
        with contextlib.suppress(RuntimeError):  # open already
            self._gate.release()
