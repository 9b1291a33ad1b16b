"""One thread per process that looks at busy runners now and then: a run that never returns tells nobody.

It is started when a caller first has to wait, and sleeps for good while no runner is busy.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Protocol

from inprocml.batching.queue import Queue

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
        self.asleep = True
        self._cores: weakref.WeakSet[Watched] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._thread: threading.Thread | None = None

    def watch(self, core: Watched) -> None:
        """Look after ``core`` for as long as it lives."""
        with self._lock:
            self._cores.add(core)

    def rouse(self) -> None:
        """Look around from now on: somebody waits. Callers ask ``asleep`` first, which costs nothing."""
        with self._lock:
            if not self.asleep:
                return
            self.asleep = False
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name="inprocml-watchdog", daemon=True)
                with contextlib.suppress(RuntimeError):  # no thread to be had: nobody is watched
                    thread.start()
                    self._thread = thread
        with contextlib.suppress(RuntimeError):
            self._bell.release()

    def _watch(self) -> None:
        while True:
            self._bell.acquire(timeout=-1 if self.asleep else self._look())

    def _look(self) -> float:
        """Check whoever is busy; return the seconds until the next look."""
        with self._lock:
            busy = [core for core in self._cores if core.busy]
            self.asleep = not busy
        for core in busy:
            core.check()
        return min([_SECONDS, *(core.run_timeout / 4 for core in busy)])


_dogs: dict[int, Watchdog] = {}


def watchdog() -> Watchdog:
    """Return this process's watchdog; a forked child has one of its own."""
    return _dogs.setdefault(os.getpid(), Watchdog())
