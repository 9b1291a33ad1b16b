"""What an exporter reads: things that live, in the process that noted them."""

from __future__ import annotations

import os
import weakref
from typing import Generic, TypeVar

T = TypeVar("T")
N = TypeVar("N")

__all__ = ["Living"]


class Living(Generic[T, N]):
    """Things and what was noted of them, for as long as they live and in this process alone.

    What a parent noted before the fork is not ours. Each method is made of steps that are atomic: the thread
    that reads needs no lock that a fork could leave locked, and may read while another notes.
    """

    def __init__(self) -> None:
        self._noted: dict[int, tuple[weakref.ref[T], int, N]] = {}

    def note(self, thing: T, noted: N) -> None:
        """Keep ``noted``, in place of what was noted of ``thing`` before."""
        key = id(thing)
        alive = weakref.ref(thing, lambda _gone: self._noted.pop(key, None))
        self._noted[key] = (alive, os.getpid(), noted)

    def forget(self, thing: T) -> None:
        """Keep nothing of ``thing``, if there was anything."""
        self._noted.pop(id(thing), None)

    def things(self) -> list[T]:
        """Return what lives now."""
        return [thing for thing, _ in self.items()]

    def items(self) -> list[tuple[T, N]]:
        """Return what lives now, with what was noted of it."""
        pid = os.getpid()
        found = [(alive(), noted) for alive, owner, noted in list(self._noted.values()) if owner == pid]
        return [(thing, noted) for thing, noted in found if thing is not None]
