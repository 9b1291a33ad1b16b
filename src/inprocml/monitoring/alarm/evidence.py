"""All tests of all windows of all columns at once: how far out (z), and how much it moved (effect)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.folding import BELOW, BEYOND, CELLS, MISSING, Folding
from inprocml.monitoring.statistics import (
    location_scores,
    poisson_lower,
    poisson_upper,
    poisson_z,
    scale_scores,
    shift,
    widening,
)
from inprocml.monitoring.verdict import Test

__all__ = ["LEAST", "TESTS", "Evidence", "Tables", "normal_of_square"]

TESTS = (Test.LOCATION, Test.SCALE, Test.SHAPE, Test.MISSING, Test.OUT_OF_RANGE)
"""Axis 0 of evidence; the last is ``UNSEEN`` for categories."""

LEAST = 50  # effective rows, on either side
_LEAST_SHAPE = 75  # enough to confirm, see judging
_RARE = 0.02  # rarer values are one in the test of shape
_SKEWED = 25.0  # a mean of n scores of skewness s is near normal from n = 25 s^2 on

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Shape ``(tests, series, windows)`` each: z is 0 where nothing could be tested.

    ``error`` is the standard error of ``effect``, of location and scale alone.
    """

    z: _Floats
    effect: _Floats
    error: _Floats


class Tables:
    """What the tests need of a reference: counts of shape ``(series, 16)``."""

    def __init__(self, folding: Folding, counts: NDArray[np.int64]) -> None:
        kinds = np.array(folding.kinds)
        self.counts = counts.astype(np.float64)
        self.rows = self.counts.sum(axis=1)
        # of categories, values never seen have no place in the order
        self.valued = np.ones((len(kinds), CELLS))
        self.valued[:, MISSING] = 0
        self.valued[kinds != "number", BEYOND] = 0
        values = self.counts * self.valued
        self.values = values.sum(axis=1)
        self.scores = np.stack([location_scores(values) * self.valued, scale_scores(values) * self.valued])
        shares = values / np.maximum(self.values, 1)[:, None]
        self.skew = np.abs((shares * self.scores**3).sum(axis=2))
        self.grouping = _grouping(shares, self.valued)
        self.grouped = _grouped(values, self.grouping)
        self.groups = (self.grouping.sum(axis=1) > 0).sum(axis=1).astype(np.float64)
        self._set_rates(kinds)

    def _set_rates(self, kinds: NDArray[np.str_]) -> None:
        self.outside = np.zeros_like(self.counts)
        self.outside[:, BEYOND] = 1
        self.outside[kinds == "number", BELOW] = 1
        hits = np.stack([self.counts[:, MISSING], (self.counts * self.outside).sum(axis=1)])
        rows = np.maximum(self.rows, 1)
        self.rates = hits / rows
        self.upper = (
            np.array([[poisson_upper(hit) for hit in row] for row in hits.astype(int).tolist()]) / rows
        )
        self.lower = (
            np.array([[poisson_lower(hit) for hit in row] for row in hits.astype(int).tolist()]) / rows
        )

    def evidence(self, windows: NDArray[np.int64], deff: _Floats) -> Evidence:
        """Test windows of shape ``(series, windows, 16)``; ``deff`` of ``(series, windows)``."""
        counts, each = windows.astype(np.float64), deff
        values = (counts * self.valued[:, None, :]).sum(axis=2)
        enough = (values >= LEAST * each) & (self.values[:, None] >= LEAST)
        with np.errstate(divide="ignore"):
            noise = np.where(enough, each / values + 1 / self.values[:, None], np.inf)
        z, effect, error = (np.zeros((5, *values.shape)) for _ in range(3))
        with np.errstate(invalid="ignore"):
            for test, measure in enumerate((shift, widening)):
                scores = self.scores[test][:, None, :]
                effect[test] = measure(scores, counts * self.valued[:, None, :])
                z[test] = _directed(shift(scores, counts * self.valued[:, None, :]), noise, self.skew[test])
        error[:2] = np.where(enough, np.sqrt(noise), 0)
        z[2], effect[2] = self._shape(counts, each)
        z[3:], effect[3:] = self._rates(counts, each)
        return Evidence(z, effect, error)

    def _shape(self, counts: _Floats, deff: _Floats) -> tuple[_Floats, _Floats]:
        """Return z of G (Wilks' likelihood ratio of two multinomials), and debiased PSI."""
        current = _grouped(counts, self.grouping) / deff[:, :, None]
        rows, reference = current.sum(axis=2), self.grouped[:, None, :]
        total, freedom = self.grouped.sum(axis=1)[:, None], self.groups[:, None] - 1
        both = _entropy(current).sum(axis=2) + _entropy(reference).sum(axis=2)
        g = 2 * (both - _entropy(current + reference).sum(axis=2))
        g += 2 * (_entropy(rows + total) - _entropy(rows) - _entropy(total))
        tested = (rows >= _LEAST_SHAPE) & (total >= _LEAST_SHAPE) & (freedom > 0)
        present = (self.grouping.sum(axis=1) > 0)[:, None, :]
        half = 0.5 * self.groups[:, None, None]
        now = np.where(present, (current * deff[:, :, None] + 0.5) / ((rows * deff)[:, :, None] + half), 1)
        then = np.where(present, (reference + 0.5) / (total[:, :, None] + half), 1)
        psi = ((now - then) * np.log(now / then)).sum(axis=2)
        bias = freedom * (1 / np.maximum(rows, 1) + 1 / np.maximum(total, 1))
        square = normal_of_square(np.maximum(g, 0), np.maximum(freedom, 1))
        return np.where(tested, square, 0.0), np.where(tested, psi - bias, 0.0)

    def _rates(self, counts: _Floats, deff: _Floats) -> tuple[_Floats, _Floats]:
        """Return z and changes of the shares of missing values (both ways) and of values outside (more)."""
        rows = counts.sum(axis=2)
        hits = np.stack([counts[:, :, MISSING], (counts * self.outside[:, None, :]).sum(axis=2)])
        more = poisson_z(hits / deff, self.upper[:, :, None] * rows / deff)
        fewer = poisson_z(hits / deff, self.lower[:, :, None] * rows / deff)
        fewer[1] = 0
        tested = (rows >= LEAST * deff) & (self.rows[:, None] >= LEAST)
        z = np.where(more > 0, more, np.minimum(fewer, 0))
        change = hits / np.maximum(rows, 1) - self.rates[:, :, None]
        return np.where(tested, np.abs(z), 0.0), np.where(tested, change, 0.0)


def _directed(mean: _Floats, noise: _Floats, skew: _Floats) -> _Floats:
    """Return |z| of a mean score, lowered by what its skewness adds to a tail (Cornish and Fisher, 1938)."""
    z, slant = np.abs(mean) / np.sqrt(noise), skew[:, None] * np.sqrt(np.minimum(noise, 1))
    lowered = np.maximum(z - slant / 6 * (z**2 - 1), np.minimum(z, 1 + z / 2))
    trusted = np.isfinite(noise) & (slant**2 * _SKEWED <= 1)
    return np.where(trusted, np.minimum(z, lowered), 0.0)


def _grouping(shares: _Floats, valued: _Floats) -> _Floats:
    """Return, per series, which cells (axis 1) the test of shape takes as one (axis 2).

    Frequent cells stand alone; rare ones go to their frequent neighbour below, or else above.
    """
    matrix = np.zeros((*shares.shape, CELLS))
    for series, row in enumerate(shares):
        frequent = np.flatnonzero(row >= _RARE)
        for cell in np.flatnonzero(valued[series]) if len(frequent) else ():
            target = frequent[max(int(np.searchsorted(frequent, cell, side="right")) - 1, 0)]
            matrix[series, cell, target] = 1
    return matrix


def _grouped(counts: _Floats, grouping: _Floats) -> _Floats:
    squeezed = counts[:, None, :] if counts.ndim == 2 else counts
    grouped: _Floats = np.matmul(squeezed, grouping)
    return grouped[:, 0] if counts.ndim == 2 else grouped


def _entropy(counts: _Floats) -> _Floats:
    result: _Floats = counts * np.log(np.maximum(counts, 1e-300))
    return result


def normal_of_square(square: _Floats, freedom: _Floats) -> _Floats:
    """Return the normal deviate of a chi-square: Wilson and Hilferty, PNAS 17 (1931), 684-688."""
    part = 2 / (9 * freedom)
    result: _Floats = ((square / freedom) ** (1 / 3) - (1 - part)) / np.sqrt(part)
    return result
