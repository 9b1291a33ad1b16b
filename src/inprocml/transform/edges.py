"""Order statistics and bin edges, by arithmetic that every machine does alike."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from inprocml.transform.arguments import finite

__all__ = [
    "MOST_BINS",
    "checked_bins",
    "first_reaching",
    "number_at",
    "position",
    "quantile",
    "quantile_edges",
]

MOST_BINS = 4096


def checked_bins(bins: object) -> int | tuple[float, ...] | None:
    """Return the declared bins: how many, or edges; ``TypeError`` or ``ValueError`` for what is neither."""
    if bins is None:
        return None
    bins = bins.tolist() if isinstance(bins, np.ndarray) else bins
    if isinstance(bins, bool) or not isinstance(bins, (int, list, tuple)):
        raise TypeError("bins must be the number of bins, or a sequence of edges between them")
    if isinstance(bins, int):
        if not 2 <= bins <= MOST_BINS:
            raise ValueError(f"bins must be from 2 to {MOST_BINS}")
        return bins
    edges = tuple(finite("bins", edge) for edge in bins)
    if not 1 <= len(edges) < MOST_BINS or list(edges) != sorted(set(edges)):
        raise ValueError(f"bins must be 1 to {MOST_BINS - 1} edges in rising order")
    return edges


def quantile(ordered: NDArray[np.float64], share: float) -> float:
    """Return the quantile of sorted values, interpolated between neighbours (Hyndman and Fan's type 7)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    part = place - below
    if low == high or part == 0.0:
        return low
    # in two terms: the difference of two large numbers of unlike sign may leave float64
    return low * (1.0 - part) + high * part


def quantile_edges(x: NDArray[np.float64], bins: int) -> tuple[float, ...]:
    """Return the edges between at most ``bins`` bins of about as many values each, none empty.

    There are none only where all values are equal.
    """
    ordered = np.sort(x)
    found = np.array(sorted({quantile(ordered, k / bins) for k in range(1, bins)}))
    below = np.searchsorted(ordered, found)
    # an edge with no value between it and the one before, or the lowest value, would bound an empty bin
    edges: list[float] = found[np.diff(below, prepend=0) > 0].tolist()
    if not edges:  # nearly all are the lowest value: it, and all that is above it
        edges = ordered[ordered > ordered[0]][:1].tolist()
    return tuple(edges)


def first_reaching(rises: Callable[[float], float], goal: float, low: float, high: float) -> float:
    """Return the first float64 in ``[low, high]`` at which the rising function reaches ``goal``."""
    if rises(low) >= goal:
        return low
    below, reached = position(low), position(high)
    while reached - below > 1:
        middle = (below + reached) // 2
        if rises(number_at(middle)) >= goal:
            reached = middle
        else:
            below = middle
    return number_at(reached)


def position(number: float) -> int:
    """The position of a float64 among all of them, zero at zero."""
    bits: int = struct.unpack("<q", struct.pack("<d", abs(number)))[0]
    return -bits if number < 0 else bits


def number_at(position: int) -> float:
    """Return the float64 at a position."""
    number: float = struct.unpack("<d", struct.pack("<q", abs(position)))[0]
    return -number if position < 0 else number
