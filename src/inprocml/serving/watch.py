"""Asks every few seconds whether a new version has appeared, from one quiet daemon thread per process."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable

__all__ = ["Watcher"]

_log = logging.getLogger("inprocml")


class Watcher:
    """Calls ``poll`` every ``interval`` seconds until stopped or until its owner is garbage-collected.

    ``poll`` is a bound method, held weakly: a watcher keeps no model alive. What it raises is logged once
    per kind and never reaches the host.
    """

    def __init__(self, poll: Callable[[], None], *, interval: float, name: str) -> None:
        self._interval = min(interval, threading.TIMEOUT_MAX)
        self._name = name
        self._stopped = stopped = threading.Event()
        self._poll = weakref.WeakMethod(poll, lambda _gone: stopped.set())
        self._complained: set[str] = set()
        self._thread = threading.Thread(target=self._run, name=f"inprocml-watch-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """End the thread and wait for that, at most ``timeout`` seconds, unless it is the caller itself."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            poll = self._poll()
            if poll is None:
                return
            try:
                poll()
            except Exception as error:  # noqa: BLE001 - a guest never breaks its host
                self._complain(error)
            del poll

    def _complain(self, error: Exception) -> None:
        kind = type(error).__name__
        if kind not in self._complained:
            self._complained.add(kind)
            _log.warning(
                "watching model %s failed (%s: %s); the loaded version goes on", self._name, kind, error
            )
