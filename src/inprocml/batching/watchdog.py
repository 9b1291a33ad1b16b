"""One thread per process that looks at busy runners now and then: a run that never returns tells nobody.

It is started when a caller has to wait, and ends when no runner is busy.
"""

from __future__ import annotations

import contextlib
import logging
import os
import weakref
from typing import Protocol

from inprocml.batching.queue import Queue
from inprocml.native import Thread, current_thread, lock_maker, start_thread

_log = logging.getLogger(__name__)

__all__ = ["Watchdog", "stuck_for", "watchdog"]

_SECONDS = 1.0
_RUNS = 10.0  # so many times what its rows take one by one is what a run may take in any case


def stuck_for(queue: Queue, now: float, timeout: float) -> float | None:
    """Return how long the device has been at its run, if for more than ``timeout`` and than it may."""
    tickets = queue.running()
    took = now - queue.began
    if not tickets or took <= timeout:
        return None
    alone = queue.forecast.cost(tickets[0].shape).seconds(1)
    return took if took > _RUNS * alone * sum(ticket.rows for ticket in tickets) else None


class Watched(Protocol):
    """A runner's core, as far as the watchdog knows it."""

    run_timeout: float

    @property
    def busy(self) -> bool: ...

    def check(self) -> None: ...


class Watchdog:
    """Calls ``check`` of every busy core about once a second, or as often as its limit asks for."""

    def __init__(self) -> None:
        self.asleep = True  # there is no thread
        self._cores: weakref.WeakSet[Watched] = weakref.WeakSet()
        self._grumbled: weakref.WeakSet[Watched] = weakref.WeakSet()
        new_lock = lock_maker()
        self._lock = new_lock()
        self._bell = new_lock()
        self._bell.acquire()
        self._thread: Thread | None = None

    def watch(self, core: Watched) -> None:
        """Look after ``core`` for as long as it lives."""
        with self._lock:
            self._cores.add(core)

    def rouse(self) -> None:
        """Look around from now on: somebody waits. Callers ask ``asleep`` first, which costs nothing.

        The thread itself says that it is there: a caller who is interrupted here leaves one behind or none.
        """
        with contextlib.suppress(RuntimeError):  # no thread to be had: nobody is watched
            start_thread(self._watch, (), "inprocml-watchdog")

    def rest(self) -> None:
        """Let the thread end now, if no runner is busy; returns when it has."""
        with self._lock:
            thread = self._thread
            if thread is None or thread is current_thread() or any(c.busy for c in self._cores):
                return
        with contextlib.suppress(RuntimeError):  # rung already
            self._bell.release()
        thread.join(_SECONDS)

    def _watch(self) -> None:
        with self._lock:
            if self._thread is not None:  # several were roused at once
                return
            self._thread, self.asleep = current_thread(), False
        while (seconds := self._look()) is not None:
            self._bell.acquire(timeout=seconds)

    def _look(self) -> float | None:
        """Check whoever is busy; return the seconds until the next look, ``None`` if nobody is."""
        with self._lock:
            self.asleep = True  # before it looks: who comes from now on calls it back
            busy = [core for core in self._cores if core.busy]
            if not busy:
                self._thread = None
                return None
            self.asleep = False
        for core in busy:
            try:
                core.check()
            except Exception:  # noqa: BLE001 - its backend cannot say what it is; the others are watched still
                if core not in self._grumbled:
                    self._grumbled.add(core)
                    _log.exception(
                        "a model that computes cannot be looked at; a run that hangs goes unnoticed"
                    )
        return min([_SECONDS, *(core.run_timeout / 4 for core in busy)])


_dogs: dict[int, Watchdog] = {}
os.register_at_fork(after_in_child=_dogs.clear)  # a child may get the number of an ancestor


def watchdog() -> Watchdog:
    """Return this process's watchdog; a forked child has one of its own."""
    return _dogs.setdefault(os.getpid(), Watchdog())
