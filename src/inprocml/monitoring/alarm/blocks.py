"""The recent past in blocks whose sizes double: at most two of each size, one of the largest.

Suffix windows are sums of the newest blocks. What is dropped at the far end is older than all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.folding import CELLS

__all__ = ["LEVELS", "SCALES", "Blocks", "Window", "saturated"]

LEVELS = 10  # sizes 2**0 to 2**9
SCALES = LEVELS
_SLOTS = 2 * LEVELS - 1  # of the largest, one
_MOST = np.iinfo(np.uint32).max

_Cells = NDArray[np.int64]
_Kept = NDArray[np.uint32]


def saturated(counts: NDArray[np.int64]) -> _Kept:
    """Return counts as they are kept; what is too large stays at the largest."""
    return np.minimum(counts, _MOST).astype(np.uint32)


@dataclass(frozen=True, slots=True)
class Window:
    """The newest ``blocks`` blocks: since when, their counts, shape ``(series, 16)``, and until when.

    ``until`` is None where that is when the last block was closed.
    """

    since: float
    blocks: int
    counts: _Cells
    until: float | None = None


class Blocks:
    """Counts of blocks in slots; each has a level (-1: free), a place in the order, and a start."""

    def __init__(self, series: int) -> None:
        self.counts = np.zeros((_SLOTS, series, CELLS), np.uint32)
        self.levels = np.full(_SLOTS, -1, np.int64)
        self.orders = np.zeros(_SLOTS, np.int64)
        self.starts = np.zeros(_SLOTS, np.float64)
        self.pushed = 0

    def push(self, counts: _Cells, start: float) -> _Cells | None:
        """Add a block; return the counts of the block of 512 that had to leave, if one had to."""
        dropped = self._room(0)
        slot = int(np.flatnonzero(self.levels < 0)[0])
        self.pushed += 1
        self.counts[slot] = saturated(counts)
        self.levels[slot], self.orders[slot], self.starts[slot] = 0, self.pushed, start
        return dropped

    def _room(self, level: int) -> _Cells | None:
        """Make room for one more block of this level."""
        slots = sorted(np.flatnonzero(self.levels == level).tolist(), key=lambda slot: self.orders[slot])
        if len(slots) < (1 if level == LEVELS - 1 else 2):
            return None
        older, newer = slots[0], slots[-1]
        if level == LEVELS - 1:
            self.levels[older] = -1
            left: _Cells = self.counts[older].astype(np.int64)
            return left
        dropped = self._room(level + 1)
        self.counts[older] = saturated(self.counts[older].astype(np.int64) + self.counts[newer])
        self.levels[older], self.orders[older] = level + 1, self.orders[newer]
        self.levels[newer] = -1
        return dropped

    def suffixes(self) -> list[Window]:
        """Return windows of at least 1, 2, 4, ... 512 blocks, as short as can be, as far as blocks reach."""
        slots, reach = self._newest_first()
        if not len(slots):
            return []
        sums = np.cumsum(self.counts[slots], axis=0, dtype=np.int64)
        wanted = 2 ** np.arange(SCALES)
        ends = np.searchsorted(reach, wanted[wanted <= reach[-1]])
        return [Window(float(self.starts[slots[end]]), int(reach[end]), sums[end]) for end in ends.tolist()]

    def kept(self) -> tuple[_Kept, NDArray[np.float64], NDArray[np.int64]]:
        """Return all that is kept, the newest first: counts, starts, and how many blocks are newer.

        Shapes ``(parts, series, 16)``, ``(parts,)``, ``(parts,)``.
        """
        slots, reach = self._newest_first()
        return self.counts[slots], self.starts[slots], reach - 2 ** self.levels[slots]

    def reach(self) -> tuple[int, float]:
        """Return how many blocks are kept, and when the oldest began."""
        slots, reach = self._newest_first()
        return (int(reach[-1]), float(self.starts[slots[-1]])) if len(slots) else (0, 0.0)

    def start_of(self, blocks: int) -> float:
        """Return about when the newest ``blocks`` blocks began; minus infinity where so many are not kept."""
        slots, reach = self._newest_first()
        if not len(slots) or reach[-1] < blocks:
            return -np.inf
        end, newest = int(np.searchsorted(reach, blocks)), self.starts[slots[0]]
        # merged blocks have one start: between, time is taken to be even
        return float(newest - (newest - self.starts[slots[end]]) * blocks / reach[end])

    def oldest(self) -> float:
        """Return when the oldest block kept began."""
        slots, _ = self._newest_first()
        return float(self.starts[slots[-1]])

    def forget(self, keep: int) -> None:
        """Drop all but the newest ``keep`` blocks, or a few more: a merged block stays or goes whole."""
        slots, reach = self._newest_first()
        self.levels[slots[np.searchsorted(reach, keep) + 1 if keep else 0 :]] = -1

    def _newest_first(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """Return the slots in use, the newest first, and how many blocks each suffix has."""
        used = np.flatnonzero(self.levels >= 0)
        slots = used[np.argsort(-self.orders[used])]
        return slots, np.cumsum(2 ** self.levels[slots])
