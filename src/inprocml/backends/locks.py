"""A lock that a fork cannot leave locked."""

from __future__ import annotations

import os
import threading

__all__ = ["ProcessLock"]


class ProcessLock:
    """One lock per process, used with ``with``.

    A module's lock that another thread holds at a fork stays locked in the child for ever. Here the child
    finds a lock of its own, whether or not its server runs fork hooks; ``setdefault`` is atomic.
    """

    def __init__(self) -> None:
        self._locks: dict[int, threading.Lock] = {}

    def __enter__(self) -> None:
        self._locks.setdefault(os.getpid(), threading.Lock()).acquire()

    def __exit__(self, *_: object) -> None:
        self._locks[os.getpid()].release()

    def locked(self) -> bool:
        """Whether a thread of this process holds it."""
        lock = self._locks.get(os.getpid())
        return lock is not None and lock.locked()
