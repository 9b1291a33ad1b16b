"""Lets a candidate answer rows that the serving version has answered, off the request path, and compares.

One quiet daemon thread per trial, started by the first row. Rows that find it busy are dropped and counted:
a shadow costs the host's callers one copy of a row and nothing else.
"""

from __future__ import annotations

import contextlib
import queue
import threading

from inprocml.protocols import Clock
from inprocml.serving.evidence import Scales
from inprocml.serving.servable import Servable
from inprocml.values import Prediction, Row

__all__ = ["Shadow", "agree"]

MOST_WAITING = 256


def agree(one: Prediction, other: Prediction, tolerance: float) -> bool:
    """Whether two answers are the same: one label, or numbers within ``tolerance`` of the greater."""
    if one.probability is not None or other.probability is not None:
        return bool(one.value == other.value)
    return bool(abs(one.value - other.value) <= tolerance * max(abs(one.value), abs(other.value)))


class Shadow:
    """Asks ``candidate`` for rows that were answered already; ``deadline`` in seconds bounds each."""

    def __init__(
        self, candidate: Servable, scales: Scales, *, deadline: float, tolerance: float, clock: Clock
    ) -> None:
        self._candidate = candidate
        self._scales = scales
        self._deadline = deadline
        self._tolerance = tolerance
        self._clock = clock
        self._waiting: queue.Queue[tuple[Row, Prediction] | None] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def offer(self, row: Row, answer: Prediction) -> None:
        """Take a row and the serving version's answer; returns at once."""
        if self._thread is None:
            self._start()
        try:
            self._waiting.put_nowait((dict(row), answer))  # a copy: the row is the host's to change
        except queue.Full:
            self._scales.drop()

    def close(self, timeout: float) -> None:
        """End the thread; what still waits is forgotten."""
        with self._lock:
            self._closed = True
            thread = self._thread
        while thread is not None and thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._waiting.get_nowait()
            with contextlib.suppress(queue.Full):
                self._waiting.put_nowait(None)
                break
        if thread is not None:
            thread.join(timeout)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                name = f"inprocml-shadow-{self._candidate.name}"
                self._thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (taken := self._waiting.get()) is not None and not self._closed:
            row, answer = taken
            try:
                mine, _ = self._candidate.predict(row, self._clock() + self._deadline)
                agreed = agree(mine, answer, self._tolerance)
            except Exception:  # noqa: BLE001 - late, busy, failed: nobody waits for this answer
                self._scales.drop()
            else:
                self._scales.compare(agreed=agreed)
