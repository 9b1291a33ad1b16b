"""One thread per process that looks after monitors: each second while there are rows, else now and then."""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref
from typing import Protocol

from inprocml.native import Thread, current_thread, lock_maker, start_thread

__all__ = ["Watcher", "watcher"]

SECONDS = 1.0
SLOWLY = 15.0
_PATIENCE = 60  # looks without a row, after which it looks slowly


class Watched(Protocol):
    """A monitor, as far as the watcher knows it; no method raises."""

    def look(self) -> bool: ...  # whether there were rows

    def study(self) -> None: ...  # what takes longer, and comes once an hour

    def close(self) -> None: ...


class Watcher:
    """Calls ``look`` of every monitor; the thread ends with the last of them."""

    def __init__(self) -> None:
        self.asleep = True  # nobody looks soon; asked by every request, so a plain attribute
        self._monitors: weakref.WeakSet[Watched] = weakref.WeakSet()
        new_lock = lock_maker()
        self._lock = new_lock()
        self._bell = new_lock()
        self._bell.acquire()
        self._thread: Thread | None = None
        self._idle = 0

    def watch(self, monitor: Watched) -> None:
        """Look after ``monitor`` for as long as it lives."""
        with self._lock:
            self._monitors.add(monitor)

    def forget(self, monitor: Watched) -> None:
        """Look after it no more."""
        with self._lock:
            self._monitors.discard(monitor)

    def rouse(self) -> None:
        """Look around from now on: there are rows. Callers ask ``asleep`` first, which costs nothing."""
        self.asleep = False
        if self._thread is not None:
            with contextlib.suppress(RuntimeError):  # rung already
                self._bell.release()
            return
        with contextlib.suppress(RuntimeError):  # no thread to be had, or the interpreter is ending
            start_thread(self._watch, (), "inprocml-monitor")

    def look(self) -> None:
        """Look at every monitor now."""
        with self._lock:
            monitors = list(self._monitors)
        for monitor in monitors:
            self._idle = 0 if monitor.look() else self._idle
        for monitor in monitors:
            monitor.study()

    def _watch(self) -> None:
        with self._lock:
            if self._thread is not None:  # several were roused at once
                return
            self._thread, self.asleep, self._idle = current_thread(), False, 0
        while self._goes_on():
            self.asleep = self._idle >= _PATIENCE  # before it waits: who comes from now on calls it
            self._bell.acquire(timeout=SLOWLY if self.asleep else SECONDS)
            self._idle += 1
            self.look()

    def _goes_on(self) -> bool:
        with self._lock:
            if not self._monitors:
                self._thread, self.asleep = None, True
            return self._thread is not None

    def close(self) -> None:
        """Close every monitor."""
        with self._lock:
            monitors = list(self._monitors)
        for monitor in monitors:
            monitor.close()


_watchers: dict[int, Watcher] = {}
os.register_at_fork(after_in_child=_watchers.clear)  # a child may get the number of an ancestor


def watcher() -> Watcher:
    """Return this process's watcher; a forked child has one of its own."""
    return _watchers.setdefault(os.getpid(), Watcher())


@atexit.register
def _leave() -> None:
    """Count what was answered in the last second, and leave; never in a child that forked without a word."""
    mine = _watchers.get(os.getpid())
    if mine is not None:
        with contextlib.suppress(Exception):
            mine.close()
