"""Which version to try next, as pure decisions: no thread, no I/O; time comes from the clock handed in.

A process follows its source by three rules.

* Only a version that was never passed attracts: versions at or below the one it serves are passed, and a
  roll-back passes all there are. So a roll-back holds until something newer than all it has seen appears,
  and deleting the version that serves pulls nobody backwards.
* From the newest down, the first that loads wins: a broken newest version hides no sound one below it.
* A version that failed is left alone for a minute, then tried again: a copy may have been half finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cachetools import TTLCache

from inprocml.protocols import Clock

__all__ = ["Following"]

REFUSED_SECONDS = 60.0
TRIED_AT_START = 5


class Following:
    """What one process has passed and refused. Not thread-safe: its owner serialises moves."""

    def __init__(self, clock: Clock) -> None:
        self._passed: set[str] = set()
        self._refused: TTLCache[str, bool] = TTLCache(maxsize=64, ttl=REFUSED_SECONDS, timer=clock)

    def first(self, names: Sequence[str]) -> list[str]:
        """Return what a starting process tries, in order; ``names`` are oldest first.

        What failed before is tried again here: a process that serves nothing has nothing to lose.
        """
        return list(reversed(names[-TRIED_AT_START:]))

    def newer(self, names: Sequence[str]) -> list[str]:
        """Return what a serving process tries now, in order; empty when nothing new is there."""
        fresh: list[str] = []
        for name in reversed(names):
            if name in self._passed:
                break
            fresh.append(name)
        return [name for name in fresh[:TRIED_AT_START] if name not in self._refused]

    def serves(self, name: str, names: Sequence[str]) -> None:
        """Take note that ``name`` serves: it and all below it are passed."""
        at = names.index(name) if name in names else -1
        self._passed.update(names[: at + 1], [name])

    def passes(self, names: Iterable[str]) -> frozenset[str]:
        """Pass all of ``names``; return what to ``restore`` if the move that meant it fails."""
        before = frozenset(self._passed)
        self._passed.update(names)
        return before

    def restore(self, before: frozenset[str]) -> None:
        """Take a ``passes`` back."""
        self._passed = set(before)

    def refuses(self, name: str) -> None:
        """Leave ``name`` alone for a minute."""
        self._refused[name] = True
