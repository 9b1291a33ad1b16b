"""Who waits, in which order: the part of the queue that keeps places and counts rows.

A signal handler may raise between any two lines of ``add``, ``remove`` and ``admit``: their order is such
that a second ``remove`` mends what the first left half done.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter
from typing import Final

from inprocml.batching.ticket import MOST_PRIORITY, State, Ticket

__all__ = ["Line"]

PATIENCE: Final = 1.0
STEP: Final = 8.0
_due = attrgetter("due")
_WAITING: Final = State.WAITING  # an enumeration's member by name takes longer


class Line:
    """Tickets in the order of ``due``, at most ``size`` rows of them, and those outside who wait for room.

    ``due`` is the deadline, or the time of arrival and ``patience`` seconds (eight times less for each
    priority above 0, eight times more below), whichever is sooner. It is fixed on arrival, so whoever waits
    is at some time before all who come: nobody starves. An empty line takes any one ticket.
    """

    __slots__ = ("_latest", "_mixed", "outside", "patience", "rows", "size", "waiting")

    def __init__(self, size: int, patience: float = PATIENCE) -> None:
        self.size = size
        self.patience = patience
        self.rows = 0  # waiting
        # Not a heap: a caller may leave from the middle, and a row that left must free its memory now.
        self.waiting: OrderedDict[Ticket, None] = OrderedDict()
        self.outside: OrderedDict[Ticket, None] = OrderedDict()  # empty unless there is no room
        self._latest = -math.inf  # the greatest due in line, or more
        self._mixed = False  # they may not be in order

    def __bool__(self) -> bool:
        return bool(self.waiting)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self.waiting)

    @property
    def first(self) -> Ticket | None:
        """Who is next, once the line is in order."""
        return next(iter(self.waiting), None)

    def fits(self, ticket: Ticket) -> bool:
        """Whether there is room."""
        return not self.waiting or self.rows + ticket.rows <= self.size

    def due(self, ticket: Ticket) -> float:
        """Return the place in line that a newcomer will have."""
        patience = self.patience
        if ticket.priority:
            patience *= STEP ** -max(-MOST_PRIORITY, min(MOST_PRIORITY, ticket.priority))
        due = ticket.arrived + patience
        if ticket.deadline < due:
            return ticket.deadline
        return due

    def ahead(self, ticket: Ticket) -> int:
        """Return the rows that go before a newcomer; 0, the best case, where that would need counting."""
        return self.rows if not self._mixed and self.due(ticket) >= self._latest else 0

    def alike(self, ticket: Ticket) -> int:
        """Return the rows that wait and are of the ticket's shape."""
        return sum([other.rows for other in self.waiting if other.shape == ticket.shape])

    def add(self, ticket: Ticket) -> None:
        """Give a ticket its place."""
        ticket.due = due = self.due(ticket)
        if due < self._latest and self.waiting:
            self._mixed = True
        else:
            self._latest = due
        # One statement, between whose stores no signal handler runs: a row in line is a row counted.
        self.waiting[ticket], self.rows = None, self.rows + ticket.rows
        ticket.state = _WAITING

    def add_outside(self, ticket: Ticket) -> None:
        """Let a ticket wait for room."""
        ticket.state = State.OUTSIDE
        self.outside[ticket] = None

    def remove(self, ticket: Ticket, state: State) -> None:
        """Take a ticket out, wherever it waits, and give it ``state``; others stay as they are."""
        self.outside.pop(ticket, None)
        if ticket in self.waiting:
            ticket.state = State.WAITING  # until the end: one that waits and is not in line is half removed
            del self.waiting[ticket]
            self.rows -= ticket.rows
            ticket.state = state
        elif ticket.state is State.WAITING:  # an earlier removal was interrupted halfway
            self.rows = sum(waiting.rows for waiting in self.waiting)
            ticket.state = state
        self.admit()

    def everybody(self) -> Iterator[Ticket]:
        """Return all who wait, those for room last: the rows that leave before them make it."""
        return chain(self.waiting, self.outside)

    def take(self, batch: list[Ticket]) -> None:
        """Take out a batch; only the worker does, whose thread no signal interrupts."""
        waiting, outside = self.waiting, self.outside
        for ticket in batch:
            if not outside or ticket in waiting:
                del waiting[ticket]
                self.rows -= ticket.rows
            else:
                del outside[ticket]
            ticket.state = State.RUNNING
        if outside:
            self.admit()

    def admit(self) -> None:
        """Let in those who wait for room, in order, as far as they fit."""
        while self.outside:
            ticket = next(iter(self.outside))
            if ticket.state is State.OUTSIDE and ticket not in self.waiting:
                if not self.fits(ticket):
                    return
                self.add(ticket)
            self.outside.popitem(last=False)

    def sort(self) -> None:
        """Put the line in order. Only the worker does, as in ``take``."""
        if self._mixed:
            self.waiting = OrderedDict.fromkeys(sorted(self.waiting, key=_due))
            self._mixed = False
        self._latest = next(reversed(self.waiting)).due if self.waiting else -math.inf

    def clear(self) -> None:
        """Forget everybody."""
        self.waiting.clear()
        self.outside.clear()
        self.rows = 0
