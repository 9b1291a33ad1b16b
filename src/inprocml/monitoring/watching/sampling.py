"""Of more rows than may be counted, which are: by chance, for a fixed step would follow their pattern."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Sample"]

T = TypeVar("T")


class Sample:
    """Lets ``most`` rows a second through, and as many at once after a pause; times are seconds."""

    def __init__(self, most: int, now: float) -> None:
        self._most = most
        self._allowed, self._at = float(most), now
        self._random = random.Random()  # noqa: S311 - a sample of rows, no secret

    def lost(self, rows: int) -> int:
        """Return how many of so many rows, which are gone, might have been counted now; they are used up."""
        count = min(rows, int(self._allowed))
        self._allowed -= count
        return count

    def back(self, rows: int) -> None:
        """Allow so many rows again: they were let through, and are not counted yet."""
        self._allowed += rows

    def of(self, rows: Sequence[T], now: float) -> Sequence[T]:
        """Return those that may be counted, in their order; a clock that steps back allows none."""
        passed, self._at = max(0.0, now - self._at), now
        self._allowed = min(self._allowed + passed * self._most, float(self._most))
        count = min(len(rows), int(self._allowed))
        self._allowed -= count
        if count == len(rows):
            return rows
        return [rows[place] for place in sorted(self._random.sample(range(len(rows)), count))]
