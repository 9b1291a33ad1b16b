"""Holds the version this process serves: loads it on first use, swaps it whole, drains the old one.

A slot belongs to the process that made it; after a fork the child makes a slot of its own.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from inprocml.errors import DeviceLost, NotReady, anew
from inprocml.protocols import Clock
from inprocml.serving.servable import Servable

__all__ = ["Slot"]

_log = logging.getLogger("inprocml")

RETRY_SECONDS = 1.0
RETIRE_SECONDS = 30.0
LOST_SECONDS = 10.0  # between the second and the third load of a model whose runs do not return; then doubled
MOST_LOST_SECONDS = 600.0
FORGIVEN_SECONDS = 3600.0  # without a loss, after which the next one counts as the first


class Slot:
    """The current servable of one process.

    ``first()`` builds the servable of the first use. Reading ``current`` takes no lock once a version is
    loaded; ``_lock`` lets one load or swap happen at a time.
    """

    def __init__(self, name: str, first: Callable[[], Servable], *, clock: Clock) -> None:
        self._name = name
        self._load_first = first
        self._clock = clock
        self._lock = threading.Lock()
        self._servable: Servable | None = None
        self._failure: Exception | None = None
        self._retry_at = 0.0
        self._closed = False
        self._stuck: list[Servable] = []
        self._losses = 0
        self._patience = 0.0  # before the next load, for the last one has left something behind
        self._lost_at = -math.inf
        self._pointing = threading.Lock()  # for the moment of pointing elsewhere; no load holds it
        self._evicted: tuple[str, str] | None = None

    def peek(self) -> Servable | None:
        """Return the servable if one is loaded, without loading."""
        return self._servable

    @property
    def evicted(self) -> tuple[str, str] | None:
        """Name and digest of the version that ``evict`` took out, until one is loaded again."""
        return self._evicted

    @property
    def used(self) -> float:
        """When the version was last used, on the clock of its ``sizes``; 0.0 where none is loaded."""
        servable = self._servable
        return 0.0 if servable is None else servable.sizes.used

    def held(self) -> tuple[Servable, ...]:
        """Return every version that takes memory here: the serving one, and those that still compute."""
        serving = self._servable
        return (*self._stuck, *(() if serving is None else (serving,)))

    @property
    def failure(self) -> Exception | None:
        """How the last first load failed, until one succeeds."""
        return self._failure

    def current(self) -> Servable:
        """Return the servable, loading it on first use; callers that arrive meanwhile wait for that load.

        A failed load is remembered for a second, or for as long as it took: a broken bundle costs the host at
        most half of one thread, and not one attempt per request.
        """
        servable = self._servable
        if servable is not None:
            return servable
        with self._lock:
            return self._servable if self._servable is not None else self._first()

    def _first(self) -> Servable:
        self._refuse_if_closed()
        began = self._clock()
        if self._failure is not None and began < self._retry_at:
            raise anew(self._failure)
        try:
            servable = self._load_first()
        except Exception as error:
            now = self._clock()
            self._failure, self._retry_at = anew(error), now + max(RETRY_SECONDS, now - began, self._patience)
            self._patience = 0.0
            raise
        self._servable, self._failure, self._evicted = servable, None, None
        _log.info("model %s: version %s serves now", servable.name, servable.version)
        return servable

    def swap(self, build: Callable[[], Servable]) -> Servable:
        """Build a servable beside the serving one, put it in its place, then drain and free the old one.

        Raises whatever ``build`` raises; the old version then goes on as if nothing had happened.
        """
        with self._lock:
            self._refuse_if_closed()
            new = build()
            with self._pointing:
                old, self._servable = self._servable, new
            self._failure = self._evicted = None
        _log.info(
            "model %s: version %s serves now (was %s)", new.name, new.version, old.version if old else "none"
        )
        self._retire(old)
        return new

    def give_up(self) -> None:
        """Take out a version that can compute nothing any more; never waits.

        The next use loads again: at once the first time, later and later if it happens again within the hour.
        After a ``DeviceLost`` there is nothing to load in this process: uses are refused with it.
        """
        with self._pointing:
            servable = self._servable
            lost = None if servable is None else servable.runner.lost
            if servable is None or lost is None:
                return
            self._servable = None
            self._stuck.append(servable)
            now = self._clock()
            wait = self._lost_wait(now)
            if isinstance(lost, DeviceLost):
                wait = math.inf
            self._failure, self._retry_at = (anew(lost) if wait else None), now + wait
        _log.error("model %s: version %s is given up: %s", servable.name, servable.version, lost)

    def left_behind(self) -> None:
        """Take note of a load that does not return: it keeps what it has, so the next one comes later.

        Later and later, as after ``give_up``: each takes a thread and the memory of a model.
        """
        with self._pointing:
            self._patience = self._lost_wait(self._clock())

    def _lost_wait(self, now: float) -> float:
        if now - self._lost_at > FORGIVEN_SECONDS:
            self._losses = 0
        wait = min(LOST_SECONDS * ((1 << min(self._losses, 16)) - 1), MOST_LOST_SECONDS)
        self._losses, self._lost_at = self._losses + 1, now
        return wait

    def evict(self) -> bool:
        """Free the version unless it is in use; the next use loads again. Whether it was freed.

        Waits for nobody: a slot that loads or swaps just now is in use.
        """
        if not self._lock.acquire(blocking=False):
            return False
        try:
            old = self._servable
            if old is None or not old.idle or not old.leases.seal():
                return False
            with self._pointing:  # given up meanwhile: it is not ours to free
                if self._servable is not old:
                    return False
                self._servable, self._evicted = None, (old.version, old.digest)
        finally:
            self._lock.release()
        _log.info("model %s: version %s was idle and is evicted", old.name, old.version)
        self._retire(old)
        return True

    def sweep(self, *, closing: bool = False) -> None:
        """Free the versions that were still busy when they were replaced, and have ended since."""
        with self._pointing:
            stuck, self._stuck = self._stuck, []
        for old in stuck:
            if not old.retire(0.0, closing=closing):
                self.keep(old)

    def close(self) -> None:
        """Drain and free; later uses are refused with ``NotReady``."""
        with self._lock:
            self._closed = True
            with self._pointing:
                old, self._servable = self._servable, None
        self._retire(old, closing=True)
        self.sweep(closing=True)

    def _retire(self, old: Servable | None, *, closing: bool = False) -> None:
        if old is None:
            return
        if not old.retire(RETIRE_SECONDS, closing=closing):
            self.keep(old)
            _log.warning(
                "model %s version %s still computes or answers a stream though it was replaced; its memory "
                "is kept until that ends",
                old.name,
                old.version,
            )

    def keep(self, old: Servable) -> None:
        """Hold on to a version that still computes, until ``sweep`` can free it."""
        with self._pointing:
            self._stuck.append(old)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise NotReady(f"model {self._name!r} was closed in this process; make a new Model to go on")
