"""What one process holds of a model: its slot, its watcher, what it has seen of the source."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from inprocml.serving.follow import Following
from inprocml.serving.rollout import Rollout
from inprocml.serving.slot import Slot
from inprocml.serving.standing import Decided
from inprocml.serving.trial import Ended, Trial
from inprocml.serving.watch import Wait, Watcher
from inprocml.telemetry import set_stale, trial_closed

__all__ = ["Process"]

_log = logging.getLogger("inprocml")

EXIT_PATIENCE_SECONDS = 10.0
DECISIONS_KEPT = 100


class Process:
    """The state of one model in one process; never shared with a parent or a child.

    ``moving`` is held by whoever changes the version on purpose (a poll, a reload), so that two moves never
    decide on what the other is about to change. ``_lock`` guards the making of threads and nothing that takes
    long.

    ``trials`` are the candidates beside the serving version, replaced as a whole; ``ended`` is the last
    candidate of each rollout that is over, and ``absent`` says why one has none. ``stale`` says why this
    process does not serve what it should, if so.
    """

    def __init__(self, name: str, slot: Slot, following: Following) -> None:
        self.slot = slot
        self.following = following
        self.moving = threading.Lock()
        self.trials: tuple[Trial, ...] = ()
        self.ended: dict[Rollout, Ended] = {}
        self.decisions: deque[Decided] = deque(maxlen=DECISIONS_KEPT)
        self.absent: dict[Rollout, str] = {}
        self.stale: str | None = None
        self._name = name
        self._lock = threading.Lock()
        self._watcher: Watcher | None = None
        self._loading: Future[None] | None = None
        self._logged: set[str] = set()
        self._closed = False
        self._pid = os.getpid()
        self._loader: threading.Thread | None = None
        _living.add(self)

    def watch(self, poll: Callable[[], None], interval: float, wait: Wait | None) -> None:
        """Start following the source, once; ``wait`` returns when another look may pay."""
        with self._lock:
            if self._watcher is None and not self._closed:
                self._watcher = Watcher(poll, interval=interval, name=self._name, wait=wait)
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
            watcher.stop(EXIT_PATIENCE_SECONDS)
        set_stale(self, self._name, stale=None)
        trials, self.trials = self.trials, ()
        for trial in trials:
            trial_closed(trial.servable.name, trial.servable.version)
            trial.retire(EXIT_PATIENCE_SECONDS)
        self.slot.close()

    def leave(self, until: float) -> None:
        """Let a load that is under way end before the interpreter does; ``until`` is real monotonic time."""
        if self._pid != os.getpid():
            return
        self._closed = True
        if self._watcher is not None:
            self._watcher.stop(max(0.0, until - time.monotonic()))
        for trial in self.trials:
            trial.release(max(0.0, until - time.monotonic()))
        if self._loader is not None:
            self._loader.join(max(0.0, until - time.monotonic()))

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the versions that can answer here now."""
        serving = self.slot.peek()
        return tuple(trial.servable.version for trial in self.trials) + (
            () if serving is None else (serving.version,)
        )

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def settle(self, listed: Sequence[str]) -> None:
        """Take note of what there is to serve: stale where something better was refused."""
        wanted = self.following.wanted(listed)
        told = wanted[0].partition(" ")[0] if wanted else ""
        self.mark_stale(f"version {told} was refused" if wanted else None)

    def mark_stale(self, reason: str | None) -> None:
        """Take note of why this process does not serve what it should, ``None`` where it does."""
        self.stale = reason
        set_stale(self, self._name, stale=reason is not None)

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
