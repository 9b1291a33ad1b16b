"""The rules of batching as a pure state machine: no thread, no lock, no clock, no model.

Who may use the device, who waits, what forms the next batch and whose time is up are decided here, and
nothing is done: callers pass ``now`` in and act on what comes out. The driver (``runner``) holds one lock
around each call. Kept apart for h11's reason: rules that touch nothing can be tried in every order by a
property-based test, and the part that touches threads stays short enough to be read.

The device has one holder at a time: nobody, one inline caller, or the worker. It is given up by name: only
the holder can free it, and freeing it twice does nothing.

    nobody --arrive--> inline caller --release--> nobody            (nothing waits)
                                     --release--> worker            (rows wait: it must be woken)
    nobody --arrive(inline=False)--> worker --take: nothing waits--> nobody

A ticket is NEW, then INLINE, or WAITING and RUNNING; it ends as DONE (it has an answer or an error) or as
GONE (its caller left). A patient ticket that finds the queue full is OUTSIDE until rows leave the queue.
Items are served in the order of arrival; a batch never skips an item to fill up.

A signal handler may raise between any two lines that a caller runs here. Therefore ``leave`` mends whatever
``arrive``, ``release`` or an earlier ``leave`` of the same ticket left half done: the order of the lines in
``_append``, ``_remove`` and ``_admit`` matters.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Final, NamedTuple

from inprocml.errors import DeadlineExceeded, Overloaded, Unavailable

__all__ = ["Drained", "Move", "Queue", "State", "Take", "Ticket", "check_limits"]


def check_limits(*, max_batch_size: int, max_queue_delay: float, max_queue_size: int) -> None:
    """Refuse impossible limits of a queue with a ``ValueError`` that names the argument.

    Sizes are whole rows, at least 1; the delay is a finite number of seconds, 0 or more.
    """
    for name, size in (("max_batch_size", max_batch_size), ("max_queue_size", max_queue_size)):
        if not _is_number(size, Integral) or size < 1:
            raise ValueError(f"{name} is {size!r} and must be a whole number of rows, at least 1")
    if not _is_number(max_queue_delay, Real) or not 0 <= max_queue_delay < math.inf:
        raise ValueError(f"max_queue_delay is {max_queue_delay!r} and must be seconds, 0 or more and finite")


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


class Drained(Unavailable):
    """The queue takes no more rows: its model was replaced. Ask for the current one and try again."""


class Move(enum.Enum):
    """What an arriving caller does next."""

    RUN = "compute your own rows: you hold the device"
    WAIT = "wait"
    WAKE = "tell the worker, then wait"


class State(enum.Enum):
    """Where a ticket is."""

    NEW = "not in the queue yet"
    OUTSIDE = "waits for room in the queue"
    INLINE = "computed by its own caller"
    WAITING = "in the queue"
    RUNNING = "in the worker's batch"
    DONE = "answered, or refused"
    GONE = "its caller left"


class Ticket:
    """One caller's rows in the queue. ``deadline`` and ``arrived`` are seconds on the driver's clock."""

    __slots__ = ("arrived", "deadline", "rows", "state")

    def __init__(self, rows: int, arrived: float, deadline: float = math.inf) -> None:
        self.rows = rows
        self.arrived = arrived
        self.deadline = deadline
        self.state = State.NEW


class _Worker(enum.Enum):
    """The one holder of the device that is no caller."""

    WORKER = "the worker"


_WORKER: Final = _Worker.WORKER


class Take(NamedTuple):
    """The worker's next step: compute ``batch``, or wait until ``ready_at``, or (both empty) park."""

    batch: list[Ticket]
    expired: list[Ticket]
    ready_at: float | None


class Queue:
    """Rows waiting for one device.

    ``max_batch_size`` and ``max_queue_size`` count rows; ``max_queue_delay`` is in seconds. An empty queue
    takes any one item: otherwise an item larger than ``max_queue_size`` could never be served.
    """

    def __init__(
        self,
        *,
        name: str = "model",
        max_batch_size: int = 64,
        max_queue_delay: float = 0.0,
        max_queue_size: int = 1024,
    ) -> None:
        check_limits(
            max_batch_size=max_batch_size, max_queue_delay=max_queue_delay, max_queue_size=max_queue_size
        )
        self.name = name
        self.max_batch_size = max_batch_size
        self.max_queue_delay = max_queue_delay
        self.max_queue_size = max_queue_size
        self.depth = 0  # rows waiting
        self.holder: Ticket | _Worker | None = None  # of the device
        self.draining = False
        self._holding = False  # the worker holds the device and waits for company
        # Not a deque: a caller may leave from the middle, and a row that left must free its memory now.
        self._waiting: OrderedDict[Ticket, None] = OrderedDict()
        self._outside: OrderedDict[Ticket, None] = OrderedDict()  # empty unless the queue is full
        self._running: list[Ticket] = []

    @property
    def busy(self) -> bool:
        """Whether somebody holds the device."""
        return self.holder is not None

    @property
    def worker(self) -> bool:
        """Whether the worker holds the device, and so must be awake."""
        return self.holder is _WORKER

    def arrive(self, ticket: Ticket, now: float, *, inline: bool, patient: bool = False) -> Move:
        """Admit a caller; ``inline``: it could compute on its own thread; ``patient``: it waits for room.

        Raises ``Drained``, ``DeadlineExceeded`` (already late), ``Overloaded`` (unless patient), or
        ``ValueError`` (more rows than any batch holds). After any other exception the caller must leave.
        """
        if self.draining:
            raise Drained(
                f"model {self.name!r}: this version is drained; ask for the current one and try again"
            )
        if ticket.rows > self.max_batch_size:
            raise ValueError(
                f"model {self.name!r}: {ticket.rows} rows in one call, max_batch_size is "
                f"{self.max_batch_size}; send them in chunks"
            )
        if ticket.deadline <= now:
            raise self.too_late(waited=False)
        if self.holder is None:
            if inline and not self.max_queue_delay:
                ticket.state = State.INLINE
                self.holder = ticket
                return Move.RUN
            self.holder = _WORKER
            self._append(ticket)
            return Move.WAKE
        if self._fits(ticket):
            self._append(ticket)
            return self._enough()
        if not patient:
            raise Overloaded(
                f"model {self.name!r}: {self.depth} rows wait, max_queue_size is {self.max_queue_size}; "
                "try again later, add processes, or allow a longer queue"
            )
        ticket.state = State.OUTSIDE
        self._outside[ticket] = None
        return Move.WAIT

    def release(self, ticket: Ticket) -> bool:
        """End an inline run. True: the worker holds the device from now on; wake it."""
        if self.holder is ticket:
            self.holder = _WORKER if self._waiting else None
            ticket.state = State.DONE
        return self.holder is _WORKER

    def take(self, now: float) -> Take:
        """Form the worker's next batch, in order of arrival; when nothing waits, give the device back.

        A worker that was woken for nothing, while an inline caller holds the device, gets nothing.
        """
        if self.holder is not _WORKER:
            return Take([], [], None)
        batch: list[Ticket] = []
        self._running = batch
        self._holding = False
        expired: list[Ticket] = []
        rows = 0
        while self._waiting:
            ticket = next(iter(self._waiting))
            if ticket.deadline <= now:
                self._remove(ticket, State.DONE)
                expired.append(ticket)
                continue
            if not batch and (ready_at := self._ready_at(ticket)) > now:
                self._holding = True
                return Take(batch, expired, ready_at)
            rows += ticket.rows
            if rows > self.max_batch_size:
                break
            self._remove(ticket, State.RUNNING)
            batch.append(ticket)
        if not batch:
            self.holder = None
        return Take(batch, expired, None)

    def settle(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """Close computed tickets; return those whose callers still wait, in order."""
        staying = [ticket for ticket in tickets if ticket.state is State.RUNNING]
        for ticket in staying:
            ticket.state = State.DONE
        return staying

    def leave(self, ticket: Ticket) -> bool:
        """Take out a caller, wherever it is, interrupted or not. False: too late, its answer is there.

        If the worker holds the device afterwards, wake it: the one who left may have owed it that.
        """
        self.release(ticket)
        self._outside.pop(ticket, None)
        if ticket in self._waiting:
            self._remove(ticket, State.GONE)
        elif ticket.state is State.WAITING:  # an earlier leave was interrupted halfway
            self.depth = sum(waiting.rows for waiting in self._waiting)
        self._admit()
        if ticket.state is State.DONE:
            return False
        ticket.state = State.GONE
        return True

    def expire(self, now: float) -> list[Ticket]:
        """Close and return all tickets whose time is up, waiting or in the worker's batch."""
        late = [ticket for ticket in self._all() if ticket.deadline <= now]
        for ticket in late:
            self._outside.pop(ticket, None)
        for ticket in late:
            if ticket in self._waiting:
                self._remove(ticket, State.DONE)
            ticket.state = State.DONE
        self._admit()
        return late

    def drain(self) -> Move:
        """Refuse new callers; those that wait, if only for room, are still served, without more delay."""
        self.draining = True
        return self._enough()

    def abandon(self) -> list[Ticket]:
        """Give up: the device can serve nobody. Close and return every ticket that waits or runs."""
        lost = self._all()
        for ticket in lost:
            ticket.state = State.DONE
        self._waiting.clear()
        self._outside.clear()
        self._running = []
        self.depth = 0
        self._holding = False
        self.holder = None
        return lost

    def too_late(self, *, waited: bool) -> DeadlineExceeded:
        """Build the error of a caller whose time is up."""
        when = "passed before the answer was there" if waited else "had passed when the call was made"
        return DeadlineExceeded(
            f"model {self.name!r}: the deadline {when}; allow more time or send less load"
        )

    def _all(self) -> list[Ticket]:
        """Everybody who still expects an answer of the worker."""
        here = (State.RUNNING, State.WAITING, State.OUTSIDE)
        everybody = dict.fromkeys((*self._running, *self._waiting, *self._outside))
        return [ticket for ticket in everybody if ticket.state in here]

    def _fits(self, ticket: Ticket) -> bool:
        return not self._waiting or self.depth + ticket.rows <= self.max_queue_size

    def _append(self, ticket: Ticket) -> None:
        # One statement, between whose stores no signal handler runs: a row in line is a row counted.
        self._waiting[ticket], self.depth = None, self.depth + ticket.rows
        ticket.state = State.WAITING

    def _remove(self, ticket: Ticket, state: State) -> None:
        ticket.state = State.WAITING  # until the end: a ticket that waits and is not in line is half removed
        del self._waiting[ticket]
        self.depth -= ticket.rows
        ticket.state = state
        self._admit()

    def _admit(self) -> None:
        """Let in those who wait for room, in order, as far as they fit."""
        while self._outside:
            ticket = next(iter(self._outside))
            if ticket.state is State.OUTSIDE and ticket not in self._waiting:
                if not self._fits(ticket):
                    return
                self._append(ticket)
            self._outside.popitem(last=False)

    def _enough(self) -> Move:
        """Let a worker that waits for company go when its batch is full, or when nobody else will come."""
        if self._holding and (self.draining or self.depth >= self.max_batch_size):
            self._holding = False
            return Move.WAKE
        return Move.WAIT

    def _ready_at(self, oldest: Ticket) -> float:
        if self.draining or not self.max_queue_delay or self.depth >= self.max_batch_size:
            return -math.inf
        return oldest.arrived + self.max_queue_delay
