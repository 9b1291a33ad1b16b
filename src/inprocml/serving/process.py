"""What one process holds of a model: its slot, its watcher, what it has seen of the source."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future

from inprocml.protocols import Clock
from inprocml.serving.follow import Following
from inprocml.serving.slot import Slot
from inprocml.serving.watch import Watcher

__all__ = ["Process"]

_log = logging.getLogger("inprocml")

EXIT_PATIENCE_SECONDS = 10.0


class Process:
    """The state of one model in one process; never shared with a parent or a child.

    ``moving`` is held by whoever changes the version on purpose (a poll, a reload), so that two moves never
    decide on what the other is about to change. ``_lock`` guards the making of threads and nothing that takes
    long.
    """

    def __init__(self, name: str, slot: Slot, *, clock: Clock) -> None:
        self.slot = slot
        self.following = Following(clock)
        self.moving = threading.Lock()
        self._name = name
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None
        self._loading: Future[None] | None = None
        self._logged: set[str] = set()
        self._closed = False
        self._pid = os.getpid()
        self._loader: threading.Thread | None = None
        _living.add(self)

    def watch(self, poll: Callable[[], None], interval: float) -> None:
        """Start following the source, once."""
        with self._lock:
            if self._watcher is None and not self._closed:
                self._watcher = Watcher(poll, interval=interval, name=self._name)
                self._watcher.start()

    def load(self, load: Callable[[], object]) -> Future[None]:
        """Run ``load`` on a thread of its own unless one does already; return its outcome for all."""
        with self._lock:
            if self._loading is None or self._loading.done():
                future: Future[None] = Future()
                self._loading = future
                self._loader = threading.Thread(
                    target=_settle, args=(future, load), name=f"inprocml-load-{self._name}", daemon=True
                )
                self._loader.start()
            return self._loading

    def close(self) -> None:
        """Stop watching, drain and free; a load that is under way finishes into a closed slot."""
        with self._lock:
            self._closed = True
            watcher = self._watcher
        if watcher is not None:
            watcher.stop()
        self.slot.close()

    def leave(self, until: float) -> None:
        """Let a load that is under way end before the interpreter does; ``until`` is real monotonic time."""
        if self._pid != os.getpid():
            return
        self._closed = True
        if self._watcher is not None:
            self._watcher.stop(max(0.0, until - time.monotonic()))
        if self._loader is not None:
            self._loader.join(max(0.0, until - time.monotonic()))

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def refuse(self, key: str, error: Exception) -> None:
        """Leave a version alone for a while, and say why, once; ``key`` begins with its name."""
        self.following.refuses(key)
        self.log_once(f"model {self._name}: version {key.partition(' ')[0]} refused: {error}")

    def log_once(self, message: str) -> None:
        """Warn, unless the same was said before."""
        if message not in self._logged:
            self._logged.add(message)
            _log.warning("%s", message)


_living: weakref.WeakSet[Process] = weakref.WeakSet()


@atexit.register
def _leave() -> None:
    """A runtime that is torn down while a thread creates a session aborts the process (SIGABRT)."""
    until = time.monotonic() + EXIT_PATIENCE_SECONDS
    for process in list(_living):
        process.leave(until)


def _settle(future: Future[None], load: Callable[[], object]) -> None:
    try:
        load()
    except BaseException as error:  # noqa: BLE001 - whoever waits gets it; nobody may wait for ever
        future.set_exception(error)
    else:
        future.set_result(None)
