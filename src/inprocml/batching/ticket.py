"""What the queue and its driver pass to each other: tickets, states, moves, and the limits of both."""

from __future__ import annotations

import enum
import math
from collections.abc import Hashable
from numbers import Integral, Real
from typing import Final, NamedTuple

from inprocml.errors import Unavailable

__all__ = ["MOST_PRIORITY", "Drained", "Move", "State", "Take", "Ticket", "check_limits"]

MOST_PRIORITY: Final = 8
"""Priorities go from minus this number to this number."""


def check_limits(
    *, max_batch_size: int, max_queue_delay: float, max_queue_size: int, slo: float | None = None
) -> None:
    """Refuse impossible limits of a queue with a ``ValueError`` that names the argument.

    Sizes are whole rows, at least 1; the delay is a finite number of seconds, 0 or more; the objective is
    seconds above 0, or None.
    """
    for name, size in (("max_batch_size", max_batch_size), ("max_queue_size", max_queue_size)):
        if not _is_number(size, Integral) or size < 1:
            raise ValueError(f"{name} is {size!r} and must be a whole number of rows, at least 1")
    if not _is_number(max_queue_delay, Real) or not 0 <= max_queue_delay < math.inf:
        raise ValueError(f"max_queue_delay is {max_queue_delay!r} and must be seconds, 0 or more and finite")
    if slo is not None and (not _is_number(slo, Real) or not 0 < slo < math.inf):
        raise ValueError(f"slo is {slo!r} and must be seconds, above 0 and finite, or None")


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
    """One caller's rows in the queue.

    ``arrived`` and ``deadline`` are seconds on the driver's clock. Of two that wait, the one with the higher
    ``priority`` (0 is normal) goes first, until the other has waited long. Tickets of one ``shape`` may share
    a batch.
    """

    __slots__ = ("arrived", "deadline", "due", "priority", "rows", "shape", "state")

    def __init__(
        self,
        rows: int,
        arrived: float,
        deadline: float = math.inf,
        priority: int = 0,
        shape: Hashable = None,
    ) -> None:
        self.rows = rows
        self.arrived = arrived
        self.deadline = deadline
        self.priority = priority
        self.shape = shape
        self.due = math.inf  # its place in line, by the queue: the least is next
        self.state = State.NEW


class Take(NamedTuple):
    """The worker's next step: compute ``batch``, or wait until ``ready_at``, or (both empty) park."""

    batch: list[Ticket]
    expired: list[Ticket]
    ready_at: float | None
