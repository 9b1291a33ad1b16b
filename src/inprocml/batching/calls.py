"""One caller's question on its way: the ticket, how to wake who asked, and the answer.

Waiting costs nothing: a blocked thread sits in one raw lock used as a semaphore, a coroutine in a future.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol

from inprocml.batching.compute import cut
from inprocml.batching.greenlets import HubGate, open_gates
from inprocml.batching.ticket import State, Ticket
from inprocml.errors import InprocmlError, anew
from inprocml.native import lock_maker
from inprocml.values import Tensors

__all__ = [
    "Bell",
    "Call",
    "CountingBell",
    "Gate",
    "finish",
    "marks_of",
    "pass_on",
    "pieces",
    "raise_fault",
    "tell",
    "wake",
]

_Lock = type(lock_maker()())


class Bell(Protocol):
    """What wakes a caller: a ``Gate``, or a ``CountingBell`` before one."""

    def release(self) -> None: ...


class Gate(Bell, Protocol):
    """What a caller waits at: a native lock, or a greenlet's ``HubGate``."""

    def acquire(self, *, timeout: float = -1.0) -> bool: ...


class Call(Ticket):
    """A ticket with what the driver needs: the question, the way to wake its caller, the answer."""

    __slots__ = (
        "batch",
        "batch_rows",
        "error",
        "future",
        "gate",
        "gone",
        "inputs",
        "mark",
        "mates",
        "outputs",
        "start",
        "started",
    )

    def __init__(
        self, inputs: Tensors, rows: int, deadline: float, priority: int = 0, shape: Hashable = None
    ) -> None:
        self.rows = rows  # as Ticket does: a call more is a tenth of what a lone caller pays
        self.arrived = 0.0
        self.deadline = deadline
        self.priority = priority
        self.shape = shape
        self.due = math.inf
        self.state = State.NEW
        self.inputs = inputs
        self.gate: Bell | None = None
        self.future: asyncio.Future[None] | None = None
        self.gone = False  # its caller waits no more, though its answer may be on the way
        self.mates: Sequence[Call] = ()  # those whom this caller wakes when it is awake itself
        self.outputs: Tensors = {}  # of the whole batch; the caller cuts its own rows, off the worker's path
        self.start = 0
        self.batch = 0
        self.batch_rows = 0
        self.started = 0.0
        self.error: InprocmlError | None = None
        self.mark: Any = None  # what the runner was told to note of its caller

    def answer(self) -> Tensors:
        """Return this caller's rows, or raise what became of them."""
        if self.error is not None:
            raise_fault(self)
        if self.rows == self.batch_rows:
            return self.outputs
        return cut(self.outputs, self.start, self.rows)


def raise_fault(call: Call) -> None:
    """Raise a call's error, and leave no trace of it in the call.

    A traceback that leads back to its own error is a cycle, and keeps the inputs alive.
    """
    error, call.error = call.error, None
    try:
        if error is not None:
            raise error
    finally:
        del error


def tell(calls: Iterable[Call], error: InprocmlError) -> None:
    """Give each of several callers the error as new: one object would mix their tracebacks, and keep them."""
    cause = error.__cause__
    for call in calls:
        call.error = anew(error)
        call.error.__cause__ = cause


class CountingBell:
    """Rings once ``count`` pieces are answered; each may come from another thread."""

    __slots__ = ("_bell", "_count", "_rung")

    def __init__(self, bell: Bell, count: int) -> None:
        self._bell = bell
        self._count = count
        self._rung = itertools.count(1)  # its ``next`` is atomic

    def release(self) -> None:
        """Count one piece."""
        if next(self._rung) == self._count:
            self._bell.release()


def pieces(call: Call, most: int) -> list[Call]:
    """Cut a call into calls of at most ``most`` rows, so that they fill batches beside those of others."""
    if call.rows <= most:
        return [call]
    cuts = [(start, min(start + most, call.rows)) for start in range(0, call.rows, most)]
    made = [
        Call(
            {name: array[start:end] for name, array in call.inputs.items()},
            end - start,
            call.deadline,
            call.priority,
            call.shape,
        )
        for start, end in cuts
    ]
    made[0].mark = call.mark
    return made


def marks_of(calls: Sequence[Call]) -> tuple[Any, ...]:
    """Return what was noted of the callers, of those that had something to note."""
    return tuple([call.mark for call in calls if call.mark is not None])


def wake(calls: Sequence[Call]) -> None:
    """Wake the callers: one semaphore each for threads, one call for all who wait on an event loop or hub.

    To wake a thread takes several microseconds, in which the device would idle. Of many, some are woken here
    and each wakes its share of the others (``pass_on``): two steps instead of one, and most of the work while
    the next batch computes.
    """
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    hubs: dict[Any, list[HubGate]] = {}
    threads: list[Call] = []
    for call in calls:
        gate = call.gate
        if type(gate) is _Lock:
            threads.append(call)
        elif type(gate) is HubGate:
            hubs.setdefault(gate.hub, []).append(gate)
        elif gate is not None:  # wakes nobody before all its pieces are answered
            gate.release()
        elif call.future is not None:
            loops.setdefault(call.future.get_loop(), []).append(call.future)
    _wake_threads(threads)
    for loop, futures in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(finish, futures)
    for hub, gates in hubs.items():
        open_gates(hub, gates)


def _wake_threads(threads: list[Call]) -> None:
    leaders = math.isqrt(len(threads))
    if leaders > 1:
        for at in range(leaders):
            threads[at].mates = threads[leaders + at :: leaders]
            if threads[at].gone:  # too early to be told whom to wake
                pass_on(threads[at])
        del threads[leaders:]
    for call in threads:
        call.gate.release()  # type: ignore[union-attr]


def pass_on(call: Call) -> None:
    """Wake those whom ``call`` is to wake; once too often does no harm."""
    for mate in call.mates:
        with contextlib.suppress(RuntimeError):  # awake already
            mate.gate.release()  # type: ignore[union-attr]
    call.mates = ()


def finish(futures: Iterable[asyncio.Future[None] | None]) -> None:
    """Wake coroutines, on their own loop; those that were cancelled meanwhile are passed over."""
    for future in futures:
        if future is not None and not future.done():
            future.set_result(None)
