"""Which operation of a device comes surely after which, and who touches memory without such an order.

Vector clocks: every stream counts its operations, every event remembers what had been enqueued before it, the
host what it has waited for. Two operations on the same bytes, of which one writes, must be in order; if they
are not, a real device gives a right answer most of the time.

Source: Mattern, "Virtual Time and Global States of Distributed Systems", 1989.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

__all__ = ["Access", "Event", "Memory", "Order", "Step", "Stream"]

Ticks = dict[int, int]
"""Stream -> how many of its operations."""


@dataclass(eq=False, slots=True)
class Step:
    """One operation; ``after`` are those that it waits for."""

    stream: Stream
    name: str
    batch: int
    number: int
    seconds: float
    asked: float
    ticks: Ticks
    after: tuple[Step, ...]
    begin: float = 0.0
    end: float = 0.0

    def __str__(self) -> str:
        return f"{self.name} of batch {self.batch} on stream {self.stream.name!r}"

    def place(self) -> None:
        """Put it in time, behind all that it waits for."""
        self.begin = max([self.asked, *(step.end for step in self.after)])
        self.end = self.begin + self.seconds


@dataclass(eq=False, slots=True)
class Stream:
    """Operations that run one after the other."""

    name: str
    key: int
    ticks: Ticks = field(default_factory=dict)
    last: Step | None = None
    waits: list[Step] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Event:
    """A point in a stream."""

    ticks: Ticks = field(default_factory=dict)
    step: Step | None = None


@dataclass(eq=False, slots=True)
class Memory:
    """Bytes that operations touch: a block of the device, or page-locked bytes of the host.

    ``home`` is the stream whose allocator owns it: there it may be freed while operations are still to come.
    """

    name: str
    home: Stream | None = None
    touched: list[tuple[int, int, Step, bool]] = field(default_factory=list)


Access = tuple[Memory, int, int]
"""Which bytes of which memory: from, up to."""


class Order:
    """What is enqueued, in which order it surely runs, and when it does in virtual time."""

    def __init__(self) -> None:
        self.steps: list[Step] = []  # all that was ever enqueued, for the trace
        self.faults: list[str] = []  # found where nothing can be raised: in a finalizer
        self._open: list[Step] = []  # not yet seen to end by the host
        self._host: Ticks = {}
        self._units: dict[str, Step] = {}
        self._streams = 0

    def stream(self, name: str) -> Stream:
        """Return a new stream."""
        self._streams += 1
        return Stream(name, self._streams)

    def enqueue(
        self,
        stream: Stream,
        name: str,
        *,
        unit: str,
        seconds: float,
        now: float,
        batch: int,
        reads: Iterable[Access] = (),
        writes: Iterable[Access] = (),
    ) -> Step:
        """Add an operation that keeps ``unit`` busy for ``seconds``; ``AssertionError`` if it races one."""
        number = stream.ticks.get(stream.key, 0) + 1
        _merge(stream.ticks, self._host)
        stream.ticks[stream.key] = number
        before = [stream.last, self._units.get(unit), *stream.waits]
        after = tuple(step for step in before if step is not None)
        step = Step(stream, name, batch, number, seconds, now, dict(stream.ticks), after)
        for writing, accesses in ((False, reads), (True, writes)):
            for access in accesses:
                _touch(step, access, writing=writing)
        step.place()
        stream.waits.clear()
        stream.last = self._units[unit] = step
        self.steps.append(step)
        self._open.append(step)
        return step

    def record(self, stream: Stream, event: Event) -> None:
        """Let ``event`` come when all that ``stream`` holds is done."""
        event.ticks, event.step = dict(stream.ticks), stream.last

    def wait(self, stream: Stream, event: Event) -> None:
        """Let what follows on ``stream`` begin after ``event``."""
        _merge(stream.ticks, event.ticks)
        if event.step is not None:
            stream.waits.append(event.step)

    def observe(self, ticks: Ticks, each: Callable[[Step], None]) -> None:
        """Let the host know of all that came before; ``each`` is called for what it learns the end of."""
        _merge(self._host, ticks)
        for step in [step for step in self._open if self.seen(step)]:
            self._open.remove(step)
            step.after = ()
            each(step)

    def everything(self) -> Ticks:
        """Return the clock of all that is enqueued."""
        ticks: Ticks = {}
        for step in self._open:
            _merge(ticks, step.ticks)
        return ticks

    def end(self) -> float:
        """Return when the last of what is enqueued ends."""
        return max((step.end for step in self._open), default=0.0)

    def seen(self, step: Step) -> bool:
        """Whether the host knows that ``step`` has ended."""
        return self._host.get(step.stream.key, 0) >= step.number

    def resume(self, now: float) -> None:
        """Let what was to take for ever end now, and put what waits for it in time."""
        for step in self._open:
            if step.seconds == math.inf:
                step.seconds, step.asked = 0.0, now
            step.place()

    def free(self, memory: Memory) -> None:
        """Note a fault if ``memory`` is given back while operations still touch it. Raises nothing."""
        for _, _, step, _ in memory.touched:
            if not self.seen(step) and step.stream is not memory.home:
                self.faults.append(f"{memory.name} was freed while {step} may still touch it")
                return


def _merge(ticks: Ticks, others: Ticks) -> None:
    for key, number in others.items():
        if ticks.get(key, 0) < number:
            ticks[key] = number


def _before(earlier: Step, later: Step) -> bool:
    return later.ticks.get(earlier.stream.key, 0) >= earlier.number


def _touch(step: Step, access: Access, *, writing: bool) -> None:
    """Note one access of ``step``; ``AssertionError`` where another one is not in order with it."""
    memory, low, high = access
    kept = []
    for touched in memory.touched:
        other_low, other_high, other, other_writing = touched
        apart = other_high <= low or high <= other_low
        if other is not step and not apart and (writing or other_writing) and not _before(other, step):
            verb, was = ("writes" if writing else "reads"), ("writes" if other_writing else "reads")
            raise AssertionError(
                f"hazard: {step} {verb} {memory.name} while {other}, which {was} it, may still run; "
                "let an event order them"
            )
        covered = writing and low <= other_low and other_high <= high  # whoever comes after this, after that
        if not covered or other is step:
            kept.append(touched)
    kept.append((low, high, step, writing))
    memory.touched = kept
