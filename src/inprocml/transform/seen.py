"""What training values looked like, for the eye alone: a few rows that ``fit`` kept, counted when looked at.

They stay in the process that called ``fit``: they are in no file and in no digest, and no feature depends on
them. Drift is measured against the baseline of a bundle, which counts every row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.drawing import short
from inprocml.schema import Field, Schema
from inprocml.schema.moment import zone_named
from inprocml.schema.once import once
from inprocml.schema.text import LONGEST

__all__ = ["Sample", "Seen", "sample"]

_ROWS = 2048  # at most, evenly spaced: a picture needs no more
_BINS = 24
_TOP = 24
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """The heights of a bar chart, and what it shows in words."""

    counts: tuple[int, ...]
    caption: str


@dataclass(frozen=True, eq=False)
class Sample:
    """Canonical values of a few training rows, by field."""

    schema: Schema
    columns: Mapping[str, NDArray[Any]]

    @once
    def seen(self) -> dict[str, Seen]:
        """The fields of which a bar chart can be drawn; counted when first asked for, so ``fit`` need not."""
        pairs = ((field, self.columns.get(field.name)) for field in self.schema.fields)
        found = {field.name: _seen(field, column) for field, column in pairs if column is not None}
        return {name: seen for name, seen in found.items() if seen is not None}


def sample(schema: Schema, columns: Mapping[str, NDArray[Any]]) -> Sample:
    """Keep a few rows of canonical training columns, evenly spaced; not the table that they came from."""
    # neither vectors, of which there is no one picture, nor files and long texts, which would be kept alive
    whole = {"vector", "content", "signal"}
    drawn = [f.name for f in schema.fields if f.kind not in whole and f.longest <= LONGEST]
    flat = {name: columns[name] for name in drawn if name in columns and len(columns[name])}
    return Sample(schema, {name: column[:: -(-len(column) // _ROWS)].copy() for name, column in flat.items()})


def _seen(field: Field, column: NDArray[Any]) -> Seen | None:
    if column.dtype.kind in "fiu":
        return _numbers(column)
    values = column.tolist()
    known = [value for value in values if value is not None]
    missing = _missing(len(values) - len(known), len(values))
    if all(isinstance(value, datetime) for value in known):
        utc = column.dtype.kind == "M" and field.timezone is not None
        return _moments(_zoned(known, field.timezone) if utc else known, missing) if known else None
    return _values(known, missing) if set(map(type, known)) <= {str, int, bool} else None


def _numbers(column: NDArray[Any]) -> Seen | None:
    known = np.sort(column[~np.isnan(column)] if column.dtype.kind == "f" else column)
    if not len(known):
        return None
    # a hundredth at each end falls into the outer bars, or one value decides the scale
    tail = len(known) // 100
    low, high = float(known[tail]), float(known[-1 - tail])
    at = np.arange(1, _BINS) / _BINS
    inner = np.searchsorted(known, low * (1 - at) + high * at, side="right") if low < high else [len(known)]
    counts = tuple(int(end - start) for start, end in pairwise([0, *inner, len(known)]))
    middle = float(known[len(known) // 2])
    spread = f"{float(known[0]):.4g} to {float(known[-1]):.4g}, median {middle:.4g}"
    return Seen(
        counts if low < high else counts[:1], spread + _missing(len(column) - len(known), len(column))
    )


def _moments(moments: Sequence[datetime], missing: str) -> Seen:
    span = f"{min(moments):%Y-%m-%d} to {max(moments):%Y-%m-%d}{missing}"
    if any(moment.hour for moment in moments):
        hours = Counter(moment.weekday() * 24 + moment.hour for moment in moments)
        return Seen(tuple(hours[hour] for hour in range(168)), f"hours of the week, Monday first; {span}")
    months = Counter(moment.month for moment in moments)  # dates alone: hours would say nothing
    return Seen(tuple(months[month] for month in range(1, 13)), f"months; {span}")


def _values(known: Sequence[str | int], missing: str) -> Seen | None:
    if not known:
        return None
    counts = Counter(known)
    ordered = sorted(counts, key=lambda value: (-counts[value], str(value)))
    named = [f"{short(str(value), 24)} {counts[value] / len(known):.0%}" for value in ordered[:_NAMED]]
    more = [f"{len(ordered) - _NAMED} more"] if len(ordered) > _NAMED else []
    return Seen(tuple(counts[value] for value in ordered[:_TOP]), ", ".join([*named, *more]) + missing)


def _zoned(utc: Sequence[datetime], timezone: str | None) -> list[datetime]:
    zone = zone_named(timezone)
    return [moment.replace(tzinfo=UTC).astimezone(zone) for moment in utc]


def _missing(missing: int, rows: int) -> str:
    return f"; {missing / rows:.0%} missing" if missing else ""
