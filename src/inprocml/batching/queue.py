"""The rules of batching as a pure state machine: no thread, no lock, no clock, no model.

Who may use the device, who waits, what forms the next batch and whose time is up are decided here, and
nothing is done: callers pass ``now`` in and act on what comes out. The driver (``runner``) holds one lock
around each call. Kept apart for h11's reason: rules that touch nothing can be tried in every order by a
property-based test, and the part that touches threads stays short enough to be read.

The device has one holder at a time: nobody, one inline caller, or the worker.

    nobody --arrive--> inline caller --release--> nobody            (nothing waits)
                                     --release--> worker            (rows wait: Move.WAKE was owed)
    nobody --arrive(inline=False)--> worker --take: nothing waits--> nobody

A ticket is NEW, then INLINE, or WAITING and RUNNING; it ends as DONE (it has an answer or an error) or as
GONE (its caller left). Items are served in the order of arrival; a batch never skips an item to fill up.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from inprocml.errors import DeadlineExceeded, Overloaded, Unavailable

__all__ = ["Drained", "Move", "Queue", "State", "Take", "Ticket"]


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
        if max_batch_size < 1:
            raise ValueError(f"max_batch_size is {max_batch_size} and must be at least 1 row")
        if max_queue_size < 1:
            raise ValueError(f"max_queue_size is {max_queue_size} and must be at least 1 row")
        if not 0 <= max_queue_delay < math.inf:
            raise ValueError(f"max_queue_delay is {max_queue_delay} and must be 0 or more seconds")
        self.name = name
        self.max_batch_size = max_batch_size
        self.max_queue_delay = max_queue_delay
        self.max_queue_size = max_queue_size
        self.depth = 0  # rows waiting
        self.busy = False  # somebody holds the device
        self.worker = False  # ... and it is the worker
        self.draining = False
        self._holding = False  # the worker holds the device and waits for company
        # Not a deque: a caller may leave from the middle, and a row that left must free its memory now.
        self._waiting: OrderedDict[Ticket, None] = OrderedDict()
        self._running: list[Ticket] = []

    def arrive(self, ticket: Ticket, now: float, *, inline: bool) -> Move:
        """Admit a caller; ``inline`` says that it could compute on its own thread.

        Raises ``Drained``, ``DeadlineExceeded`` (already late), ``Overloaded``, or ``ValueError``
        (more rows than any batch holds).
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
        if not self.busy:
            self.busy = True
            if inline and not self.max_queue_delay:
                ticket.state = State.INLINE
                return Move.RUN
            self.worker = True
            self._append(ticket)
            return Move.WAKE
        if self._waiting and self.depth + ticket.rows > self.max_queue_size:
            raise Overloaded(
                f"model {self.name!r}: {self.depth} rows wait, max_queue_size is {self.max_queue_size}; "
                "try again later, add processes, or allow a longer queue"
            )
        self._append(ticket)
        return self._enough()

    def release(self, ticket: Ticket) -> bool:
        """End an inline run. True: rows wait, so the worker holds the device from now on; wake it."""
        ticket.state = State.DONE
        self.busy = self.worker = bool(self._waiting)
        return self.worker

    def take(self, now: float) -> Take:
        """Form the worker's next batch, in order of arrival; when nothing waits, give the device back.

        A worker that was woken for nothing, while an inline caller holds the device, gets nothing.
        """
        if not self.worker:
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
        self.busy = self.worker = bool(batch)
        return Take(batch, expired, None)

    def settle(self, tickets: Iterable[Ticket]) -> list[Ticket]:
        """Close computed tickets; return those whose callers still wait, in order."""
        staying = [ticket for ticket in tickets if ticket.state is State.RUNNING]
        for ticket in staying:
            ticket.state = State.DONE
        return staying

    def leave(self, ticket: Ticket) -> bool:
        """Take out a caller that stops waiting. False: too late, its answer is there."""
        if ticket.state is State.DONE:
            return False
        if ticket.state is State.WAITING:
            self._remove(ticket, State.GONE)
        ticket.state = State.GONE
        return True

    def expire(self, now: float) -> list[Ticket]:
        """Close and return all tickets whose time is up, waiting or in the worker's batch."""
        late = [ticket for ticket in (*self._waiting, *self._running) if ticket.deadline <= now]
        late = [ticket for ticket in late if ticket.state in {State.WAITING, State.RUNNING}]
        for ticket in late:
            if ticket.state is State.WAITING:
                self._remove(ticket, State.DONE)
            ticket.state = State.DONE
        return late

    def drain(self) -> Move:
        """Refuse new callers from now on; those that wait are still served, without waiting for company."""
        self.draining = True
        return self._enough()

    def abandon(self) -> list[Ticket]:
        """Give up: the device can serve nobody. Close and return every ticket that waits or runs."""
        lost = [ticket for ticket in (*self._running, *self._waiting) if ticket.state is not State.GONE]
        lost = [ticket for ticket in lost if ticket.state is not State.DONE]
        for ticket in lost:
            ticket.state = State.DONE
        self._waiting.clear()
        self._running = []
        self.depth = 0
        self.busy = self.worker = self._holding = False
        return lost

    def too_late(self, *, waited: bool) -> DeadlineExceeded:
        """Build the error of a caller whose time is up."""
        when = "passed before the answer was there" if waited else "had passed when the call was made"
        return DeadlineExceeded(
            f"model {self.name!r}: the deadline {when}; allow more time or send less load"
        )

    def _append(self, ticket: Ticket) -> None:
        ticket.state = State.WAITING
        self._waiting[ticket] = None
        self.depth += ticket.rows

    def _remove(self, ticket: Ticket, state: State) -> None:
        del self._waiting[ticket]
        self.depth -= ticket.rows
        ticket.state = state

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
