"""The thread that drains the queue under load, and the wake-ups between it and its callers.

``Core`` is what callers and worker share. The worker thread holds the core, never the ``Runner``: so a
runner that is dropped without ``close`` is collected, and its finalizer lets the parked thread go.

Waiting costs nothing: the worker and each blocked caller sit in one raw lock used as a semaphore, asyncio
callers in a future. Nothing polls.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterable
from typing import cast

from inprocml.batching.compute import compute, failed, join
from inprocml.batching.queue import Queue, State, Take, Ticket
from inprocml.batching.shapes import Shapes
from inprocml.errors import BackendFailed, InprocmlError, Unavailable
from inprocml.protocols import Backend, Clock, Observer
from inprocml.values import BatchRecord, Tensors

__all__ = ["Call", "Core", "finish", "leave_quietly"]

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # without one, Python prints a host's unconfigured warnings to stderr

# Seconds an ending interpreter waits for a running batch: a runtime that is torn down under one may crash.
_EXIT_PATIENCE = 1.0


class Call(Ticket):
    """A ticket with what the driver needs: the question, the way to wake its caller, the answer."""

    __slots__ = ("batch_rows", "error", "future", "gate", "inputs", "outputs", "start", "started")

    def __init__(self, inputs: Tensors, rows: int, arrived: float, deadline: float) -> None:
        super().__init__(rows, arrived, deadline)
        self.inputs = inputs
        self.gate: threading.Lock | None = None
        self.future: asyncio.Future[None] | None = None
        self.outputs: Tensors = {}  # of the whole batch; the caller cuts its own rows, off the worker's path
        self.start = 0
        self.batch_rows = 0
        self.started = arrived
        self.error: InprocmlError | None = None


class Core:
    """The state that callers and worker share; ``lock`` guards ``queue`` and the fields of its tickets."""

    def __init__(
        self,
        backend: Backend,
        queue: Queue,
        clock: Clock,
        observers: Iterable[Observer],
        shapes: Shapes,
    ) -> None:
        self.backend = backend
        self.shapes = shapes
        self.queue = queue
        self.clock = clock
        self.observers = tuple(observers)
        self.observer_failures = 0
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.idle_gates: list[threading.Lock] = []  # callers of close() that wait for the device
        # A clock that can be moved by hand announces its jumps: then real time decides nothing.
        self.manual = hasattr(clock, "subscribe")
        self._starting = threading.Lock()
        self._wake = threading.Lock()
        self._wake.acquire()
        self._stopping = False
        self._grumbled: set[int] = set()

    # -- the callers' side
    #
    # A signal handler may raise between any two lines here. Whatever that leaves undone, ``leave`` does.

    def release(self, call: Call) -> None:
        """End an inline run, and hand the device to the worker if others wait."""
        with self.lock:
            owed = self.queue.release(call)
            if self.idle_gates and not owed:
                self._announce_idle()
        if owed:
            self.summon()

    def leave(self, call: Call) -> bool:
        """Take a caller out, wherever it is, and give back what it holds. False: it was answered."""
        with self.lock:
            left = self.queue.leave(call)
            owed = self.queue.worker
            if not self.queue.busy:
                self._announce_idle()
        if owed:  # perhaps by the one who leaves; to wake the worker once too often does no harm
            self.summon()
        return left

    def summon(self) -> None:
        """Wake the worker; start it on first need. Once too often does no harm."""
        if self.thread is None:
            with self._starting:
                if self.thread is None:
                    self._start()
        self.signal()

    def _start(self) -> None:
        """Start a thread, which makes itself the worker; return when it has.

        Only the worker itself sets ``thread``, on its own thread, where no signal handler runs: a caller that
        is interrupted here leaves behind a worker or none, never a name without a thread.
        """
        claimed = threading.Lock()
        claimed.acquire()
        _living.add(self)
        name = f"inprocml-{self.queue.name}"
        try:
            threading.Thread(target=self._work, args=(claimed,), name=name, daemon=True).start()
        except RuntimeError as error:  # no thread to be had, or the interpreter is ending
            self._collapse(Unavailable(f"model {self.queue.name!r}: no thread could be started: {error}"))
        else:
            claimed.acquire()

    def signal(self) -> None:
        """Let the worker look again. Takes no lock: a finalizer may call this from anywhere."""
        with contextlib.suppress(RuntimeError):  # a signal is already there
            self._wake.release()

    def stop(self) -> None:
        """Let the worker end once nothing waits. Takes no lock, as ``signal``."""
        self._stopping = True
        self.signal()

    def look(self) -> None:
        """Act on a clock that was moved by hand: refuse the late, let the worker look at its delay again."""
        with self.lock:
            late = self.queue.expire(self.clock())
        self._refuse(late)
        self.signal()

    # -- the worker's side

    def _work(self, claimed: threading.Lock) -> None:
        with self.lock:
            second = self.thread is not None  # an interrupted start and the next one both made a thread
            if not second:
                self.thread = threading.current_thread()
        claimed.release()
        if second:
            return
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001  the last resort: whatever it is, no caller may hang
            what = f"lost its worker to {type(error).__name__}"
            self._collapse(failed(self.backend, self.queue.name, what))

    def _step(self) -> bool:
        """Serve one batch, or wait for a reason to look again; False: the thread may end.

        A method of its own, so that a parked worker keeps no reference to the last batch.
        """
        with self.lock:
            now = self.clock()
            step = self.queue.take(now)
            if not self.queue.busy:
                self._announce_idle()
            ending = self._stopping and not self.queue.busy
            if ending:
                self.thread = None  # inside the lock: whoever needs a worker from now on starts a new one
        self._refuse(step.expired)
        if step.batch:
            self._serve(cast("list[Call]", step.batch), now)
        elif not ending:
            self._park(step, now)
        return not ending

    def _park(self, step: Take, now: float) -> None:
        if step.ready_at is None or self.manual:
            self._wake.acquire()
        else:
            self._wake.acquire(timeout=min(step.ready_at - now, threading.TIMEOUT_MAX))

    def _serve(self, batch: list[Call], now: float) -> None:
        """Compute a batch and wake its callers; if it fails, compute caller by caller, once."""
        for call in batch:
            call.started = now
        if self._attempt(batch, last=len(batch) == 1):
            return
        for call in batch:
            with self.lock:
                late = self.queue.expire(self.clock())
                wanted = call.state is State.RUNNING
            self._refuse(late)
            if wanted:
                self._attempt([call], last=True)

    def _attempt(self, batch: list[Call], *, last: bool) -> bool:
        rows = sum(call.rows for call in batch)
        inputs: Tensors = batch[0].inputs
        error: BackendFailed | None = None
        outputs: Tensors = {}
        began = self.clock()
        try:
            if len(batch) > 1:
                inputs = join([call.inputs for call in batch], self.shapes)
            outputs = compute(self.backend, inputs, rows, model=self.queue.name)
        except BackendFailed as raised:
            error = raised
        except BaseException as raised:  # noqa: BLE001  a model may raise SystemExit: its callers still get an answer
            error = failed(self.backend, self.queue.name, f"raised {type(raised).__name__}")
            error.__cause__ = raised
        ended = self.clock()
        final = error is None or last
        if final:
            self._answer(batch, outputs, rows, error)
        if self.observers:
            self.observe(inputs, rows, ended - began, error, requests=len(batch))
        error = None  # its traceback leads back here: a cycle, which would keep the inputs alive
        return final

    def _answer(self, batch: list[Call], outputs: Tensors, rows: int, error: BackendFailed | None) -> None:
        start = 0
        for call in batch:
            call.start = start
            start += call.rows
        with self.lock:
            staying = cast("list[Call]", self.queue.settle(batch))
        for call in staying:  # the others were refused meanwhile, and their error must stand
            call.outputs, call.batch_rows, call.error = outputs, rows, error
        _wake_all(staying)

    def observe(
        self,
        inputs: Tensors,
        rows: int,
        seconds: float,
        error: BaseException | None = None,
        *,
        requests: int = 0,
    ) -> None:
        """Tell the observers of a batch (``requests=0``: inline); what they raise is counted, logged once."""
        name = None if error is None else type(error).__name__
        record = BatchRecord(rows, requests or 1, seconds, not requests, inputs, name)
        for observer in self.observers:
            try:
                observer.observe(record)
            except BaseException as raised:
                if not requests and not isinstance(raised, Exception):
                    raise  # inline, a KeyboardInterrupt is the host's own
                self.observer_failures += 1
                if id(observer) not in self._grumbled:
                    self._grumbled.add(id(observer))
                    _log.exception("model %r: an observer failed; from now on only counted", self.queue.name)

    def _refuse(self, late: list[Ticket]) -> None:
        calls = cast("list[Call]", late)
        for call in calls:
            call.error = self.queue.too_late(waited=True)
        _wake_all(calls)

    def _collapse(self, error: InprocmlError) -> None:
        with self.lock:
            if self.thread is threading.current_thread():
                self.thread = None
            lost = cast("list[Call]", self.queue.abandon())
            self._announce_idle()
        for call in lost:
            call.error = error
        _wake_all(lost)

    def _announce_idle(self) -> None:
        while self.idle_gates:
            with contextlib.suppress(RuntimeError):  # released before an interruption
                self.idle_gates[-1].release()
            self.idle_gates.pop()


def _wake_all(calls: Iterable[Call]) -> None:
    """Wake the callers: one semaphore each for threads, one call per event loop for all its coroutines."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for call in calls:
        if call.gate is not None:
            call.gate.release()
        elif call.future is not None:
            loops.setdefault(call.future.get_loop(), []).append(call.future)
    for loop, futures in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            loop.call_soon_threadsafe(finish, futures)


def finish(futures: Iterable[asyncio.Future[None] | None]) -> None:
    """Wake coroutines, on their own loop; those that were cancelled meanwhile are passed over."""
    for future in futures:
        if future is not None and not future.done():
            future.set_result(None)


_living: weakref.WeakSet[Core] = weakref.WeakSet()


@atexit.register
def leave_quietly() -> None:
    """Let running batches end before the interpreter goes, for a bounded time; never in a forked child."""
    until = time.monotonic() + _EXIT_PATIENCE
    cores = [core for core in _living if core.pid == os.getpid()]
    threads = [core.thread for core in cores]
    for core in cores:
        core.stop()
    for thread in threads:
        if thread is not None:
            thread.join(max(0.0, until - time.monotonic()))
