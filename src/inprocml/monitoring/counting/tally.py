"""Everything that is counted of one version in one process: integers on fixed bins, and a few sums.

A tally is a record of fixed size, so that it can lie in a file that other processes read. Tallies add up, and
their counts do so exactly: four workers have counted what one process would have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.bins import NumberBins, ValueBins
from inprocml.monitoring.counting.frequent import Frequent
from inprocml.monitoring.counting.numbers import Matrix, Numbers, both_moments
from inprocml.monitoring.series import Counts, Layout
from inprocml.monitoring.verdict import NEW_VALUES
from inprocml.schema.once import once

__all__ = ["NUMBERS", "Form", "Tally"]

NUMBERS = ("rows", "seen", "sampled_out", "dropped", "failed", "cpu_ns", "beat", "brought", "unread")
"""What is counted besides bins: rows on the bins; rows answered; of these, rows not counted by choice
(beyond ``most_rows``), for want of room though they would have been, and because they could not be;
nanoseconds of CPU; the second, since 1970, of the last look; rows that this process had counted elsewhere
before it came to this file; processes whose records cannot be read."""

_NAMES = 1024  # bytes of unseen values' names for each column
_LONGEST = 64  # characters of a name

_Binned = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class Form:
    """What a tally of ``layout`` looks like."""

    layout: Layout

    @property
    def size(self) -> int:
        """The length of a record in bytes."""
        series = len(self.layout.series)
        numbers = len(NUMBERS) + self.layout.size + 2 * series + 4 * series
        return 8 * numbers + 4 + _NAMES * len(self.named)

    @once
    def named(self) -> tuple[int, ...]:
        """The places of the series of which unseen values have names."""
        return tuple(
            place
            for place, series in enumerate(self.layout.series)
            if isinstance(series.bins, ValueBins) and series.bins.complete
        )

    @once
    def numeric(self) -> list[int]:
        """The places of the series that are numbers."""
        series = enumerate(self.layout.series)
        return [place for place, each in series if isinstance(each.bins, NumberBins)]

    @once
    def numbers(self) -> Numbers:
        """The bins of these series."""
        return Numbers([each.bins for each in self.layout.series if isinstance(each.bins, NumberBins)])

    @once
    def digest(self) -> bytes:
        """32 bytes that differ where counts could not be added up."""
        said = [[each.name, each.role, each.bins.document()] for each in self.layout.series]
        return sha256(json.dumps([1, NUMBERS, _NAMES, said], sort_keys=True).encode()).digest()


class Tally:
    """The counts of one process, or the sum of several. Not thread-safe: one thread counts.

    Unseen values have up to ``names`` counters a column.
    """

    def __init__(self, form: Form, *, names: int = NEW_VALUES) -> None:
        series = len(form.layout.series)
        self.form = form
        self.numbers: dict[str, int] = dict.fromkeys(NUMBERS, 0)
        self.counts: Counts = np.zeros(form.layout.size, np.int64)
        self.infinite: NDArray[np.int64] = np.zeros((series, 2), np.int64)
        self.moments: NDArray[np.float64] = np.tile((0.0, 0.0, np.inf, -np.inf), (series, 1))
        self.names = {place: Frequent(names) for place in form.named}

    @property
    def rows(self) -> int:
        """Rows on the bins."""
        return self.numbers["rows"]

    def new_values(self, place: int) -> tuple[Mapping[str, int], bool]:
        """Return the most frequent unseen values of a series, and whether their counts are known to be exact.

        Counts are never too high, so they are exact where they add up to all unseen values on the bins.
        """
        if place not in self.names:
            return MappingProxyType({}), False
        counts = self.names[place].counts
        unseen = int(self.form.layout.parts(self.counts)[place][-2])
        return MappingProxyType(dict(list(counts.items())[:NEW_VALUES])), sum(counts.values()) == unseen

    def add(
        self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
    ) -> list[NDArray[np.intp]]:
        """Count checked columns (``Transform.columns``) and those of the outputs; all of the same rows.

        Returns the bin of each value, an array for each series.

        All or nothing: ``KeyError`` or ``ValueError`` for columns that are missing or of unlike lengths.
        """
        columns = [
            (inputs if each.role == "input" else outputs)[each.name] for each in self.form.layout.series
        ]
        lengths = {len(column) for column in columns}
        if len(lengths) > 1:
            raise ValueError("columns of the same rows must be of one length")
        rows, numeric = lengths.pop() if lengths else 0, self.form.numeric
        numbers = np.array([columns[place] for place in numeric], np.float64).reshape(len(numeric), rows)
        moments, infinite = self.form.numbers.moments(numbers), self.form.numbers.infinite(numbers)
        binned = self._binned(columns, numbers)
        self.counts += self.form.layout.joined([counts for _, counts in binned])
        self.moments[numeric] = both_moments(self.moments[numeric], moments)
        self.infinite[numeric] += infinite
        for place in self.names:
            self._add_names(place, columns[place], *binned[place])
        self.numbers["rows"] += rows
        return [places for places, _ in binned]

    def _binned(self, columns: Sequence[NDArray[Any]], numbers: Matrix) -> list[_Binned]:
        """Return the bin of each value, and how many lie in each bin, of each series."""
        places = self.form.numbers.places(numbers)
        counted = zip(places, self.form.numbers.counted(places), strict=True)
        found = dict(zip(self.form.numeric, counted, strict=True))
        for place, (each, column) in enumerate(zip(self.form.layout.series, columns, strict=True)):
            if place not in found:
                where = each.bins.places(column)
                found[place] = where, np.bincount(where, minlength=each.bins.size)
        return [found[place] for place in range(len(columns))]

    def _add_names(
        self, place: int, column: NDArray[Any], where: NDArray[np.intp], counts: NDArray[np.intp]
    ) -> None:
        series = self.form.layout.series[place]
        if counts[-2] and not series.private:  # looked for where there are any: most often not
            unseen = column[where == series.bins.size - 2]
            values, times = np.unique([str(value)[:_LONGEST] for value in unseen], return_counts=True)
            self.names[place].add(zip(values.tolist(), times.tolist(), strict=True))

    def merge(self, other: Tally) -> None:
        """Add another tally of the same form; ``ValueError`` for one of another."""
        if other.form.digest != self.form.digest:
            raise ValueError("tallies add up on the same bins only")
        for name, number in other.numbers.items():
            self.numbers[name] = (
                max(self.numbers[name], number) if name == "beat" else self.numbers[name] + number
            )
        self.counts += other.counts
        self.infinite += other.infinite
        self.moments = both_moments(self.moments, other.moments)
        for place, names in other.names.items():
            self.names[place].merge(names)

    def to_bytes(self) -> bytes:
        """Return the record, ``form.size`` bytes; names that do not fit are left out, the rarest first."""
        numbers = np.array([self.numbers[name] for name in NUMBERS], np.int64)
        arrays = (numbers, self.counts, self.infinite, self.moments)
        names = b"".join(_packed(self.names[place]) for place in self.form.named)
        return b"".join(array.tobytes() for array in arrays) + len(names).to_bytes(4, "little") + names

    @classmethod
    def from_bytes(cls, form: Form, record: bytes) -> Tally:
        """Return the tally of a record; ``ValueError`` for what cannot be one."""
        if len(record) != form.size:
            raise ValueError(f"a record of {len(record)} bytes; {form.size} are wanted")
        tally, series = cls(form), len(form.layout.series)
        wanted = (len(NUMBERS), form.layout.size, 2 * series)
        ends = [8 * end for end in accumulate(wanted, initial=0)]
        parts = [np.frombuffer(record[start:end], np.int64) for start, end in pairwise(ends)]
        end = ends[-1]
        tally.numbers = dict(zip(NUMBERS, parts[0].tolist(), strict=True))
        tally.counts, tally.infinite = parts[1].copy(), parts[2].reshape(series, 2).copy()
        moments = np.frombuffer(record[end : end + 32 * series], np.float64)
        tally.moments = moments.reshape(series, 4).copy()
        if min(tally.numbers.values()) < 0 or (tally.counts < 0).any() or np.isnan(tally.moments).any():
            raise ValueError("counts below zero, or sums that are not numbers")
        end += 32 * series + 4
        for at, place in enumerate(form.named):
            if not form.layout.series[place].private:  # it may not have been so when they were written
                tally.names[place] = _unpacked(record[end + at * _NAMES : end + (at + 1) * _NAMES])
        return tally


def _packed(names: Frequent) -> bytes:
    counts = list(names.counters.items())
    while True:
        text = json.dumps(dict(counts), ensure_ascii=True).encode()
        if len(text) <= _NAMES:
            return text.ljust(_NAMES)
        del counts[-max(1, len(counts) // 8) :]


def _unpacked(text: bytes) -> Frequent:
    found = json.loads(text or b"{}")
    sound = isinstance(found, dict) and all(type(n) is int and n >= 0 for n in found.values())
    if not sound:
        raise ValueError("names that are not counted")
    return Frequent(counts=found)
