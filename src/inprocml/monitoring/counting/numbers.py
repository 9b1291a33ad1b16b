"""Several columns of numbers at once: their bins, and their moments.

A column of some hundred values is over before numpy has begun, so that most of the time would go into calls.
And numpy gives away the interpreter's lock in each call that is large: beside busy threads it waits for it,
some milliseconds each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.bins import NumberBins

__all__ = ["Matrix", "Numbers", "both_moments"]

Matrix = NDArray[np.float64]
"""Shape ``(columns, rows)``, NaN for missing."""

_ROWS = 512  # at a time: what they need stays in the processor's cache


class Numbers:
    """The bins of columns, the ends of all of them in one table."""

    def __init__(self, bins: Sequence[NumberBins]) -> None:
        most = max((len(each.edges) for each in bins), default=0)
        # no number is at least NaN: where a column has fewer ends than another, none is passed
        self._edges = np.full((most, len(bins), 1), np.nan)
        for column, each in enumerate(bins):
            self._edges[: len(each.edges), column, 0] = each.edges
        sizes = np.array([each.size for each in bins], np.intp)
        self._missing = sizes[:, None] - 1
        self._ends = np.cumsum(sizes)
        self._starts = (self._ends - sizes)[:, None]
        self._narrow = np.uint8 if most < 256 else np.intp

    def places(self, columns: Matrix) -> NDArray[np.intp]:
        """Return the bin of each value, as ``NumberBins.places`` does of each column."""
        places = np.empty(columns.shape, np.intp)
        for part in _parts(columns.shape[1]):
            values = columns[:, part]
            # some 20 comparisons take half the time of a search
            passed = (values >= self._edges).view(np.uint8).sum(axis=0, dtype=self._narrow)
            missing = np.isnan(values)
            places[:, part] = np.where(missing, self._missing, passed) if missing.any() else passed
        return places

    def moments(self, columns: Matrix) -> NDArray[np.float64]:
        """Return sum, sum of squares, least and most of the finite values: shape ``(columns, 4)``."""
        found = np.tile((0.0, 0.0, np.inf, -np.inf), (len(columns), 1))
        for part in _parts(columns.shape[1]):
            known = least = most = columns[:, part]
            finite = np.isfinite(known)
            if not finite.all():
                least, most = np.where(finite, known, np.inf), np.where(finite, known, -np.inf)
                known = np.where(finite, known, 0.0)
            with np.errstate(over="ignore", invalid="ignore"):
                sums = (known.sum(axis=1), np.einsum("ij,ij->i", known, known))
            found = both_moments(found, np.column_stack([*sums, least.min(axis=1), most.max(axis=1)]))
        return found

    def infinite(self, columns: Matrix) -> NDArray[np.int64]:
        """Return how many values are below and above all numbers: shape ``(columns, 2)``."""
        if not np.isinf(columns).any():
            return np.zeros((len(columns), 2), np.int64)
        return np.stack([(columns == end).sum(axis=1) for end in (-np.inf, np.inf)], axis=1)

    def counted(self, places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Return how many values lie in each bin, an array for each column."""
        every = int(self._ends.max(initial=0))
        found = np.bincount((places + self._starts).reshape(-1), minlength=every)
        return np.split(found, self._ends[:-1])


def both_moments(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the moments of the values of both; what is too large for a sum is infinite, and stays so."""
    with np.errstate(over="ignore", invalid="ignore"):
        sums = one[:, :2] + other[:, :2]
    sums[np.isnan(sums)] = np.inf  # both ways at once
    least, most = np.minimum(one[:, 2], other[:, 2]), np.maximum(one[:, 3], other[:, 3])
    return np.column_stack([sums, least, most])


def _parts(rows: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, rows, _ROWS))
