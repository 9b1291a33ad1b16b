"""Holds the version this process serves: loads it on first use, swaps it whole, drains the old one.

A slot belongs to the process that made it. After a fork the child makes a slot of its own and the inherited
one is parked: freeing an inherited ONNX Runtime session joins threads that do not exist in the child, and
hangs for ever (measured, onnxruntime 1.20 to 1.31).
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable

from inprocml.errors import NotReady
from inprocml.protocols import Clock
from inprocml.serving.servable import Servable

__all__ = ["Slot", "park"]

_log = logging.getLogger("inprocml")

RETRY_SECONDS = 1.0


def park(inherited: object) -> None:
    """Keep ``inherited`` for ever, even through interpreter shutdown, which clears every module."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


class Slot:
    """The current servable of one process.

    ``load(version, trigger)`` builds a servable beside the serving one; ``None`` means the newest. Reading
    ``current`` takes no lock once a version is loaded; ``_lock`` lets one load or swap happen at a time.
    """

    def __init__(self, name: str, load: Callable[[str | None, str], Servable], *, clock: Clock) -> None:
        self._name = name
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._servable: Servable | None = None
        self._failure: tuple[float, Exception] | None = None
        self._closed = False
        self._stuck: list[Servable] = []

    def peek(self) -> Servable | None:
        """Return the servable if one is loaded, without loading."""
        return self._servable

    def current(self, deadline: float | None = None) -> Servable:
        """Return the servable, loading it on first use.

        Callers that arrive meanwhile wait for that load, but not beyond their ``deadline``: ``NotReady``. A
        failed load is remembered for a second, so that a broken bundle costs the host one attempt a second
        and not one per request.
        """
        servable = self._servable
        if servable is not None:
            return servable
        left = -1.0 if deadline is None else min(max(deadline - self._clock(), 0.0), threading.TIMEOUT_MAX)
        if not self._lock.acquire(timeout=left):
            raise NotReady(f"model {self._name!r} is still loading in this process; try again shortly")
        try:
            return self._servable if self._servable is not None else self._first()
        finally:
            self._lock.release()

    def _first(self) -> Servable:
        self._refuse_if_closed()
        if self._failure is not None and self._clock() - self._failure[0] < RETRY_SECONDS:
            raise self._failure[1].with_traceback(None)
        try:
            servable = self._load(None, "first_use")
        except Exception as error:
            self._failure = (self._clock(), error)
            raise
        self._servable, self._failure = servable, None
        return servable

    def swap(self, version: str | None, trigger: str) -> Servable:
        """Load ``version`` beside the serving one, put it in its place, then drain and free the old one.

        Raises whatever the load raises; the old version then goes on as if nothing had happened.
        """
        with self._lock:
            self._refuse_if_closed()
            new = self._load(version, trigger)
            old, self._servable = self._servable, new
            self._failure = None
        self._retire(old)
        return new

    def close(self) -> None:
        """Drain and free; later uses are refused with ``NotReady``."""
        with self._lock:
            self._closed = True
            old, self._servable = self._servable, None
        self._retire(old)

    def _retire(self, old: Servable | None) -> None:
        if old is not None and not old.retire():
            self._stuck.append(old)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise NotReady(f"model {self._name!r} was closed in this process; make a new Model to go on")
