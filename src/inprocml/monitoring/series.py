"""What is counted, in one order: the columns of a version, each with its bins and its training counts.

The counts of all columns on all bins are one vector of integers. Vectors of workers, hosts and hours add up;
everything that is decided or shown is computed from sums of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.baseline import CALM, Baseline, Role, Unrest
from inprocml.monitoring.bins import BinCounts, Bins, ValueBins

__all__ = ["Counts", "Layout", "Role", "Series", "layout_of"]

Counts = NDArray[np.int64]
"""Shape ``(layout.size,)``: the bins of every series, one after the other."""


@dataclass(frozen=True)
class Series:
    """One column that is watched: a field of the row, or a number of the model's output.

    ``reference`` is what new rows are held against: the training counts, and in the place of values that came
    once as many that were never seen (``BinCounts.left_out``). ``private``: none of its values is named.
    """

    name: str
    role: Role
    reference: BinCounts
    unrest: Unrest = CALM
    private: bool = False

    @property
    def bins(self) -> Bins:
        """How its values fall into bins, missing last."""
        return self.reference.bins

    def labels(self) -> tuple[str, ...]:
        """Return a name for each bin, for people of the house."""
        return self.untold() if self.private else tuple(self.bins.labels())

    def untold(self) -> tuple[str, ...]:
        """Return a name for each bin, categories by number: for what leaves the house."""
        bins = self.bins
        return tuple(bins.numbered() if isinstance(bins, ValueBins) else bins.labels())


@dataclass(frozen=True)
class Layout:
    """Which part of the vector belongs to which series."""

    series: tuple[Series, ...]

    @property
    def size(self) -> int:
        """The length of the vector."""
        return sum(each.bins.size for each in self.series)

    def spans(self) -> tuple[slice, ...]:
        """Return the part of each series, in their order."""
        ends = list(accumulate(each.bins.size for each in self.series))
        return tuple(slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True))

    def parts(self, counts: Counts) -> list[Counts]:
        """Cut a vector into the counts of each series."""
        return [counts[span] for span in self.spans()]

    def reference(self) -> Counts:
        """Return the training counts as a vector."""
        return self.joined([each.reference.counts for each in self.series])

    def joined(self, parts: Sequence[Sequence[int] | Counts]) -> Counts:
        """Put the counts of each series together; the opposite of ``parts``."""
        return np.concatenate([np.zeros(0, np.int64), *[np.asarray(part, np.int64) for part in parts]])


def layout_of(baseline: Baseline, private: Collection[str] = ()) -> Layout:
    """Return the series of a baseline: its fields, then the columns of its outputs that are watched.

    ``private``: names of fields of which no value is named.
    """
    fields = {
        name: counted.left_out(baseline.once[name]) if name in baseline.once else counted
        for name, counted in baseline.fields.items()
    }
    groups: tuple[tuple[Role, Mapping[str, BinCounts]], ...] = (
        ("input", fields),
        ("output", baseline.watched_outputs),
    )
    return Layout(
        tuple(
            Series(
                name,
                role,
                counted,
                baseline.unrest.get((role, name), CALM),
                private=role == "input" and name in private,
            )
            for role, group in groups
            for name, counted in group.items()
        )
    )
