"""What callers and worker of one model share, and what either does to it.

The worker thread holds the core, never the ``Runner``: so a runner that is dropped without ``close`` is
collected, and its finalizer lets the parked thread go.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, cast

from inprocml.batching.calls import Call, Gate, marks_of, pass_on, tell, wake
from inprocml.batching.compute import failed
from inprocml.batching.greenlets import HubGate, hubs, join
from inprocml.batching.queue import LESSON_SECONDS, Queue
from inprocml.batching.refusals import drained, too_late
from inprocml.batching.shapes import Shapes
from inprocml.batching.ticket import Ticket
from inprocml.batching.turns import Turn
from inprocml.batching.watchdog import Watchdog, stuck_for, watchdog
from inprocml.batching.worker import work
from inprocml.errors import BackendFailed, InprocmlError, Unavailable, anew
from inprocml.native import Thread, current_thread, lock_maker, start_thread
from inprocml.protocols import Backend, Clock, Observer
from inprocml.values import BatchRecord, Tensors

__all__ = ["Core", "leave_quietly"]

_log = logging.getLogger(__name__)

# Seconds an ending interpreter waits for a running batch: a runtime that is torn down under one may crash.
_EXIT_PATIENCE = 1.0
_SECOND_LOOK = 0.5  # seconds after the first at which a run that does not return is given up

# Seconds of a run for which a greenlet may stop its hub: to hand it to the worker costs a lone one 80 us.
_BRIEF = 200e-6

_numbers = itertools.count(1)  # of the process's batches, of all models: its ``next`` is atomic


class Core:
    """The state that callers and worker share; ``lock`` guards ``queue`` and the fields of its tickets."""

    def __init__(
        self,
        backend: Backend,
        queue: Queue,
        clock: Clock,
        observers: Iterable[Observer],
        shapes: Shapes,
        *,
        turn: Turn | None = None,
        run_timeout: float = 60.0,
        mark: Callable[[], Any] | None = None,
    ) -> None:
        self.backend = backend
        self.shapes = shapes
        self.shape_of = shapes.of  # what must be equal for two calls to share a batch
        self.queue = queue
        self.clock = clock
        self.observers = tuple(observers)
        self.observer_failures = 0
        self.turn = turn
        self.run_timeout = run_timeout
        self.mark = mark
        self.lost: BackendFailed | None = None  # why this runner can compute nothing any more
        self.strays: set[Ticket] = set()  # inline runs that were given up and have not returned
        self.pid = os.getpid()
        self.new_lock = new_lock = lock_maker()  # decided here: whoever patches threads has done so by now
        self.hubs = hubs()
        self.lock = new_lock()
        self.thread: Thread | None = None
        self.idle_gates: list[Gate] = []  # callers of close() that wait for the device
        # A clock that can be moved by hand announces its jumps: then real time decides nothing.
        self.manual = hasattr(clock, "subscribe")
        self.dog: Watchdog = watchdog()
        self._starting = new_lock()
        self._wake = new_lock()
        self._wake.acquire()
        self._stopping = False
        self._grumbled: set[int] = set()
        self._suspect: tuple[float, float] | None = None  # a run that takes too long, and since when
        if not self.manual:
            self.dog.watch(self)

    # -- the callers' side
    #
    # A signal handler may raise between any two lines here. Whatever that leaves undone, ``leave`` does.

    def release(self, call: Call, seconds: float = -1.0) -> None:
        """End an inline run that took ``seconds``, and hand the device to the worker if others wait."""
        with self.lock:
            if self.turn is not None or self.lost is not None:
                self._returned(call, seconds)
            queue = self.queue
            if seconds >= 0 and not 0.0 < queue.curious_at - call.arrived <= LESSON_SECONDS:
                queue.ran(call.shape, call.rows, seconds, call.arrived + seconds)
            owed = queue.release(call)
            if self.idle_gates and not owed:
                self.announce_idle()
        if owed:
            self.summon()

    def leave(self, call: Call) -> bool:
        """Take a caller out, wherever it is, and give back what it holds. False: it was answered."""
        with self.lock:
            self._returned(call, 0.0)
            left = self.queue.leave(call)
            owed = self.queue.worker
            if not self.queue.busy:
                self.announce_idle()
        call.gone = True  # before it looks whom to wake: else it may be told just after
        pass_on(call)
        if owed:  # perhaps by the one who leaves; to wake the worker once too often does no harm
            self.summon()
        return left

    def _returned(self, call: Call, seconds: float) -> None:
        """Take note that an inline run has ended, be it one that was given up long ago."""
        if self.turn is not None:
            self.turn.release(call, seconds if seconds > 0 else 0.0)
        self.strays.discard(call)

    def closed_gate(self) -> Gate:
        """Return what the caller waits at: a greenlet on its hub, any thread in a lock."""
        hub = None if self.hubs is None else self.hubs.find()
        if hub is not None:
            return HubGate(hub)
        gate = self.new_lock()
        gate.acquire()
        return gate

    def join(self, thread: Thread, timeout: float | None) -> None:
        """Wait for ``thread`` to end; a greenlet does so on its hub, which the thread may need."""
        if self.hubs is None or self.hubs.find() is None:
            thread.join(timeout)
        else:
            join(thread, timeout)

    def brief(self, call: Call) -> bool:
        """Whether the device is idle, and known to be so quick with a call that a hub may stand still."""
        with self.lock:
            cost = self.queue.forecast.cost(call.shape)
            return not self.queue.busy and cost.settled and call.rows * cost.seconds(1) < _BRIEF

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
        claimed = self.new_lock()
        claimed.acquire()
        _living.add(self)
        name = f"inprocml-{self.queue.name}"
        try:
            start_thread(work, (self, claimed), name)
        except RuntimeError as error:  # no thread to be had, or the interpreter is ending
            self.collapse(Unavailable(f"model {self.queue.name!r}: no thread could be started: {error}"))
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
        self.refuse(late)
        self.check()
        self.signal()

    # -- the worker's side

    @property
    def busy(self) -> bool:
        """Whether the device is in use."""
        return self.queue.busy

    @property
    def ending(self) -> bool:
        """Whether the worker shall go when it has nothing to do."""
        return self._stopping or self.lost is not None

    def park(self, seconds: float | None) -> None:
        """Wait for a signal, at most ``seconds`` (None: as long as it takes)."""
        if seconds is None or self.manual:
            self._wake.acquire()
        else:
            self._wake.acquire(timeout=max(0.0, min(seconds, threading.TIMEOUT_MAX)))

    def take_turn(self, who: Hashable) -> None:
        """Wait for the device, where it is shared with other models; who waits is not stuck."""
        if self.turn is not None:
            self.queue.began = math.inf
            self.turn.acquire(who)
            self.queue.began = self.clock()

    def give_turn(self, who: Hashable, seconds: float) -> None:
        """Leave the device to the others after ``seconds``."""
        if self.turn is not None:
            self.turn.release(who, seconds)

    def number(self) -> int:
        """Return a batch's number, to tell it by to its callers and observers; 0 if nothing is noted."""
        return 0 if self.mark is None else next(_numbers)

    def observe(
        self,
        inputs: Tensors,
        rows: int,
        seconds: float,
        error: BaseException | None = None,
        *,
        calls: Sequence[Call] = (),
        inline: bool = False,
        number: int = 0,
    ) -> None:
        """Tell the observers of a batch of ``calls``; what they raise is counted, and logged once."""
        name = None if error is None else type(error).__name__
        marks = () if self.mark is None else marks_of(calls)
        record = BatchRecord(rows, len(calls), seconds, inline, inputs, name, marks, number)
        for observer in self.observers:
            try:
                observer.observe(record)
            except BaseException as raised:
                if inline and not isinstance(raised, Exception):
                    raise  # inline, a KeyboardInterrupt is the host's own
                self.observer_failures += 1
                if id(observer) not in self._grumbled:
                    self._grumbled.add(id(observer))
                    _log.exception("model %r: an observer failed; from now on only counted", self.queue.name)

    def refuse(self, late: list[Ticket]) -> None:
        """Tell callers that their time is up."""
        calls = cast("list[Call]", late)
        for call in calls:
            call.error = too_late(self.queue.name, waited=True)
        wake(calls)

    # -- the end

    def collapse(self, error: InprocmlError) -> None:
        """Answer everybody with ``error``: there is no worker, and nobody may hang."""
        with self.lock:
            if self.thread is current_thread():
                self.thread = None
            lost = cast("list[Call]", self.queue.abandon())
            self.announce_idle()
        tell(lost, error)
        wake(lost)

    def lose(self, error: BackendFailed) -> None:
        """Compute nothing any more: those who wait are sent to the model's next version, or successor."""
        with self.lock:
            self._lose(error)
            waiting = cast("list[Call]", self.queue.abandon())
            self.announce_idle()
        for call in waiting:
            call.error = drained(self.queue.name)
        wake(waiting)

    def _lose(self, error: BackendFailed) -> None:
        self.lost = anew(error)
        self.queue.draining = True

    def check(self) -> None:
        """Give up a run that does not return: its callers get ``BackendFailed``, those behind it ``Drained``.

        The thread inside the runtime cannot be stopped; nothing that it may still use is freed.
        """
        with self.lock:
            stuck = stuck_for(self.queue, self.clock(), self.run_timeout)
            if stuck is None or self.lost is not None:
                return
            if not self.manual and not self._suspected():
                return  # perhaps the process was stopped, or its clock set forward: the next look will tell
            error = failed(self.backend, self.queue.name, f"has not returned for {stuck:.1f} s")
            self._lose(error)
            running = set(self.queue.running())
            if not self.queue.worker:
                self.strays |= running
            calls = cast("list[Call]", self.queue.abandon())
            self.announce_idle()
        if self.turn is not None:
            self.turn.leave()
        _log.error("%s; its %d callers were told so, and the model is loaded anew", error, len(running))
        tell([call for call in calls if call in running], error)
        for call in calls:
            if call not in running:
                call.error = drained(self.queue.name)
        wake(calls)

    def _suspected(self) -> bool:
        """Whether this very run was found at the last look, a while ago in real time."""
        run, now = self.queue.began, time.monotonic()
        if self._suspect is None or self._suspect[0] != run:
            self._suspect = run, now
        return now - self._suspect[1] >= min(_SECOND_LOOK, self.run_timeout / 8)

    def announce_idle(self) -> None:
        """Let those go who wait for the device to be idle; the caller holds the lock."""
        while self.idle_gates:
            with contextlib.suppress(RuntimeError):  # released before an interruption
                self.idle_gates[-1].release()
            self.idle_gates.pop()


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
