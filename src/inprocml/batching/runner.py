"""The driver of one model: threads and coroutines in, batches out.

``Runner`` is the callers' side. A caller that finds the device idle computes its own rows on its own thread
and pays two short lock sections; everybody else waits for the worker (``worker``) under the rules of the
queue (``queue``).
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
import weakref
from collections.abc import Iterable
from typing import NamedTuple

from inprocml.batching.compute import check_inputs, compute, cut
from inprocml.batching.queue import Move, Queue
from inprocml.batching.shapes import Shapes
from inprocml.batching.worker import Call, Core, finish
from inprocml.protocols import Backend, Clock, Observer
from inprocml.values import Tensors

__all__ = ["Result", "Runner"]


class Result(NamedTuple):
    """One caller's answer.

    ``outputs`` holds only this caller's rows; ``queued`` is the seconds they waited for the device;
    ``inline`` says that the caller computed them itself; ``batch_rows`` is the size of their batch.
    """

    outputs: Tensors
    queued: float
    inline: bool
    batch_rows: int


class Runner:
    """Runs one backend for many concurrent callers, one batch at a time.

    ``max_batch_size`` and ``max_queue_size`` are in rows, ``max_queue_delay`` in seconds: how long a row may
    wait for company when the device is idle (0: never). ``deadline`` of a call is absolute on ``clock``; a
    clock with a ``subscribe(callback)`` method is one that is moved by hand (``testing.ManualClock``).
    Observers get a ``BatchRecord`` of every run: of a batch after its callers have their answers, of an
    inline run before its caller does (``protocols.Observer``). The backend stays the property of whoever
    made it: ``close`` here does not close it. ``shapes`` says which inputs may differ in length from caller
    to caller, and what shorter ones are filled up with.

    A runner belongs to the process that made it; after a fork, make a new one. One that is dropped without
    ``close`` lets its worker thread end; an ending interpreter waits at most a second for a running batch.
    """

    __slots__ = ("__weakref__", "_core", "_finalizer", "max_batch_size", "name")

    def __init__(
        self,
        backend: Backend,
        *,
        name: str = "model",
        max_batch_size: int = 64,
        max_queue_delay: float = 0.0,
        max_queue_size: int = 1024,
        clock: Clock = time.monotonic,
        observers: Iterable[Observer] = (),
        shapes: Shapes | None = None,
    ) -> None:
        queue = Queue(
            name=name,
            max_batch_size=max_batch_size,
            max_queue_delay=max_queue_delay,
            max_queue_size=max_queue_size,
        )
        self.name = name
        self.max_batch_size = max_batch_size
        self._core = Core(backend, queue, clock, observers, shapes or Shapes())
        subscribe = getattr(clock, "subscribe", None)
        if subscribe is not None:
            subscribe(self._core.look)
        self._finalizer = weakref.finalize(self, self._core.stop)
        self._finalizer.atexit = False  # the core looks after interpreter exit

    @property
    def depth(self) -> int:
        """Rows waiting now."""
        return self._core.queue.depth

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._core.queue.busy

    @property
    def observer_failures(self) -> int:
        """How often an observer raised, which no caller ever sees."""
        return self._core.observer_failures

    def run(
        self, inputs: Tensors, *, rows: int = 1, deadline: float | None = None, patient: bool = False
    ) -> Result:
        """Compute ``rows`` rows, blocking; on this very thread when the device is idle.

        A ``patient`` caller that finds the queue full waits for room, until its deadline, behind all who are
        in the queue: for bulk work, which should neither fail nor crowd out requests.

        Raises ``Overloaded`` (unless ``patient``), ``DeadlineExceeded``, ``BackendFailed``, ``Drained``, and
        ``ValueError`` for more rows than ``max_batch_size`` or tensors of another length. An inline run
        cannot be interrupted: its caller learns of a missed deadline when the model returns.
        """
        check_inputs(inputs, rows)
        core = self._core
        now = core.clock()
        call = Call(inputs, rows, now, math.inf if deadline is None else deadline)
        try:
            return self._ask(call, patient=patient)
        except BaseException:
            core.leave(call)  # once more: an interruption on the way out (a second Ctrl-C) must strand nobody
            raise

    async def arun(self, inputs: Tensors, *, rows: int = 1, deadline: float | None = None) -> Result:
        """Compute ``rows`` rows from a coroutine; as ``run``, but the model never runs on the event loop.

        A cancelled caller leaves the queue; if its rows are being computed, their answer is dropped.
        """
        check_inputs(inputs, rows)
        core = self._core
        now = core.clock()
        call = Call(inputs, rows, now, math.inf if deadline is None else deadline)
        loop = asyncio.get_running_loop()
        call.future = future = loop.create_future()
        timer: asyncio.TimerHandle | None = None
        try:
            with core.lock:
                move = core.queue.arrive(call, now, inline=False)
            if move is Move.WAKE:
                core.summon()
            if call.deadline < math.inf and not core.manual:
                timer = loop.call_later(call.deadline - now, self._ring, call)
            await future
        except BaseException:
            core.leave(call)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return _collect(call, core.shapes)

    def drain(self) -> None:
        """Refuse new callers with ``Drained`` from now on; serve those that wait. Returns at once."""
        with self._core.lock:
            move = self._core.queue.drain()
        if move is Move.WAKE:
            self._core.signal()

    def close(self, timeout: float | None = None) -> bool:
        """Drain, wait until nothing runs or waits, and let the worker thread end. May be called twice.

        ``timeout`` in seconds (``None``: as long as it takes). Returns False when the time was up first;
        those that wait are served all the same, and the thread ends by itself after them.
        """
        until = None if timeout is None else time.monotonic() + timeout
        core = self._core
        self.drain()
        gate = threading.Lock()
        with core.lock:
            if core.queue.busy:
                gate.acquire()
                core.idle_gates.append(gate)
        ended = core.thread is not threading.current_thread() and gate.acquire(timeout=_remaining(until))
        thread = core.thread
        core.stop()
        if thread is None or not ended:
            return ended
        thread.join(None if until is None else _remaining(until))
        return not thread.is_alive()

    def _ask(self, call: Call, *, patient: bool) -> Result:
        core = self._core
        try:
            with core.lock:
                move = core.queue.arrive(call, call.arrived, inline=True, patient=patient)
                if move is not Move.RUN:
                    gate = threading.Lock()
                    gate.acquire()
                    call.gate = gate  # closed already: the worker opens whatever gate it finds
            if move is Move.RUN:
                return self._run_inline(call)
            if move is Move.WAKE:
                core.summon()
            self._wait(call, gate)
        except BaseException:
            core.leave(call)
            raise
        return _collect(call, core.shapes)

    def _run_inline(self, call: Call) -> Result:
        core = self._core
        timed = core.observers or call.deadline < math.inf
        try:
            outputs = compute(core.backend, call.inputs, call.rows, model=self.name)
        except Exception as error:
            ended = core.clock()
            core.release(call)
            if core.observers:
                core.observe(call.inputs, call.rows, ended - call.arrived, error)
            raise
        ended = core.clock() if timed else call.arrived
        core.release(call)
        if core.observers:
            core.observe(call.inputs, call.rows, ended - call.arrived)
        if call.deadline <= ended:
            raise core.queue.too_late(waited=True)
        own = core.shapes.own(call.inputs)
        return Result(cut(outputs, 0, call.rows, own) if own else outputs, 0.0, True, call.rows)

    def _wait(self, call: Call, gate: threading.Lock) -> None:
        """Block until the answer is there or the deadline is; real time says when to look at the clock."""
        core = self._core
        if call.deadline == math.inf or core.manual:
            gate.acquire()
            return
        while not gate.acquire(timeout=min(max(call.deadline - core.clock(), 0.0), threading.TIMEOUT_MAX)):
            if core.clock() >= call.deadline:
                if core.leave(call):
                    raise core.queue.too_late(waited=True)
                gate.acquire()  # answered just now: the wake-up is on its way
                return

    def _ring(self, call: Call) -> None:
        """Act on an asyncio caller's timer: refuse it on its own loop."""
        core = self._core
        early = call.deadline - core.clock()
        if early > 0:
            if call.future is not None:
                call.future.get_loop().call_later(early, self._ring, call)
        elif core.leave(call):
            call.error = core.queue.too_late(waited=True)
            finish([call.future])


def _collect(call: Call, shapes: Shapes) -> Result:
    error, call.error = call.error, None
    if error is not None:
        try:
            raise error
        finally:
            del error  # a traceback that leads back to its own error is a cycle, and keeps the inputs alive
    outputs, own = call.outputs, shapes.own(call.inputs)
    if own or call.rows != call.batch_rows:
        outputs = cut(outputs, call.start, call.rows, own)
    return Result(outputs, call.started - call.arrived, False, call.batch_rows)


def _remaining(until: float | None) -> float:
    """Seconds left; -1 is how a lock spells for ever."""
    return -1.0 if until is None else min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
