"""What two versions have shown since a rollout's step began: rows, failures, durations, disagreements.

Durations go into bins a fifth apart, so that a percentile costs no sorting and no memory that grows.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

__all__ = ["Evidence", "Scales", "Tally"]

_SHORTEST = 1e-5  # seconds; everything below shares the first bin
_PER_DOUBLING = 4
_BINS = 100  # up to some 300 s


@dataclass(frozen=True, slots=True)
class Tally:
    """One version's part: ``rows`` asked, ``errors`` among them, and how long the others took."""

    rows: int = 0
    errors: int = 0
    bins: tuple[int, ...] = field(default=(0,) * _BINS, repr=False)

    @property
    def error_share(self) -> float:
        """Failed rows among all, 0 for none."""
        return self.errors / self.rows if self.rows else 0.0

    @property
    def timed(self) -> int:
        """Rows whose duration is known."""
        return sum(self.bins)

    def percentile(self, part: float) -> float:
        """Seconds within which ``part`` of the rows were answered (to a fifth), 0 where none was."""
        wanted, seen = part * self.timed, 0
        for place, count in enumerate(self.bins):
            seen += count
            if count and seen >= wanted:
                return float(_SHORTEST * 2 ** (place / _PER_DOUBLING))
        return 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Both versions' parts; of ``compared`` shadowed rows ``disagreed`` were failed or answered otherwise.

    ``dropped`` rows were to be shadowed and were not: the candidate was busy or late.
    """

    serving: Tally = Tally()
    candidate: Tally = Tally()
    compared: int = 0
    disagreed: int = 0
    dropped: int = 0


class Scales:
    """Gathers the evidence of one step, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Begin anew, for another step."""
        with self._lock:
            self._rows = [0, 0]
            self._errors = [0, 0]
            self._bins = [[0] * _BINS, [0] * _BINS]
            self._compared = self._disagreed = self._dropped = 0

    def answered(self, seconds: float, *, candidate: bool) -> None:
        """Count a row that was answered."""
        place = _bin(seconds)
        with self._lock:
            self._rows[candidate] += 1
            self._bins[candidate][place] += 1

    def failed(self, *, candidate: bool) -> None:
        """Count a row that was not answered, by fault of the version."""
        with self._lock:
            self._rows[candidate] += 1
            self._errors[candidate] += 1

    def compare(self, *, agreed: bool) -> None:
        """Count a row that both answered."""
        with self._lock:
            self._compared += 1
            self._disagreed += not agreed

    def drop(self) -> None:
        """Count a row that could not be compared."""
        with self._lock:
            self._dropped += 1

    def read(self) -> Evidence:
        """Return what is known now."""
        with self._lock:
            serving, candidate = (
                Tally(self._rows[which], self._errors[which], tuple(self._bins[which])) for which in (0, 1)
            )
            return Evidence(serving, candidate, self._compared, self._disagreed, self._dropped)


def _bin(seconds: float) -> int:
    if seconds <= _SHORTEST:
        return 0
    return min(math.ceil(math.log2(seconds / _SHORTEST) * _PER_DOUBLING), _BINS - 1)
