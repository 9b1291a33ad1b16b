"""Whether labels turn out worse than scores promised: how a changed relation of row and label looks.

Cohorts are summed over suffix windows, the last 1, 2, 4, ... of them. In each window labels are compared with
the reference's share of positives at the same scores, so a change in which scores occur is no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.quality.calibration import Calibration
from inprocml.monitoring.quality.tally import UNIT, ClassTally, NumberTally, Tally, added
from inprocml.monitoring.statistics.tails import normal_isf

__all__ = [
    "LEAST",
    "TESTS",
    "Residual",
    "critical",
    "sums",
    "windows",
    "worst_class_residual",
    "worst_number_residual",
]

TESTS = 5
"""Tests of a window: four regions of score, and the loss."""

_SURE = 2.5  # standard errors by which newer cohorts must differ from older ones

LEAST = 50
"""Rows, in units of independent ones, below which nothing is tested."""

_REGIONS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


@dataclass(frozen=True, slots=True)
class Residual:
    """The most telling comparison of labels with what was promised, in the direction of worse only.

    A window is passed over whose newer cohorts say that it tells of the past.
    ``value`` is a z, ``threshold`` what it must exceed; ``effect`` how much worse per row, as a share of rows
    (``test`` "low scores", "high scores": positives where few were promised, or the opposite), or as Brier
    score or absolute error ("loss"). ``cohorts``: how many, up to the last one; ``rows`` their labels.
    """

    value: float
    threshold: float
    effect: float
    test: str
    rows: int
    cohorts: int

    @property
    def exceeded(self) -> bool:
        """Whether chance is no explanation within the budget."""
        return self.value > self.threshold


def critical(budget: float, looks: float, tests: int) -> float:
    """Return the z that ``tests`` tests at ``looks`` looks pass by chance ``budget`` times."""
    return float(normal_isf(min(0.5, budget / (max(1.0, looks) * max(1, tests)))))


def windows(tallies: Sequence[Tally]) -> Iterator[tuple[int, Tally]]:
    """Yield sums over the last 1, 2, 4, ... of the tallies, with how many they are."""
    count, total, taken = 1, None, 0
    while count <= len(tallies):
        for tally in tallies[len(tallies) - count : len(tallies) - taken]:
            total = tally if total is None else added(total, tally)
        assert total is not None
        yield count, total
        taken, count = count, 2 * count


def worst_class_residual(
    tallies: Sequence[ClassTally], calibration: Calibration | None, z: float, *, dependence: float = 1.0
) -> Residual | None:
    """Return the comparison that exceeds its threshold most; None where there are too few labels.

    ``z``: from ``critical``. ``dependence``: how many rows are worth one independent row (a design effect).
    Per block of scores, with n labels, k positives, share c in the reference of m rows: the residual k - nc
    has the variance ``n c (1 - c) (1 + n / m)``; regions and the Brier loss are weighted sums of such
    residuals.
    """
    found = [
        each
        for count, tally in windows(tallies)
        if isinstance(tally, ClassTally)
        for each in _of_window(tally, count, calibration, z, dependence)
    ]
    return _worst(found)


def _of_window(
    tally: ClassTally, count: int, calibration: Calibration | None, z: float, dependence: float
) -> Iterator[Residual]:
    rows = int(tally.rows.sum())
    if rows < LEAST * dependence:
        return
    for name, worse, spread, third, within in sums(tally, calibration):
        variance = spread * dependence
        if variance <= 0 or within < LEAST * dependence:
            continue
        limit = _skewed(z, third * dependence**2 / variance**1.5)
        yield Residual(worse / math.sqrt(variance), limit, worse / within, name, rows, count)


def sums(
    tally: ClassTally, calibration: Calibration | None
) -> Iterator[tuple[str, float, float, float, float]]:
    """Yield each test's name, how much worse its rows are in all, variance and third moment, and its rows."""
    rows, residuals, shares, noise = _blocks(tally, calibration)
    spread = rows * shares * (1 - shares) * noise
    weights = {f"scores {low:g} to {high:g}": _region(shares, low, high) for low, high in _REGIONS}
    weights["loss"] = 1 - 2 * shares
    if tally.classes > 2:  # a positive is a right answer: worse is fewer of them, at any score
        weights = {name: -np.abs(np.sign(weight)) for name, weight in weights.items() if name != "loss"}
        weights["all scores"] = -np.ones(len(shares))
    for name, weight in weights.items():
        yield (
            name,
            float((weight * residuals).sum()),
            float((weight**2 * spread).sum()),
            float((weight**3 * spread * (1 - 2 * shares)).sum()),
            float(rows[weight != 0].sum()),
        )


def _region(shares: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Worse is more positives where few were promised, and fewer where many were."""
    inside = (shares >= low) & ((shares < high) | (high == 1))
    return np.where(inside, np.where(shares < 0.5, 1.0, -1.0), 0.0)


def _blocks(
    tally: ClassTally, calibration: Calibration | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return per block of scores: rows, positives beyond the promised, the promised share, noise factor."""
    if calibration is None:
        held = tally.rows > 0
        rows = tally.rows[held].astype(np.float64)
        shares = tally.sums[held] / UNIT / rows
        return rows, tally.positives[held] - rows * shares, shares, np.ones(len(rows))
    known = calibration.blocks >= 0
    blocks, size = calibration.blocks[known], len(calibration.block_rows)
    rows = np.bincount(blocks, tally.rows[known], size).astype(np.float64)
    positives = np.bincount(blocks, tally.positives[known], size)
    # never 0 or 1: no positive among m rows does not promise that there will be none
    shares = (calibration.block_positives + 0.5) / (calibration.block_rows + 1.0)
    return rows, positives - rows * shares, shares, 1 + rows / calibration.block_rows


def worst_number_residual(
    tallies: Sequence[NumberTally], reference: NumberTally, z: float, *, dependence: float = 1.0
) -> Residual | None:
    """Return the window whose mean absolute error exceeds the reference's most; None for too few labels."""
    before = reference.counts
    if before[0] < LEAST:
        return None
    usual = before[1] / before[0]
    variance = max(0.0, before[2] / before[0] - usual**2)
    found = []
    for count, tally in windows(tallies):
        rows = float(tally.counts[0])
        if rows < LEAST * dependence or variance <= 0:
            continue
        worse = float(tally.counts[1]) / rows - usual
        value = worse / math.sqrt(variance * (dependence / rows + 1 / before[0]))
        # absolute errors are skewed: that of an exponential distribution is assumed
        limit = _skewed(z, 2 / math.sqrt(rows / dependence))
        found.append(Residual(value, limit, worse, "loss", int(rows), count))
    return _worst(found)


def _skewed(z: float, skewness: float) -> float:
    """Return the quantile of a sum with this skewness; to the left it stays at the normal one.

    Source: E. Cornish and R. Fisher, Moments and cumulants in the specification of distributions (1938).
    """
    return z + max(0.0, skewness) * (z * z - 1) / 6


def _worst(found: Sequence[Residual]) -> Residual | None:
    """Return the one that exceeds its threshold most, of what is still so where any is."""
    lasting = [each for each in found if not any(_refutes(newer, each) for newer in found)]
    return max(lasting or found, key=_excess, default=None)


def _refutes(newer: Residual, older: Residual) -> bool:
    """Whether newer cohorts of a window say that it tells of the past: they are not half as much worse.

    Else what was mended would be told again when a window twice as long is full, weeks later.
    """
    if newer.test != older.test or newer.cohorts >= older.cohorts or not newer.value or not older.value:
        return False
    error, error_of_all = abs(newer.effect / newer.value), abs(older.effect / older.value)
    # a part differs from the whole by what the rest adds: their variances subtract
    apart = math.sqrt(max(0.0, error**2 - error_of_all**2))
    return newer.effect < older.effect / 2 and older.effect - newer.effect > _SURE * apart


def _excess(residual: Residual) -> float:
    return residual.value - residual.threshold
