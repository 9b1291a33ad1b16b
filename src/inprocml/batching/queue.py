"""The rules of batching as a pure state machine: no thread, no lock, no clock, no model.

Who may use the device, who waits, what forms the next batch and whose time is up are decided here, and
nothing is done: callers pass ``now`` in and act on what comes out. The driver (``runner``) holds one lock
around each call. Kept apart for h11's reason: rules that touch nothing can be tried in every order by a
property-based test, and the part that touches threads stays short enough to be read.

The device has one holder at a time: nobody, one inline caller, or the worker. It is given up by name: only
the holder can free it, and freeing it twice does nothing.

    nobody --arrive--> inline caller --release--> nobody            (nothing waits)
                                     --release--> worker            (rows wait: it must be woken)
    nobody --arrive(inline=False)--> worker --take: nothing waits or runs--> nobody

A ticket is NEW, then INLINE, or WAITING and RUNNING; it ends as DONE (it has an answer or an error) or as
GONE (its caller left). A patient ticket that finds the queue full is OUTSIDE until rows leave the queue.

The most urgent go first (``line``). A batch holds tickets of one shape, and skips none of them to fill up.

A signal handler may raise between any two lines that a caller runs here. Therefore ``leave`` mends whatever
``arrive``, ``release`` or an earlier ``leave`` of the same ticket left half done.
"""

from __future__ import annotations

import enum
import math
from bisect import bisect_left
from collections.abc import Hashable, Iterable
from typing import Final

from inprocml.batching.forecast import Forecast
from inprocml.batching.line import Line
from inprocml.batching.pace import Pace
from inprocml.batching.refusals import drained, full, never_on_time, over_objective, too_late
from inprocml.batching.ticket import Move, State, Take, Ticket, check_limits

__all__ = ["LESSON_SECONDS", "Queue"]

LESSON_SECONDS: Final = 0.01  # between two inline runs that are learnt from
_EARLY: Final = 0.8  # of what a batch is expected to take, after which the next may start on its way


class _Worker(enum.Enum):
    """The one holder of the device that is no caller."""

    WORKER = "the worker"


_WORKER: Final = _Worker.WORKER


class Queue:
    """Rows waiting for one device.

    ``max_batch_size`` and ``max_queue_size`` count rows; ``max_queue_delay`` and ``slo`` are in seconds. An
    empty queue takes any one item: otherwise an item larger than ``max_queue_size`` could never be served.
    With an objective ``slo``, a batch takes at most half of it, and who would wait for longer is refused.
    ``sizes`` are the batch sizes that the device has prepared, ascending; the driver may change them.
    """

    def __init__(
        self,
        *,
        name: str = "model",
        max_batch_size: int = 64,
        max_queue_delay: float = 0.0,
        max_queue_size: int = 1024,
        slo: float | None = None,
        sizes: tuple[int, ...] = (),
    ) -> None:
        check_limits(
            max_batch_size=max_batch_size,
            max_queue_delay=max_queue_delay,
            max_queue_size=max_queue_size,
            slo=slo,
        )
        self.name = name
        self.max_batch_size = max_batch_size
        self.max_queue_delay = max_queue_delay
        self.max_queue_size = max_queue_size
        self.slo = slo
        self.sizes = sizes
        self.lead = 0.0  # seconds before the device is free at which the next batch should start on its way
        self.holder: Ticket | _Worker | None = None  # of the device
        self.began = 0.0  # when the device was last given something to do
        self._free = 0.0  # when the worker's batches are expected to be done
        self.draining = False
        self.curious_at = -math.inf  # an inline run that begins before is not worth learning from
        self.forecast = Forecast()
        self._pace = Pace()
        self._holding = False  # the worker holds the device and waits for company
        self._straight = False  # rows waited when the last batch ended
        self._line = Line(max_queue_size) if slo is None else Line(max_queue_size, slo)
        self._running: dict[Ticket, None] = {}

    @property
    def depth(self) -> int:
        """Rows waiting."""
        return self._line.rows

    @property
    def active(self) -> int:
        """Rows waiting or being computed; an estimate where it is read without a lock."""
        return self.depth + sum(ticket.rows for ticket in self.running())

    @property
    def busy(self) -> bool:
        """Whether somebody holds the device."""
        return self.holder is not None

    @property
    def worker(self) -> bool:
        """Whether the worker holds the device, and so must be awake."""
        return self.holder is _WORKER

    # -- the callers' side

    def arrive(self, ticket: Ticket, now: float, *, inline: bool, patient: bool = False) -> Move:
        """Admit a caller; ``inline``: it could compute on its own thread; ``patient``: it waits for room.

        Raises ``Drained``, ``DeadlineExceeded`` (late already, or sure to be), ``Overloaded`` (unless
        patient), or ``ValueError`` (more rows than any batch holds). After any other exception the caller
        must leave.
        """
        if self.draining:
            raise drained(self.name)
        if ticket.rows > self.max_batch_size:
            raise ValueError(
                f"model {self.name!r}: {ticket.rows} rows in one call, max_batch_size is "
                f"{self.max_batch_size}; send them in chunks"
            )
        if ticket.deadline <= now:
            raise too_late(self.name, waited=False)
        ticket.arrived = now
        if self.holder is None:
            if ticket.deadline < math.inf and self._hopeless(ticket, now):
                raise never_on_time(self.name, 0, self.wait(ticket.shape, ticket.rows, now))
            if inline and not self.max_queue_delay:
                self.began = now
                self.holder = ticket  # first: only what holds the device gives it back
                ticket.state = State.INLINE
                return Move.RUN
            self.holder = _WORKER
            self._line.add(ticket)
            return Move.WAKE
        back = self._pace.arrived(now)
        timed = ticket.deadline < math.inf or self.slo is not None
        if self._line.fits(ticket) and (not timed or self._in_time(ticket, now, patient=patient)):
            self._line.add(ticket)
            return self._enough(back=back) if self._holding else Move.WAIT
        if not patient:
            raise full(self.name, self.depth, self.max_queue_size)
        self._line.add_outside(ticket)
        return Move.WAIT

    def release(self, ticket: Ticket) -> bool:
        """End an inline run. True: the worker holds the device from now on; wake it."""
        if self.holder is ticket:
            self.holder = _WORKER if self._line else None
            ticket.state = State.DONE
        return self.holder is _WORKER

    def leave(self, ticket: Ticket) -> bool:
        """Take out a caller, wherever it is, interrupted or not. False: too late, its answer is there.

        If the worker holds the device afterwards, wake it: the one who left may have owed it that.
        """
        self.release(ticket)
        self._line.remove(ticket, State.GONE)
        if ticket.state is State.DONE:
            return False
        ticket.state = State.GONE
        return True

    # -- the worker's side

    def take(self, now: float) -> Take:
        """Form the worker's next batch; when nothing waits or runs, give the device back.

        A worker that was woken for nothing, while an inline caller holds the device, gets nothing.
        """
        if self.holder is not _WORKER:
            return Take([], [], None)
        self._holding = False
        if now < self.began < math.inf:  # the clock was set back
            self.began = self._free = now
        self._line.sort()
        expired = self._shed(now)
        ready_at = self._ready_at(now)
        if ready_at > now:
            self._holding = True
            return Take([], expired, ready_at)
        if self._line:
            return Take(self._form(now, expired), expired, None)
        if not self._running:
            self.holder = None
        return Take([], expired, None)

    def ran(self, shape: Hashable, rows: int, seconds: float, now: float) -> None:
        """Learn what a run of ``rows`` rows has taken."""
        self.forecast.observe(shape, self.padded(rows), seconds, now)
        self.curious_at = now + LESSON_SECONDS if self.forecast.cost(shape).settled else -math.inf

    def settle(self, tickets: Iterable[Ticket], now: float = 0.0) -> list[Ticket]:
        """Close computed tickets; return those whose callers still wait, in order."""
        staying: list[Ticket] = []
        running = self._running
        for ticket in tickets:
            running.pop(ticket, None)
            if ticket.state is State.RUNNING:
                ticket.state = State.DONE
                staying.append(ticket)
        if running:
            self.began = now  # the next one has the device now
        if staying:
            cost = self.forecast.cost(staying[0].shape)
            rows = sum([ticket.rows for ticket in staying])
            self._straight = bool(self._line)
            self._pace.answered(len(staying), now, fixed=cost.a, seconds=cost.seconds(rows))
        return staying

    def expire(self, now: float) -> list[Ticket]:
        """Close and return all tickets whose time is up, waiting or in the worker's batch."""
        late = [ticket for ticket in self._all() if ticket.deadline <= now]
        for ticket in late:
            self._line.outside.pop(ticket, None)  # all of them, before room for one lets in another
        for ticket in late:
            self._line.remove(ticket, State.DONE)
            ticket.state = State.DONE
        return late

    def drain(self) -> Move:
        """Refuse new callers; those that wait, if only for room, are still served, without more delay."""
        self.draining = True
        return self._enough(back=False)

    def abandon(self) -> list[Ticket]:
        """Give up: the device can serve nobody. Close and return every ticket that waits or runs."""
        lost = self._all()
        for ticket in lost:
            ticket.state = State.DONE
        self._line.clear()
        self._running = {}
        self._holding = False
        self.holder = None
        return lost

    def wait(self, shape: Hashable, rows: int, now: float) -> float:
        """Return the seconds until the device has done what it does, and ``rows`` rows after that."""
        cost, cap = self.forecast.cost(shape), self._cap(shape)
        whole, rest = divmod(rows, cap)
        seconds = whole * cost.seconds(cap) + (cost.seconds(rest) if rest else 0.0)
        return seconds if self.holder is None else seconds + max(0.0, self._free_at() - now)

    def padded(self, rows: int) -> int:
        """Return the size at which a batch of ``rows`` rows runs."""
        at = bisect_left(self.sizes, rows)
        return self.sizes[at] if at < len(self.sizes) else rows

    def running(self) -> list[Ticket]:
        """Return what is being computed: the inline caller's ticket, or those of the worker's batches."""
        return [self.holder] if isinstance(self.holder, Ticket) else list(self._running)

    def _all(self) -> list[Ticket]:
        """Everybody who still expects an answer of the worker."""
        here = (State.RUNNING, State.WAITING, State.OUTSIDE)
        everybody = dict.fromkeys((*self._running, *self._line.everybody()))
        return [ticket for ticket in everybody if ticket.state in here]

    # -- time

    def _hopeless(self, ticket: Ticket, now: float) -> bool:
        """Whether it is late, or would be if it started now."""
        deadline = ticket.deadline
        return deadline < math.inf and (
            self.forecast.soonest(ticket.shape, self.padded(ticket.rows), now) > deadline or deadline <= now
        )

    def _shed(self, now: float) -> list[Ticket]:
        """Take out everybody at the head of the line who cannot be on time any more."""
        shed = []
        while (ticket := self._line.first) is not None and self._hopeless(ticket, now):
            self._line.remove(ticket, State.DONE)
            shed.append(ticket)
            self._line.sort()  # whoever was let in may be first
        return shed

    def _in_time(self, ticket: Ticket, now: float, *, patient: bool) -> bool:
        """Whether a new ticket can be on time behind those that go first; refuses it if its deadline cannot.

        A line that is out of order is not counted through: such a ticket is taken to be next.
        """
        limit = ticket.deadline
        if not self.forecast.sure(ticket.shape, now):
            return True
        ahead = self._line.ahead(ticket)
        wait = self.wait(ticket.shape, ahead + ticket.rows, now)
        if ahead and ticket.shape is not None and wait > min(limit - now, self.slo or math.inf):
            ahead = self._line.alike(ticket)  # those of other shapes may cost much less
            wait = self.wait(ticket.shape, ahead + ticket.rows, now)
        if now + wait - self.forecast.cost(ticket.shape).sigma > limit:
            raise never_on_time(self.name, self.depth, wait)
        if self.slo is None or wait <= self.slo or limit < math.inf:
            return True
        if patient:
            return not self._line  # it may wait for room, and must be let in at last
        raise over_objective(self.name, self.depth, wait, self.slo)

    def _free_at(self) -> float:
        """When the device is expected to have done what it was given."""
        holder = self.holder
        if not isinstance(holder, Ticket):
            return self._free
        return self.began + self.forecast.cost(holder.shape).seconds(self.padded(holder.rows))

    def _ready_at(self, now: float) -> float:
        """Until when the next batch had better wait: for company, or because the device is not free yet."""
        first = self._line.first
        if self.draining or (self._running if first is None else self.depth >= self._cap(first.shape)):
            return -math.inf
        if self._running:
            # Not to the very end: a batch is brought in only after that, and would confirm any estimate.
            return self.began + _EARLY * (self._free - self.began) - self.lead
        until = self._pace.hold_until(self._line.rows, now)
        if first is None:
            return until
        if self.max_queue_delay:
            until = max(until, min(first.arrived, now) + self.max_queue_delay)
        if until > now and first.deadline < math.inf:
            until = min(until, first.deadline - self.forecast.surely(first.shape, self.depth))
        return until

    def _enough(self, *, back: bool) -> Move:
        """Let a worker that waits for company go when its batch is full, or when nobody else will come."""
        if self._holding and (back or self.draining or self.depth >= self.max_batch_size):
            self._holding = False
            return Move.WAKE
        return Move.WAIT

    # -- the next batch

    def _cap(self, shape: Hashable) -> int:
        """Return the most rows of a batch: as many as fit, and as keep the objective."""
        most = self.max_batch_size
        if self.sizes:
            most = max(1, min(most, self.sizes[-1]))
        return most if self.slo is None else self.forecast.largest(shape, self.slo / 2, most)

    def _form(self, now: float, expired: list[Ticket]) -> list[Ticket]:
        """Take the largest batch that keeps the earliest deadline, in order, of the head's shape.

        Those who are passed over because they cannot be on time are added to ``expired``.
        """
        shape = next(iter(self._line)).shape
        cap = self._cap(shape)
        self._pace.formed(now, waited=self._straight)
        if not self._running:
            cap = self._pace.share(self._line.rows, cap)
        batch: list[Ticket] = []
        rows, earliest = 0, math.inf
        for ticket in self._line.everybody():
            if ticket.shape != shape:
                continue
            if ticket.deadline < math.inf:
                if self._hopeless(ticket, now):
                    expired.append(ticket)
                    continue
                earliest = min(earliest, ticket.deadline)
            if batch and rows + ticket.rows > cap:
                break
            if batch and earliest < math.inf:
                ready = now + self.forecast.surely(shape, self.padded(rows + ticket.rows))
                if ready > earliest:
                    break
            rows += ticket.rows
            batch.append(ticket)
        rows = self._fill(batch, rows, shape)
        self._line.take(batch)
        for ticket in expired:
            self._line.remove(ticket, State.DONE)
        start = max(now, self._free) if self._running else now
        self._running.update(dict.fromkeys(batch))
        self.began = now
        self._free = start + self.forecast.cost(shape).seconds(self.padded(rows))
        return batch

    def _fill(self, batch: list[Ticket], rows: int, shape: Hashable) -> int:
        """Choose between filling a batch up to the next size and leaving some for the one after it."""
        sizes = self.sizes
        at = bisect_left(sizes, rows)
        if not sizes or at == 0 or at == len(sizes) or sizes[at] == rows:
            return rows
        cost, up, down = self.forecast.cost(shape), sizes[at], sizes[at - 1]
        if cost.seconds(up) / rows <= cost.seconds(down) / down:
            return rows
        while rows > down and len(batch) > 1:
            rows -= batch.pop().rows
        return rows
