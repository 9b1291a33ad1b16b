"""The real queue in virtual time: what callers would see at a load, without waiting for it.

A discrete-event simulation. Every decision is taken by ``batching.queue.Queue`` itself, driven as ``Runner``
and its worker drive it; only time, the device and the callers are made up. The interpreter is one more
device that all pass one after the other, because they do. Seeded: the same arguments give the same answer.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from inprocml.batching.queue import Queue
from inprocml.batching.ticket import Move, Ticket
from inprocml.errors import InprocmlError
from inprocml.sizing.settings import Settings, Simulated
from inprocml.sizing.timing import Overhead, Timing

__all__ = ["simulate"]

_REQUESTS = 5000
_LESSONS = 8  # runs of one row and of a full batch that the queue has seen: it has served before


class _Event(NamedTuple):
    """Something that happens at ``when``; ``order`` decides between two at one time."""

    when: float
    order: int
    act: Callable[[float, Any], None]
    what: Any


class _Request(Ticket):
    """A caller's ticket, and when the caller began."""

    __slots__ = ("asked", "began")

    def __init__(self, began: float) -> None:
        super().__init__(1, began)
        self.began = began
        self.asked = began


def simulate(
    timing: Timing,
    settings: Settings | None = None,
    *,
    rate: float | None = None,
    callers: int | None = None,
    think: float = 0.0,
    overhead: Overhead | None = None,
    requests: int = _REQUESTS,
    seed: int = 0,
) -> Simulated:
    """Let ``requests`` requests of one row meet a model that takes ``timing``, under ``settings``.

    Either ``rate`` requests a second arrive by chance (Poisson), or ``callers`` ask again ``think`` seconds
    after each answer. All times are seconds. Raises ``ValueError`` for a load that is none.
    """
    if (rate is None) == (callers is None):
        raise ValueError("give one load: rate= in requests a second, or callers= in a closed loop")
    if rate is not None and not 0 < rate < math.inf:
        raise ValueError(f"rate is {rate!r} and must be requests a second, above 0 and finite")
    if (callers is not None and callers < 1) or requests < 1 or not 0 <= think < math.inf:
        raise ValueError("callers and requests must be at least 1, think 0 or more")
    world = _World(timing, settings or Settings(), overhead or Overhead(), requests, seed)
    return world.play(rate, callers, think)


class _World:
    """One simulation: the clock, what will happen, the device, the interpreter, and the counts."""

    def __init__(
        self, timing: Timing, settings: Settings, overhead: Overhead, requests: int, seed: int
    ) -> None:
        self._timing, self._overhead = timing, overhead
        # Two sources of chance: under other settings the same requests arrive at the same times.
        self._arrivals = random.Random(seed)  # noqa: S311  a simulation, repeatable
        self._noise = random.Random(f"noise {seed}")  # noqa: S311
        self._queue = Queue(
            max_batch_size=settings.max_batch_size,
            max_queue_delay=settings.max_queue_delay,
            max_queue_size=settings.max_queue_size,
            slo=settings.slo,
        )
        for rows in _LESSONS * (1, min(settings.max_batch_size, timing.sizes[-1])):
            self._queue.ran(None, rows, timing.at(rows), 0.0)
        self._events: list[_Event] = []
        self._order = itertools.count()
        self._left = requests  # to arrive
        self._think = 0.0
        self._closed = False
        self._interpreter = 0.0  # when it is free
        self._computing = False  # the worker
        self._look = 0  # of the worker's looks that are planned, the one that counts
        self._latencies: list[float] = []
        self._waits: list[float] = []
        self._begun = self._refused = self._runs = self._inline = 0
        self._busy = 0.0
        self._area = 0.0  # requests in the system, times seconds

    def play(self, rate: float | None, callers: int | None, think: float) -> Simulated:
        """Run until the last request is answered or refused."""
        if callers is not None:
            self._closed, self._think = True, think
            for _ in range(min(callers, self._left)):
                self._left -= 1
                self._at(0.0, self._begin, None)
        elif rate is not None:
            self._left -= 1
            self._at(self._arrivals.expovariate(rate), self._arrive, rate)
        now, inside = 0.0, 0
        while self._events:
            event = heapq.heappop(self._events)
            self._area += inside * (event.when - now)
            now = event.when
            event.act(now, event.what)
            inside = self._begun - len(self._latencies) - self._refused
        return self._counted(now)

    # -- callers

    def _arrive(self, now: float, rate: float) -> None:
        if self._left:
            self._left -= 1
            self._at(now + self._arrivals.expovariate(rate), self._arrive, rate)
        self._begin(now, None)

    def _begin(self, now: float, _: object) -> None:
        self._begun += 1
        self._at(self._interpreted(now, self._overhead.before), self._ask, _Request(now))

    def _ask(self, now: float, request: _Request) -> None:
        request.asked = now
        try:
            move = self._queue.arrive(request, now, inline=True)
        except InprocmlError:
            self._refuse(now)
            return
        if move is Move.RUN:
            seconds = self._overhead.call + self._run(1)
            self._inline += 1
            self._waits.append(0.0)
            self._at(now + seconds, self._ran_inline, request)
        elif move is Move.WAKE:
            self._plan(now + self._overhead.wake)

    def _ran_inline(self, now: float, request: _Request) -> None:
        if request.arrived >= self._queue.curious_at:
            self._queue.ran(request.shape, request.rows, now - request.arrived, now)
        if self._queue.release(request):
            self._plan(now + self._overhead.wake)
        self._at(self._interpreted(now, self._overhead.after), self._answered, request)

    def _answered(self, now: float, request: _Request) -> None:
        self._latencies.append(now - request.began)
        self._again(now + self._think)

    def _refuse(self, now: float) -> None:
        self._refused += 1
        self._again(now + max(self._think, self._timing.at(1)))  # nobody asks again in no time

    def _again(self, when: float) -> None:
        if self._closed and self._left:
            self._left -= 1
            self._at(when, self._begin, None)

    # -- the worker

    def _plan(self, when: float) -> None:
        """Let the worker look at the queue; only the last plan counts."""
        self._look += 1
        self._at(when, self._work, self._look)

    def _work(self, now: float, look: int) -> None:
        if self._computing or look != self._look:
            return
        step = self._queue.take(now)
        for _ in step.expired:
            self._refuse(now)
        if step.batch:
            self._computing = True
            seconds = self._run(len(step.batch))
            self._waits += [now - ticket.arrived for ticket in step.batch]
            self._at(now + seconds, self._ran, (step.batch, seconds))
        elif step.ready_at is not None:
            self._plan(max(now, step.ready_at))

    def _ran(self, now: float, done: tuple[list[Ticket], float]) -> None:
        batch, seconds = done
        self._computing = False
        self._queue.ran(batch[0].shape, len(batch), seconds, now)
        for ticket in self._queue.settle(batch, now):
            ready = self._interpreted(now, self._overhead.hand + self._overhead.after)
            self._at(ready + self._overhead.wake, self._answered, ticket)
        self._plan(now)

    # -- what they share

    def _run(self, rows: int) -> float:
        seconds = self._timing.at(rows, self._noise.random())
        self._runs += 1
        self._busy += seconds
        return seconds

    def _interpreted(self, now: float, seconds: float) -> float:
        """Return when the interpreter has done so much more; it does one thing at a time."""
        if not seconds:
            return now
        self._interpreter = max(self._interpreter, now) + seconds
        return self._interpreter

    def _at(self, when: float, act: Callable[[float, Any], None], what: object) -> None:
        heapq.heappush(self._events, _Event(when, next(self._order), act, what))

    def _counted(self, now: float) -> Simulated:
        answered = len(self._latencies)
        return Simulated(
            arrivals=self._begun,
            answered=answered,
            refused=self._refused,
            seconds=now,
            utilisation=min(1.0, self._busy / now) if now else 0.0,
            mean_batch=answered / self._runs if self._runs else 0.0,
            inline=self._inline / answered if answered else 0.0,
            mean_wait=sum(self._waits) / len(self._waits) if self._waits else 0.0,
            in_system=self._area / now if now else 0.0,
            latencies=tuple(sorted(self._latencies)),
        )
