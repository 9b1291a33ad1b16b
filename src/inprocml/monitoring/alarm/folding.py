"""Full bins folded to sixteen cells: what is kept for each window of each column.

Cell 0 holds values below the reference, 14 those above it or never seen, 15 missing ones. Between lie the
reference's own values: of numbers in their order, of categories the most frequent first, the rest in 13.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.bins import HourOfWeekBins, NumberBins
from inprocml.monitoring.series import Counts, Layout, Series
from inprocml.schema.once import once

__all__ = ["BELOW", "BEYOND", "CELLS", "MISSING", "RARE", "Folding"]

CELLS = 16
BELOW, BEYOND, MISSING = 0, 14, 15
_INNER = 13
RARE = _INNER  # of categories: all values but the twelve most frequent


@dataclass(frozen=True)
class Folding:
    """The cell of every bin of a layout, and what the cells are called."""

    layout: Layout

    @once
    def kinds(self) -> tuple[str, ...]:
        """``number``, ``category`` or ``time`` for each series."""
        return tuple(_kind(each) for each in self.layout.series)

    @once
    def _targets(self) -> NDArray[np.intp]:
        parts = [
            place * CELLS + np.asarray(_cells(each), np.intp) for place, each in enumerate(self.layout.series)
        ]
        return np.concatenate([np.zeros(0, np.intp), *parts])

    def fold(self, counts: Counts) -> NDArray[np.int64]:
        """Return counts of shape ``(size,)`` as ``(series, 16)``; ``ValueError`` for another shape."""
        if counts.shape != (self.layout.size,):
            raise ValueError(f"counts of shape {counts.shape} are not of this layout, ({self.layout.size},)")
        length = len(self.layout.series) * CELLS
        # float64 is exact to 2**53 rows
        folded = np.bincount(self._targets, weights=counts, minlength=length)
        return folded.astype(np.int64).reshape(-1, CELLS)

    @once
    def reference(self) -> NDArray[np.int64]:
        """The training counts, folded."""
        return self.fold(self.layout.reference())

    @once
    def names(self) -> tuple[tuple[tuple[int, str], ...], ...]:
        """For each series the cells that some bin falls into, and their labels, missing last."""
        return tuple(_names(each) for each in self.layout.series)

    @once
    def places(self) -> tuple[tuple[int, ...], ...]:
        """For each series the place of each bin among its ``names``; empty where these are its bins."""
        return tuple(
            _places(_cells(each), names) for each, names in zip(self.layout.series, self.names, strict=True)
        )


def _kind(series: Series) -> str:
    if isinstance(series.bins, HourOfWeekBins):
        return "time"
    return "number" if isinstance(series.bins, NumberBins) else "category"


def _cells(series: Series) -> list[int]:
    """Return the cell of each bin."""
    kind, size = _kind(series), series.bins.size
    if kind == "time":
        hours = [(hour // 24, hour % 24) for hour in range(168)]
        return [1 + (6 if day >= 5 else 0) + hour // 4 for day, hour in hours] + [MISSING]
    if kind == "category":
        top = size - 3
        return [min(place + 1, _INNER) for place in range(top)] + [_INNER, BEYOND, MISSING]
    if size < 4:  # no value between the ends of the reference, or none at all
        return [1] * (size - 1) + [MISSING]
    inner = series.reference.counts[1:-2]
    return [BELOW, *(1 + cell for cell in _merged(inner)), BEYOND, MISSING]


def _merged(counts: tuple[int, ...]) -> list[int]:
    """Return the place of each inner bin after neighbours were merged, the lightest pair first.

    Of pairs alike the one nearest to the middle: the ends tell most of how wide values lie.
    """
    groups = [[bin_] for bin_ in range(len(counts))]
    weights = list(counts)
    while len(groups) > _INNER:
        middle = (len(groups) - 2) / 2
        pair = min(range(len(groups) - 1), key=lambda k: (weights[k] + weights[k + 1], abs(k - middle)))
        groups[pair : pair + 2] = [groups[pair] + groups[pair + 1]]
        weights[pair : pair + 2] = [weights[pair] + weights[pair + 1]]
    return [place for place, group in enumerate(groups) for _ in group]


def _places(cells: list[int], names: tuple[tuple[int, str], ...]) -> tuple[int, ...]:
    order = {cell: place for place, (cell, _) in enumerate(names)}
    places = tuple(order[cell] for cell in cells)
    return () if places == tuple(range(len(names))) else places


def _names(series: Series) -> tuple[tuple[int, str], ...]:
    if _kind(series) == "time":
        parts = [
            f"{days} {hour:02}-{hour + 4:02}" for days in ("Mon-Fri", "Sat-Sun") for hour in range(0, 24, 4)
        ]
        return (*enumerate(parts, start=1), (MISSING, "missing"))
    labels, cells = series.labels(), _cells(series)
    names: dict[int, str] = {}
    for label, cell in zip(labels, cells, strict=True):
        if cell not in names:
            names[cell] = label
        elif _kind(series) == "category":
            names[cell] = "other"
        else:  # "[a, b)" and "[b, c)" are "[a, c)"
            names[cell] = f"{names[cell].partition(',')[0]},{label.partition(',')[2]}"
    return tuple(sorted(names.items()))
