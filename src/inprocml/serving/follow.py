"""Which version to try next, as pure decisions: no thread, no I/O; time comes from the clock handed in.

A process follows its source by three rules.

* Only a version that was never passed attracts: versions at or below the one it serves are passed, and a
  roll-back passes all there are. So a roll-back holds until something newer than all it has seen appears,
  and deleting the version that serves pulls nobody backwards.
* From the newest down, the first that loads wins: a broken newest version hides no sound one below it.
* A version that failed is left alone for a minute, then tried again, and each time for twice as long, up to
  an hour: a copy may have been half finished, a disk full, a device busy.

A process that follows an alias (``Pointed``) goes wherever the alias goes, back as well as forth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cachetools import LRUCache

from inprocml.protocols import Clock

__all__ = ["Following", "Pointed", "Refusals"]

REFUSED_SECONDS = 60.0
LONGEST_REFUSED_SECONDS = 3600.0
TRIED_AT_START = 5


class Refusals:
    """What failed, and until when it is left alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: LRUCache[str, tuple[int, float]] = LRUCache(maxsize=64)

    def add(self, name: str) -> bool:
        """Leave ``name`` alone for a while; whether this is its first refusal."""
        times, _ = self._failed.get(name, (0, 0.0))
        wait = min(REFUSED_SECONDS * 2.0**times, LONGEST_REFUSED_SECONDS)
        self._failed[name] = (times + 1, self._clock() + wait)
        return times == 0

    def __contains__(self, name: str) -> bool:
        return self._clock() < self._failed.get(name, (0, -1.0))[1]

    def forget(self, name: str) -> None:
        """Take note that ``name`` loaded after all."""
        self._failed.pop(name, None)


class Following:
    """What one process has passed and refused. Not thread-safe: its owner serialises moves."""

    def __init__(self, clock: Clock) -> None:
        self._passed: set[str] = set()
        self.refused = Refusals(clock)

    def first(self, names: Sequence[str]) -> list[str]:
        """Return what a starting process tries, in order; ``names`` are oldest first.

        What failed before is tried again here: a process that serves nothing has nothing to lose.
        """
        return list(reversed(names[-TRIED_AT_START:]))

    def wanted(self, names: Sequence[str]) -> list[str]:
        """Return what this process should serve by now, best first; empty when it serves that."""
        fresh: list[str] = []
        for name in reversed(names):
            if name in self._passed:
                break
            fresh.append(name)
        return fresh[:TRIED_AT_START]

    def newer(self, names: Sequence[str]) -> list[str]:
        """Return what a serving process tries now, in order; empty when nothing new is there."""
        return [name for name in self.wanted(names) if name not in self.refused]

    def serves(self, name: str, names: Sequence[str]) -> None:
        """Take note that ``name`` serves: it and all below it are passed."""
        at = names.index(name) if name in names else -1
        self._passed.update(names[: at + 1], [name])
        self.refused.forget(name)

    def passes(self, names: Iterable[str]) -> frozenset[str]:
        """Pass all of ``names``; return what to ``restore`` if the move that meant it fails."""
        before = frozenset(self._passed)
        self._passed.update(names)
        return before

    def restore(self, before: frozenset[str]) -> None:
        """Take a ``passes`` back."""
        self._passed = set(before)


class Pointed(Following):
    """Follows what an alias points to: ``names`` ends in that; only the last one passed is passed."""

    def serves(self, name: str, names: Sequence[str]) -> None:  # noqa: ARG002 - what it meant before is not passed
        """Take note that ``name`` serves."""
        self._passed = {name}
        self.refused.forget(name)

    def passes(self, names: Iterable[str]) -> frozenset[str]:
        """Pass what the alias means now, and nothing else; return what to ``restore``."""
        before = frozenset(self._passed)
        self._passed = set(names)
        return before
