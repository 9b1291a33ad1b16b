"""Fixed bins, and the counts on them.

Bins are made once, from training data, and never move: counts of any two sets of rows on the same bins add
up exactly. The bins of a field are a partition, so its counts sum to the number of rows; missing is last.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.schema.once import once

__all__ = ["BinCounts", "Bins", "HourOfWeekBins", "NumberBins", "ValueBins", "numeric_edges"]

_ATOMS = 16  # a value that makes up a 16th of the reference is a bin of its own; the rest fill about 16
TOP = 64
MOST_KNOWN = 16_384
LONGEST_KNOWN = 64
_DIGITS = 6  # of an edge in a name
_THURSDAY = 3 * 24  # hours from Monday to the day that 1970 began with


def numeric_edges(values: ArrayLike) -> NDArray[np.float64]:
    """Return the sorted, unique, finite edges for reference ``values``: float64, shape ``(edges,)``.

    Bin k holds ``edges[k-1] <= x < edges[k]``; the outer bins are open. Finite values with a share of at
    least 1/16 ("atoms") have a bin ``[a, nextafter(a))`` each; the rest is cut at its j/K quantiles (linear
    method), K = max(1, round(16 * len(rest) / len(finite))); the minimum and what follows the maximum are
    edges too, so that values outside the reference are seen. Not finite: ignored. Empty: no edges.
    """
    given = np.asarray(values, dtype=np.float64).ravel()
    finite = given[np.isfinite(given)]
    if not len(finite):
        return np.empty(0)
    distinct, counts = np.unique(finite, return_counts=True)
    atoms = distinct[counts * _ATOMS >= len(finite)]
    rest = finite[~np.isin(finite, atoms)]
    cuts = max(1, round(_ATOMS * len(rest) / len(finite)))
    with np.errstate(all="ignore"):  # values near the end of float64: what overflows is dropped below
        inner = np.quantile(rest, np.arange(1, cuts) / cuts) if len(rest) and cuts > 1 else np.empty(0)
        ends = [distinct[0], np.nextafter(distinct[-1], np.inf)]
        edges = np.concatenate([atoms, np.nextafter(atoms, np.inf), inner, ends])
    return np.unique(edges[np.isfinite(edges)])


class Bins(Protocol):
    """How the values of one field fall into bins."""

    @property
    def size(self) -> int:
        """The number of bins, missing included."""
        ...

    def labels(self) -> list[str]:
        """Return a name for each bin."""
        ...

    def places(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the bin of each value of a canonical column of shape ``(rows,)``."""
        ...

    def count(self, column: NDArray[Any]) -> BinCounts:
        """Count a canonical column of shape ``(rows,)``."""
        ...

    def document(self) -> dict[str, Any]:
        """Return what rebuilds these bins, as JSON holds it."""
        ...


@dataclass(frozen=True)
class BinCounts:
    """How many values fell into each of the ``bins``, missing last; counts on equal bins add up with ``+``.

    ``infinite`` counts minus and plus infinity apart; they are in the outer bins as well.
    """

    bins: Bins
    counts: tuple[int, ...]
    infinite: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if len(self.counts) != self.bins.size:
            raise ValueError("there must be one count per bin")
        if min(self.counts) < 0 or min(self.infinite) < 0 or sum(self.infinite) > self.rows:
            raise ValueError("counts must not be negative, and infinities are values too")

    @property
    def rows(self) -> int:
        """Values counted, missing ones included."""
        return sum(self.counts)

    @property
    def missing(self) -> int:
        """Missing values."""
        return self.counts[-1]

    def left_out(self, once: int) -> BinCounts:
        """Return the counts of rows of which each is compared with all others: what came once was never seen.

        ``once`` values of the reference came once. Their share of the rows is what new rows are expected to
        have of values never seen: Good, Biometrika 40 (1953), 237-264. ``ValueError`` where these counts
        cannot have so many.
        """
        bins, counts = self.bins, list(self.counts)
        named = [place for place, count in enumerate(counts[:-3]) if count == 1]
        others = once - len(named)
        fits = isinstance(bins, ValueBins) and bins.complete and once >= 0
        if not fits or not 0 <= others <= min(
            counts[-3], len(bins.rest if isinstance(bins, ValueBins) else ())
        ):
            raise ValueError("counts of these bins cannot hold so many values that came once")
        for place in named:
            counts[place] = 0
        counts[-3] -= others
        counts[-2] += once
        return BinCounts(bins, tuple(counts), self.infinite)

    def __add__(self, other: BinCounts) -> BinCounts:
        if other.bins != self.bins:
            raise ValueError("counts add up on the same bins only")
        counts = tuple(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True))
        low, high = self.infinite
        return BinCounts(self.bins, counts, (low + other.infinite[0], high + other.infinite[1]))


@dataclass(frozen=True)
class NumberBins:
    """``len(edges) + 1`` bins, and missing (NaN)."""

    edges: tuple[float, ...]
    kind: ClassVar[str] = "number@1"

    def __post_init__(self) -> None:
        if any(not low < high for low, high in pairwise(self.edges)):
            raise ValueError("edges must rise")

    @property
    def size(self) -> int:
        """The number of bins, missing included."""
        return len(self.edges) + 2

    def labels(self) -> list[str]:
        """Return a name for each bin: its ends to 6 digits, or to as many more as tell all bins apart."""
        for digits in range(_DIGITS, 17):
            named = self._named(digits)
            if len(set(named)) == len(named):
                return named
        return self._named(17)

    def _named(self, digits: int) -> list[str]:
        ends = ["-inf", *(f"{edge:.{digits}g}" for edge in self.edges), "inf"]
        return [f"[{low}, {high})" for low, high in pairwise(ends)] + ["missing"]

    def places(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the bin of each value of a canonical column of shape ``(rows,)``."""
        values = np.asarray(column, dtype=np.float64)
        places = np.searchsorted(self._edges, values, side="right")
        places[np.isnan(values)] = self.size - 1
        return places

    def count(self, column: NDArray[Any]) -> BinCounts:
        """Count a canonical column of shape ``(rows,)``."""
        values = np.asarray(column, dtype=np.float64)
        infinite = (int((values == -np.inf).sum()), int((values == np.inf).sum()))
        return BinCounts(self, _counted(self, values), infinite)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds these bins, as JSON holds it."""
        return {"kind": self.kind, "edges": list(self.edges)}

    @once
    def _edges(self) -> NDArray[np.float64]:
        return np.array(self.edges, dtype=np.float64)


@dataclass(frozen=True)
class ValueBins:
    """A bin for each ``top`` value, then other values of the reference, unseen, missing.

    ``rest`` are the other values, sorted. Where they were too many or too long to list, ``complete`` is
    False, and whatever is not listed counts as other: no value is called unseen without evidence.
    """

    top: tuple[str | int, ...]
    rest: tuple[str | int, ...]
    complete: bool
    kind: ClassVar[str] = "value@1"

    def __post_init__(self) -> None:
        listed = [*self.top, *self.rest]
        if len({(type(value), value) for value in listed}) != len(listed) or len({*map(type, listed)}) > 1:
            raise ValueError("values must be of one type, and none may appear twice")

    @classmethod
    def of(cls, column: NDArray[np.object_]) -> ValueBins:
        """Return the bins for a reference column: the 64 most frequent values, ties broken by value."""
        seen = Counter(value for value in column.tolist() if value is not None)
        by_frequency = sorted(sorted(seen), key=lambda value: -seen[value])
        others = by_frequency[TOP:]
        rest = [value for value in others if len(str(value)) <= LONGEST_KNOWN][:MOST_KNOWN]
        return cls(tuple(by_frequency[:TOP]), tuple(sorted(rest)), complete=len(rest) == len(others))

    @property
    def size(self) -> int:
        """The number of bins, missing included."""
        return len(self.top) + 3

    def labels(self) -> list[str]:
        """Return a name for each bin."""
        return [*(f"={value}" for value in self.top), "other", "unseen", "missing"]

    def numbered(self) -> list[str]:
        """Return names that tell no value: ``category 1`` is the most frequent one of the reference."""
        return [*(f"category {place + 1}" for place in range(len(self.top))), "other", "unseen", "missing"]

    def places(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the bin of each value of a canonical column of shape ``(rows,)``."""
        places = map(self._places.get, column.tolist(), repeat(self.unlisted))
        return np.fromiter(places, np.intp, len(column))

    def count(self, column: NDArray[Any]) -> BinCounts:
        """Count a canonical column of shape ``(rows,)``."""
        return BinCounts(self, _counted(self, column))

    @property
    def unlisted(self) -> int:
        """The bin of a value that the reference does not list: unseen, or other where not all are listed."""
        return len(self.top) + (1 if self.complete else 0)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds these bins, as JSON holds it."""
        return {
            "kind": self.kind,
            "top": list(self.top),
            "rest": list(self.rest),
            "complete": self.complete,
        }

    @once
    def _places(self) -> dict[str | int | None, int]:
        places: dict[str | int | None, int] = dict.fromkeys(self.rest, len(self.top))
        places.update((value, place) for place, value in enumerate(self.top))
        places[None] = self.size - 1
        return places


@dataclass(frozen=True)
class HourOfWeekBins:
    """168 bins, Monday 00 first, and missing; counts per hour or per weekday are sums of these."""

    kind: ClassVar[str] = "hour_of_week@1"

    @property
    def size(self) -> int:
        """The number of bins, missing included."""
        return 169

    def labels(self) -> list[str]:
        """Return a name for each bin."""
        days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
        return [f"{day} {hour:02}" for day in days for hour in range(24)] + ["missing"]

    def places(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the bins of wall-clock times (``Schema.wall``), ``datetime64[us]``, NaT for missing."""
        hours = column.astype("M8[h]").astype(np.int64)
        return np.where(np.isnat(column), 168, (hours + _THURSDAY) % 168).astype(np.intp)

    def count(self, column: NDArray[Any]) -> BinCounts:
        """Count a column of wall-clock times, as ``places`` takes it."""
        return BinCounts(self, _counted(self, column))

    def document(self) -> dict[str, Any]:
        """Return what rebuilds these bins, as JSON holds it."""
        return {"kind": self.kind}


def _counted(bins: Bins, column: NDArray[Any]) -> tuple[int, ...]:
    return tuple(np.bincount(bins.places(column), minlength=bins.size).tolist())
