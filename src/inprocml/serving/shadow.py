"""Lets a candidate answer rows that the serving version has answered, off the request path, and compares.

One quiet daemon thread per trial, started by the first row. Rows that find it busy are dropped and counted:
a shadow costs the host's callers one copy of a row and nothing else.
"""

from __future__ import annotations

import functools
import queue
import threading
import weakref
from collections.abc import Callable

from inprocml.errors import BackendError, InvalidRow
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
        self._name = f"inprocml-shadow-{candidate.name}"
        self._scales = scales
        self._compare = functools.partial(_compare, candidate, scales, deadline, tolerance, clock)
        # simple: it may be put into while it is, as by the finalizer of a collection in the middle of a call
        self._waiting: queue.SimpleQueue[tuple[Row, Prediction] | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, _end, self._waiting, self._closed).atexit = False

    def offer(self, row: Row, answer: Prediction) -> None:
        """Take a row and the serving version's answer; returns at once, and raises nothing."""
        if self._waiting.qsize() >= MOST_WAITING or not self._started():
            self._scales.drop()
        else:
            self._waiting.put((dict(row), answer))  # a copy: the row is the host's to change

    def close(self, timeout: float) -> None:
        """End the thread; what still waits is forgotten."""
        with self._lock:
            _end(self._waiting, self._closed)
            thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _started(self) -> bool:
        if self._thread is not None:
            return True
        with self._lock:
            return self._start()

    def _start(self) -> bool:
        if self._thread is not None or self._closed.is_set():
            return self._thread is not None
        # the thread knows nothing of this object, so that one that is dropped ends it
        work = (self._waiting, self._closed, self._compare)
        thread = threading.Thread(target=_run, args=work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter ends
            return False
        self._thread = thread
        return True


def _end(waiting: queue.SimpleQueue[tuple[Row, Prediction] | None], closed: threading.Event) -> None:
    closed.set()
    waiting.put(None)


def _run(
    waiting: queue.SimpleQueue[tuple[Row, Prediction] | None],
    closed: threading.Event,
    compare: Callable[[Row, Prediction], None],
) -> None:
    while (taken := waiting.get()) is not None and not closed.is_set():
        compare(*taken)


def _compare(
    candidate: Servable,
    scales: Scales,
    deadline: float,
    tolerance: float,
    clock: Clock,
    row: Row,
    answer: Prediction,
) -> None:
    try:
        mine, _ = candidate.predict(row, clock() + deadline)
        agreed = agree(mine, answer, tolerance)
    except (BackendError, InvalidRow):
        agreed = False  # a row that it fails is not answered alike
    except Exception:  # noqa: BLE001 - late, busy, on its way out: nobody waits for this answer
        scales.drop()
        return
    scales.compare(agreed=agreed)
