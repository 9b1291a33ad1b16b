"""A budget of memory that the models of a process share: who has been idle longest makes room.

A model that was evicted loads again when it is next asked. One in use is never evicted, nor is one
that loads or swaps: a slot's lock is tried and never waited for, so that two models that want each other's
room do not wait for one another.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from inprocml.protocols import Clock
from inprocml.serving.slot import Slot

__all__ = ["Memory", "as_bytes", "resident"]

_log = logging.getLogger("inprocml")

PEAK = 3.0
"""Bytes of memory that loading takes at its peak, per byte of the model (``benchmarks/swaps.py``: 2.9)."""

SIZES_KEPT = 256
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


class Memory:
    """At most ``limit`` for all models that are declared with it, in each process: bytes, or ``"4 GB"``.

    Before a model loads, others are evicted until it fits: those that were idle for ``idle`` seconds, the
    longest idle first. Where that does not suffice it is loaded all the same, with one warning: sizes are
    estimates, and a request that is refused for a guess is worse than a process that grows. ``measure``
    returns the bytes that this process takes now (``None``: it cannot tell; default: resident memory); a
    device's memory may be counted instead.
    """

    def __init__(
        self,
        limit: int | str,
        *,
        idle: float = 5.0,
        measure: Callable[[], int | None] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.limit = as_bytes(limit)
        if isinstance(idle, bool) or not isinstance(idle, int | float):
            raise TypeError(f"idle must be seconds, not {type(idle).__name__}")
        if measure is not None and not callable(measure):
            raise TypeError(f"measure must be a function that returns bytes, not {type(measure).__name__}")
        if not 0 <= idle < float("inf"):
            raise ValueError(f"idle must be a finite number of seconds, 0 or more, not {idle!r}")
        self._idle = idle
        self._measure = measure or resident
        self._clock = clock
        self._shares: dict[int, _Share] = {}  # by process id: a child inherits no lock and no model

    def __repr__(self) -> str:
        return f"Memory({self.limit})"

    @property
    def used(self) -> int:
        """Bytes that the loaded models of this process take, as far as is known."""
        share = self._share()
        with share.lock:
            return share.used()

    def measured(self, digest: str) -> int | None:
        """Return the bytes that a model was measured to take here, ``None`` for one that is not known."""
        share = self._share()
        with share.lock:
            return share.size(digest)

    @contextlib.contextmanager
    def loading(self, slot: Slot, digest: str, size: int) -> Iterator[None]:
        """Make room for ``slot`` to load, here, the model ``digest`` of ``size`` bytes; and measure it.

        To be entered by the thread that builds, between reading the bundle and opening its runtime.
        """
        share = self._share()
        need = share.begin(slot, digest, size)
        self._make_room(share, slot)
        before = self._measure() if share.alone else None
        try:
            yield
            after = self._measure() if share.alone and before is not None else None
            share.learn(slot, digest, size if after is None or before is None else max(after - before, size))
        finally:
            share.end(need)

    def landed(self, slot: Slot, servable: object) -> None:
        """Count what ``slot`` has loaded while ``servable`` lives: a candidate may never serve there."""
        self._share().landed(slot, servable)

    def _make_room(self, share: _Share, slot: Slot) -> None:
        for other in share.candidates(slot, self._clock() - self._idle):
            if share.fits(self.limit):
                return
            if other.evict():
                _log.info("a model was evicted to make room for another; it loads again when it is asked")
        if not share.fits(self.limit) and share.complain():
            _log.warning(
                "the models of this process take more than their %s bytes: those in use do not fit together. "
                "Allow more with Memory(...), or serve fewer of them in one process",
                f"{self.limit:,}",
            )

    def _share(self) -> _Share:
        pid = os.getpid()
        share = self._shares.get(pid)
        return share if share is not None else self._shares.setdefault(pid, _Share())


class _Share:
    """What one process knows: whose slots there are, what their models take, what is being loaded."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.alone = True
        self._slots: weakref.WeakSet[Slot] = weakref.WeakSet()
        self._sizes: dict[str, int] = {}  # of models by digest, measured where that was possible
        self._coming: list[int] = []
        self._landing: weakref.WeakKeyDictionary[Slot, str] = weakref.WeakKeyDictionary()
        self._landed: weakref.WeakKeyDictionary[Slot, weakref.ref[object]] = weakref.WeakKeyDictionary()
        self._complained = False

    def begin(self, slot: Slot, digest: str, size: int) -> int:
        with self.lock:
            self._slots.add(slot)
            self._landing.pop(slot, None)
            need = max(self._sizes.get(digest, 0), round(PEAK * size))
            self._coming.append(need)
            self.alone = len(self._coming) == 1
            return need

    def end(self, need: int) -> None:
        with self.lock:
            self._coming.remove(need)

    def learn(self, slot: Slot, digest: str, size: int) -> None:
        with self.lock:
            self._landing[slot] = digest  # built, and in its slot in a moment
            self._landed.pop(slot, None)
            self._sizes.pop(digest, None)
            if len(self._sizes) >= SIZES_KEPT:
                self._forget_one()
            self._sizes[digest] = size

    def landed(self, slot: Slot, servable: object) -> None:
        with self.lock:
            self._landed[slot] = weakref.ref(servable)

    def _forget_one(self) -> None:
        """Forget the size that was learnt first, of those that nobody holds: the others are counted."""
        held = {digest for slot in list(self._slots) for digest in self._held(slot)}
        oldest = next((digest for digest in self._sizes if digest not in held), None)
        if oldest is not None:
            del self._sizes[oldest]

    def size(self, digest: str) -> int | None:
        return self._sizes.get(digest)

    def used(self) -> int:
        return sum(self._sizes.get(digest, 0) for slot in list(self._slots) for digest in self._held(slot))

    def _held(self, slot: Slot) -> list[str]:
        held = [servable.digest for servable in slot.held()]
        landing = self._landing.get(slot)
        if landing is None:
            return held
        landed = self._landed.get(slot)
        if landing in held or slot.evicted is not None or (landed is not None and landed() is None):
            self._landing.pop(slot, None)
            return held
        return [*held, landing]

    def fits(self, limit: int) -> bool:
        with self.lock:
            return self.used() + sum(self._coming) <= limit

    def candidates(self, asking: Slot, before: float) -> list[Slot]:
        """Return the slots that may be emptied, the longest idle first."""
        with self.lock:
            others = [(slot.used, slot) for slot in list(self._slots) if slot is not asking]
        return [slot for used, slot in sorted(others, key=lambda pair: pair[0]) if used <= before]

    def complain(self) -> bool:
        first, self._complained = not self._complained, True
        return first


def as_bytes(limit: int | str) -> int:
    """Return a number of bytes from itself or from text such as ``"512 MB"``; else ``ValueError``."""
    if isinstance(limit, str):
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", limit.lower())
        if found is not None and found[2] in _UNITS:
            limit = round(float(found[1]) * _UNITS[found[2]])
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ValueError(f"a limit of memory is a number of bytes, or text such as '4 GB', not {limit!r}")
    return limit


def resident() -> int | None:
    """Return the bytes of this process that lie in memory, where the system tells (Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
