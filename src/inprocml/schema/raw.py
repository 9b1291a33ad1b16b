"""What every make of column is brought to: a list, a numpy array, or instants in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "Instants", "instants", "length", "maker", "scalars"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
_MAKERS = frozenset({"pandas", "polars", "pyarrow"})


@dataclass(frozen=True, slots=True, eq=False)
class Instants:
    """A time-zone-aware column: ``utc`` datetime64 of any unit, and the ``source`` it came from."""

    utc: NDArray[np.datetime64]
    source: Iterable[object]


Column: TypeAlias = list[object] | NDArray[Any] | Instants
"""Raw values of one field, one per row."""


def length(column: Column) -> int:
    """Return the number of rows."""
    return len(column.utc) if isinstance(column, Instants) else len(column)


def scalars(column: Column) -> list[object]:
    """Return the column value by value, as a row would hold them."""
    if isinstance(column, list):
        return column
    if isinstance(column, Instants):
        return list(column.source)
    if column.dtype.kind in "mM":
        return list(column)  # tolist() would turn nanoseconds into bare integers
    values: list[object] = column.tolist()
    return values


def instants(utc: NDArray[np.datetime64]) -> Instants:
    """Return the aware column of instants given in UTC, datetime64 in seconds or finer."""
    return Instants(utc, _Aware(utc))


def maker(kind: type) -> str:
    """Return "pandas", "polars" or "pyarrow" for a class of theirs, or derived from one; else ""."""
    roots = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((root for root in roots if root in _MAKERS), "")


class _Aware:
    """Instants value by value, for whoever must judge them one by one; made only then."""

    def __init__(self, utc: NDArray[np.datetime64]) -> None:
        self._utc = utc

    def __iter__(self) -> Iterator[object]:
        unit, step = np.datetime_data(self._utc.dtype)
        width = _NANOSECONDS[unit] * step
        for moment, tick in zip(self._utc, self._utc.astype(np.int64).tolist(), strict=True):
            if np.isnat(moment):
                yield None
                continue
            try:
                yield _EPOCH + timedelta(microseconds=tick * width // 1000)
            except OverflowError:  # beyond Python's years: numpy's own value is refused for just that
                yield moment
