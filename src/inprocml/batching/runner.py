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
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from inprocml.batching.calls import Bell, Call, CountingBell, Gate, finish, pass_on, pieces
from inprocml.batching.compute import check_inputs, compute
from inprocml.batching.core import Core
from inprocml.batching.greenlets import Hubs
from inprocml.batching.queue import Queue
from inprocml.batching.refusals import too_late
from inprocml.batching.result import Result, assemble, collect
from inprocml.batching.shapes import Shapes
from inprocml.batching.ticket import Move
from inprocml.batching.turns import Turn
from inprocml.errors import BackendFailed, DeviceLost
from inprocml.native import current_thread
from inprocml.protocols import Backend, Clock, Observer
from inprocml.values import Tensors

__all__ = ["Result", "Runner"]

_PIECES = 4  # a call that has to wait is cut into pieces of a quarter of a batch, to fill up others


class Runner:
    """Runs one backend for many concurrent callers, one batch at a time; two, if it is ``Pipelined``.

    ``max_batch_size`` and ``max_queue_size`` are in rows, ``max_queue_delay`` in seconds: how long a row may
    wait for company when the device is idle (0: never). ``slo`` is an objective in seconds for those who name
    no deadline: batches stay small enough for it, and who could not be answered in that time is refused with
    ``Overloaded`` at once. ``deadline`` of a call is absolute on ``clock``; a clock with a
    ``subscribe(callback)`` method is one that is moved by hand (``testing.ManualClock``). Observers get a
    ``BatchRecord`` of every run: of a batch after its callers have their answers, of an inline run before its
    caller does (``protocols.Observer``). The backend stays the property of whoever made it: ``close`` here
    does not close it. ``shapes`` says which inputs may differ from caller to caller (default: none), and what
    shorter ones are filled up with. ``turn`` is this runner's place at a device
    that it shares with others. After ``run_timeout`` seconds (or ten times what its rows cost one by one, if
    that is more) a run is given up: see ``lost``.

    A runner belongs to the process that made it; after a fork, make a new one. One that is dropped without
    ``close`` lets its worker thread end; an ending interpreter waits at most a second for a running batch.
    """

    __slots__ = ("__weakref__", "_core", "_finalizer", "_piece", "max_batch_size", "name")

    def __init__(  # noqa: PLR0913 - keyword-only, as those of ``Model``
        self,
        backend: Backend,
        *,
        name: str = "model",
        max_batch_size: int = 64,
        max_queue_delay: float = 0.0,
        max_queue_size: int = 1024,
        slo: float | None = None,
        clock: Clock = time.monotonic,
        observers: Iterable[Observer] = (),
        shapes: Shapes | None = None,
        turn: Turn | None = None,
        run_timeout: float = 60.0,
        mark: Callable[[], Any] | None = None,
    ) -> None:
        queue = Queue(
            name=name,
            max_batch_size=max_batch_size,
            max_queue_delay=max_queue_delay,
            max_queue_size=max_queue_size,
            slo=slo,
        )
        self.name = name
        self.max_batch_size = max_batch_size
        self._piece = max(1, max_batch_size // _PIECES)
        shapes = shapes or Shapes(fixed=True)
        self._core = Core(
            backend, queue, clock, observers, shapes, turn=turn, run_timeout=run_timeout, mark=mark
        )
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
    def active(self) -> int:
        """Rows waiting or being computed now."""
        return self._core.queue.active

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._core.queue.busy

    @property
    def lost(self) -> BackendFailed | None:
        """Why this runner computes nothing any more: a run that did not return, or a lost device."""
        return self._core.lost

    @property
    def observer_failures(self) -> int:
        """How often an observer raised, which no caller ever sees."""
        return self._core.observer_failures

    def learn(self, inputs: Tensors, rows: int, seconds: float) -> None:
        """Take note that ``rows`` rows such as ``inputs`` took ``seconds``, before there are callers."""
        core = self._core
        with core.lock:
            core.queue.ran(core.shape_of(inputs), rows, seconds, core.clock())

    def expected(self, rows: int = 1, inputs: Tensors | None = None) -> float:
        """Return the seconds until ``rows`` more rows would be ready; an estimate, taken without a lock.

        ``inputs`` are such rows, where what they cost depends on their shape.
        """
        core = self._core
        shape = None if inputs is None else core.shape_of(inputs)
        return core.queue.wait(shape, core.queue.depth + rows, core.clock())

    def run(
        self,
        inputs: Tensors,
        *,
        rows: int = 1,
        deadline: float | None = None,
        patient: bool = False,
        priority: int = 0,
    ) -> Result:
        """Compute ``rows`` rows, blocking; on this very thread when the device is idle.

        Of those who wait, a higher ``priority`` (-8 to 8, 0 is normal) and an earlier deadline go first. A
        ``patient`` caller that finds the queue full waits for room, until its deadline, behind all who are
        in the queue: for bulk work, which should neither fail nor crowd out requests. More rows than
        ``max_batch_size`` run in several batches.

        Raises ``Overloaded`` (unless ``patient``), ``DeadlineExceeded``, ``BackendFailed``, ``Drained``, and
        ``ValueError`` for tensors of another length. An inline run cannot be interrupted: its caller learns
        of a missed deadline when the model returns.
        """
        check_inputs(inputs, rows)
        core = self._core
        call = Call(inputs, rows, math.inf if deadline is None else deadline, priority, core.shape_of(inputs))
        if core.mark is not None:
            call.mark = core.mark()
        hubs = core.hubs
        try:
            if hubs is not None and hubs.find() is not None:
                return self._run_green(call, hubs, patient=patient)
            if rows > self._piece and (rows > self.max_batch_size or core.queue.busy):
                return self._run_pieces(call, patient=patient)
            return self._ask(call, patient=patient)
        except BaseException:
            core.leave(call)  # once more: an interruption on the way out (a second Ctrl-C) must strand nobody
            raise

    async def arun(
        self,
        inputs: Tensors,
        *,
        rows: int = 1,
        deadline: float | None = None,
        patient: bool = False,
        priority: int = 0,
    ) -> Result:
        """Compute ``rows`` rows from a coroutine; as ``run``, but the model never runs on the event loop.

        A cancelled caller leaves the queue; if its rows are being computed, their answer is dropped.
        """
        check_inputs(inputs, rows)
        core = self._core
        call = Call(inputs, rows, math.inf if deadline is None else deadline, priority, core.shape_of(inputs))
        if core.mark is not None:
            call.mark = core.mark()
        if rows > self._piece:
            return await self._arun_pieces(call, patient=patient)
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle | None = None
        try:
            call.future = future = loop.create_future()
            with core.lock:
                move = core.queue.arrive(call, core.clock(), inline=False, patient=patient)
            self._rouse(move)
            if call.deadline < math.inf and not core.manual:
                timer = loop.call_later(call.deadline - call.arrived, self._ring, call)
            await future
        except BaseException:
            core.leave(call)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return collect(call, core.shapes)

    def drain(self) -> None:
        """Refuse new callers with ``Drained`` from now on; serve those that wait. Returns at once."""
        with self._core.lock:
            move = self._core.queue.drain()
        if move is Move.WAKE:
            self._core.signal()

    def close(self, timeout: float | None = None) -> bool:
        """Drain, wait until nothing runs or waits, and let the worker thread end. May be called twice.

        ``timeout`` in seconds (``None``: as long as it takes). Returns False when the time was up first;
        those that wait are served all the same, and the thread ends by itself after them. False, too, while
        a run that was given up has not returned: it may still use the backend.
        """
        until = None if timeout is None else time.monotonic() + timeout
        core = self._core
        self.drain()
        gate: Gate | None = None
        with core.lock:
            if core.queue.busy:
                gate = core.closed_gate()
                core.idle_gates.append(gate)
        ended = core.thread is not current_thread() and (
            gate is None or gate.acquire(timeout=_remaining(until))
        )
        thread = core.thread
        core.stop()
        core.dog.rest()
        if thread is None or not ended:
            return ended and not core.strays
        if core.lost is not None and until is None:
            until = time.monotonic()  # who does not return is not waited for
        core.join(thread, None if until is None else _remaining(until))
        return not thread.is_alive() and not core.strays

    def _ask(self, call: Call, *, patient: bool) -> Result:
        core = self._core
        turn = core.turn
        try:
            mine = turn is None or (not core.queue.busy and turn.claim(call))
            with core.lock:
                move = core.queue.arrive(call, core.clock(), inline=mine, patient=patient)
                if move is not Move.RUN:
                    call.gate = gate = core.closed_gate()  # the worker opens whatever gate it finds
            if move is Move.RUN:
                return self._run_inline(call)
            if turn is not None:
                turn.release(call, 0.0)
            self._rouse(move)
            self._wait([call], gate)
        except BaseException:
            core.leave(call)
            raise
        return collect(call, core.shapes)

    def _run_green(self, call: Call, hubs: Hubs, *, patient: bool) -> Result:
        """Wait as a coroutine does, off the hub; only a lone greenlet computes a short run itself."""
        core = self._core
        if call.rows <= self._piece and core.brief(call) and hubs.alone(call):
            return self._ask(call, patient=patient)
        result = self._run_pieces(call, patient=patient)
        hubs.company = result.batch_rows > call.rows or core.queue.busy
        return result

    def _run_pieces(self, call: Call, *, patient: bool) -> Result:
        """Wait for a call in pieces, which fill up the batches of others."""
        core = self._core
        parts = pieces(call, self._piece)
        gate = core.closed_gate()
        bell = gate if len(parts) == 1 else CountingBell(gate, len(parts))
        try:
            self._enter(parts, patient=patient, bell=bell)
            self._wait(parts, gate)
        except BaseException:
            for part in parts:
                core.leave(part)
            raise
        return assemble(parts, core.shapes)

    async def _arun_pieces(self, call: Call, *, patient: bool) -> Result:
        """Wait on the event loop for a call in pieces."""
        core = self._core
        parts = pieces(call, self._piece)
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []
        try:
            futures = [loop.create_future() for _ in parts]
            for part, future in zip(parts, futures, strict=True):
                part.future = future
            now = self._enter(parts, patient=patient)
            if call.deadline < math.inf and not core.manual:
                timers += [loop.call_later(call.deadline - now, self._ring, part) for part in parts]
            for future in futures:
                await future
        except BaseException:
            for part in parts:
                core.leave(part)
            raise
        finally:
            for timer in timers:
                timer.cancel()
        return assemble(parts, core.shapes)

    def _enter(self, parts: Sequence[Call], *, patient: bool, bell: Bell | None = None) -> float:
        """Put the parts of a call in line; once the first has found room, the others wait for theirs."""
        core = self._core
        move = Move.WAIT
        with core.lock:
            now = core.clock()
            for part in parts:
                part.gate = bell
                if core.queue.arrive(part, now, inline=False, patient=patient) is Move.WAKE:
                    move = Move.WAKE
                patient = True
        self._rouse(move)
        return now

    def _rouse(self, move: Move) -> None:
        """Wake whoever must know that somebody waits."""
        core = self._core
        if move is Move.WAKE:
            core.summon()
        if core.dog.asleep and not core.manual:
            core.dog.rouse()

    def _run_inline(self, call: Call) -> Result:
        core = self._core
        try:
            outputs = compute(core.backend, call.inputs, call.rows, model=self.name)
        except Exception as error:
            ended = core.clock()
            core.release(call)
            if core.observers:
                seconds, number = ended - call.arrived, core.number()
                core.observe(call.inputs, call.rows, seconds, error, calls=[call], inline=True, number=number)
            if isinstance(error, DeviceLost):
                core.lose(error)
            raise
        ended = core.clock()
        core.release(call, ended - call.arrived)
        number = 0 if call.mark is None else core.number()
        if core.observers:
            seconds = ended - call.arrived
            core.observe(call.inputs, call.rows, seconds, calls=[call], inline=True, number=number)
        if call.deadline <= ended:
            raise too_late(self.name, waited=True)
        if core.shapes.follows:
            outputs = core.shapes.trimmed(outputs, call.inputs)
        return Result(outputs, 0.0, True, call.rows, number)

    def _wait(self, parts: Sequence[Call], gate: Gate) -> None:
        """Block until the answers are there or the deadline is; real time says when to look at the clock."""
        core = self._core
        deadline = parts[0].deadline
        if deadline == math.inf or core.manual:
            gate.acquire()
            pass_on(parts[0])
            return
        while not gate.acquire(timeout=min(max(deadline - core.clock(), 0.0), threading.TIMEOUT_MAX)):
            if core.clock() >= deadline:
                left = [core.leave(part) for part in parts]
                if any(left):
                    raise too_late(self.name, waited=True)
                gate.acquire()  # answered just now: the wake-up is on its way
                break
        pass_on(parts[0])

    def _ring(self, call: Call) -> None:
        """Act on an asyncio caller's timer: refuse it on its own loop."""
        core = self._core
        early = call.deadline - core.clock()
        if early > 0:
            if call.future is not None:
                call.future.get_loop().call_later(early, self._ring, call)
        elif core.leave(call):
            call.error = too_late(self.name, waited=True)
            finish([call.future])


def _remaining(until: float | None) -> float:
    """Seconds left; -1 is how a lock spells for ever."""
    return -1.0 if until is None else min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
