"""Asks every few seconds whether a new version has appeared, from one quiet daemon thread per process."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable

__all__ = ["Wait", "Watcher"]

QUIET_SECONDS = 1.0

Wait = Callable[[float, threading.Event], None]
"""Blocks for at most so many seconds, less if something changed or the event is set."""

_log = logging.getLogger("inprocml")


class Watcher:
    """Calls ``poll`` every ``interval`` seconds until stopped or until its owner is garbage-collected.

    ``poll`` is a bound method, held weakly: a watcher keeps no model alive. What it raises is logged once
    per kind and never reaches the host. ``wait``, if given, replaces the plain wait between two polls;
    the first poll comes after a moment of quiet.
    """

    def __init__(
        self,
        poll: Callable[[], None],
        *,
        interval: float,
        name: str,
        wait: Wait | None = None,
    ) -> None:
        self._interval = min(interval, threading.TIMEOUT_MAX)
        self._wait = wait
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
        # quiet at first: a server that forks right after a first use must not find this thread at work
        if self._stopped.wait(min(self._interval, QUIET_SECONDS)):
            return
        while not self._stopped.is_set():
            poll = self._poll()
            if poll is None:
                return
            try:
                poll()
            except Exception as error:  # noqa: BLE001 - a guest never breaks its host
                self._complain(error)
            del poll
            self._pause()

    def _pause(self) -> None:
        """Wait for the interval, or for the source to say that something changed."""
        if self._wait is None:
            self._stopped.wait(self._interval)
            return
        try:
            self._wait(self._interval, self._stopped)
        except Exception as error:  # noqa: BLE001 - as a failing poll; from here on the clock alone decides
            self._wait = None
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        kind = type(error).__name__
        if kind not in self._complained:
            self._complained.add(kind)
            _log.warning(
                "watching model %s failed (%s: %s); the loaded version goes on", self._name, kind, error
            )
