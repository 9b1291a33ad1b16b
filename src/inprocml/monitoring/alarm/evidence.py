"""All tests of all windows of all columns at once: how far out (z), and how much it moved (effect)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.folding import BELOW, BEYOND, CELLS, MISSING, RARE, Folding
from inprocml.monitoring.statistics import (
    location_scores,
    poisson_lower,
    poisson_upper,
    poisson_z,
    scale_scores,
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

    ``error`` is what ``effect`` may be larger by: for location and scale its standard error; of values never
    seen, where they are twice what was expected, that expectation.
    """

    z: _Floats
    effect: _Floats
    error: _Floats


class Tables:
    """What the tests need of a reference: counts of shape ``(series, 16)``.

    ``deff``, ``(series,)``: a reference of live rows depends on one another as live rows do. ``rows`` and
    ``values`` are effective ones. ``unrest``, ``(series, 3)``: how far stretches of the reference differ.
    """

    def __init__(
        self,
        folding: Folding,
        counts: NDArray[np.int64],
        deff: _Floats | None = None,
        unrest: _Floats | None = None,
    ) -> None:
        kinds = np.array(folding.kinds)
        self.numeric = kinds == "number"
        self.unrest = np.zeros((len(kinds), 3)) if unrest is None else unrest
        self.counts = counts.astype(np.float64)
        self.worth = self.counts if deff is None else self.counts / deff[:, None]
        self.rows = self.worth.sum(axis=1)
        # of categories, values never seen have no place in the order
        self.valued = np.ones((len(kinds), CELLS))
        self.valued[:, MISSING] = 0
        self.valued[kinds != "number", BEYOND] = 0
        # where new ones are expected they are rare values, or all others would seem to come more often
        endless = (kinds != "number") & (folding.reference[:, BEYOND] > 0)
        values = self.worth * self.valued
        values[:, RARE] += np.where(endless, self.worth[:, BEYOND], 0)
        self.values = values.sum(axis=1)
        self.scores = np.stack([location_scores(values) * self.valued, scale_scores(values) * self.valued])
        shares = values / np.maximum(self.values, 1)[:, None]
        self.skew = np.abs((shares * self.scores**3).sum(axis=2))
        self.grouping = _grouping(shares, self.valued)
        self.valued[endless, BEYOND] = 1
        self.scores[:, endless, BEYOND] = self.scores[:, endless, RARE]
        self.grouping[endless, BEYOND] = self.grouping[endless, RARE]
        self.grouped = np.matmul(values[:, None, :], self.grouping)[:, 0]
        self.present = (self.grouping.sum(axis=1) > 0).astype(np.float64)
        self.groups = self.present.sum(axis=1)
        self._set_rates(kinds, values)
        trained = deff is None  # what live rows had was seen, and is no expectation
        self.expected = np.where(endless & trained, self.rates[1], 0)[:, None]

    def _set_rates(self, kinds: NDArray[np.str_], values: _Floats) -> None:
        """Set what is told by shares alone: missing, outside, and values that the reference hardly had."""
        self.outside = np.zeros_like(self.counts)
        self.outside[:, BEYOND] = 1
        self.outside[kinds == "number", BELOW] = 1
        shares = values / np.maximum(self.values, 1)[:, None]
        rare = self.valued * (1 - self.outside) * (shares < _RARE)
        missing = np.zeros_like(self.counts)
        missing[:, MISSING] = 1
        masked = (self.worth * missing, self.worth * self.outside, values * rare)
        hits = np.stack([each.sum(axis=1) for each in masked])
        rows = np.maximum(self.rows, 1)
        self.rates = hits / rows
        most, least = np.ceil(hits).astype(np.int64).tolist(), np.floor(hits[0]).astype(np.int64).tolist()
        self.upper = np.array([[poisson_upper(hit) for hit in row] for row in most]) / rows
        self.lower = np.array([poisson_lower(hit) for hit in least]) / rows
        columns = [self.valued, *self.scores, np.ones_like(self.counts), missing, self.outside, rare]
        self.weights = np.stack(columns, axis=2)

    def evidence(
        self, windows: NDArray[np.int64], deff: _Floats, learning: _Floats | None = None
    ) -> Evidence:
        """Test windows of shape ``(series, windows, 16)``; ``deff`` of ``(series, windows)``.

        ``learning``, ``(series,)``, is what deff is at most, before it is known: the share of values never
        seen is tested with that, where some are expected.
        """
        counts = windows.astype(np.float64)
        # one product instead of seven sums
        values, location, scale, rows, *hits = np.moveaxis(np.matmul(counts, self.weights), 2, 0)
        enough = (values >= LEAST * deff) & (self.values[:, None] >= LEAST)
        noise = np.where(
            enough, deff / np.maximum(values, 1) + 1 / np.maximum(self.values, 1)[:, None], np.inf
        )
        z, effect, error = (np.zeros((5, *values.shape)) for _ in range(3))
        mean = np.stack([location, scale]) / np.maximum(values, 1)
        effect[0], effect[1] = mean[0], mean[1] / np.sqrt(2)
        z[:2] = _directed(mean, noise, noise + self.unrest.T[:2, :, None], self.skew[:, :, None])
        error[:2] = np.where(enough, np.sqrt(noise), 0)
        error[4] = np.where(hits[1] >= 2 * self.expected * rows, self.expected, 0)
        restless = deff + rows * self.unrest[:, 2:]
        new = deff if learning is None else np.where(self.expected, np.minimum(deff, learning[:, None]), deff)
        effects = np.stack([restless, new, restless])
        rates, changes = self._rates(np.stack(hits), rows, np.stack([deff, new, deff]), effects)
        z[2], effect[2] = self._shape(counts, restless)
        z[3:], effect[3:] = rates[:2], changes[:2]
        odd = rates[2] > z[2]
        z[2], effect[2] = np.where(odd, rates[2], z[2]), np.where(odd, self._odd(hits[2], rows), effect[2])
        return Evidence(z, effect, error)

    def _shape(self, counts: _Floats, deff: _Floats) -> tuple[_Floats, _Floats]:
        """Return z of G (Wilks' likelihood ratio of two multinomials), and debiased PSI."""
        found = np.matmul(counts, self.grouping)
        current, reference = found / deff[:, :, None], self.grouped[:, None, :]
        rows, total = current.sum(axis=2), self.grouped.sum(axis=1)[:, None]
        freedom = self.groups[:, None] - 1
        terms = _entropy(current) + _entropy(reference) - _entropy(current + reference)
        g = 2 * (terms.sum(axis=2) + _entropy(rows + total) - _entropy(rows) - _entropy(total))
        tested = (rows >= _LEAST_SHAPE) & (total >= _LEAST_SHAPE) & (freedom > 0)
        half = 0.5 * np.maximum(self.groups, 1)[:, None, None]
        now = (found + 0.5) / ((rows * deff)[:, :, None] + half)
        then = (reference + 0.5) / (total[:, :, None] + half)
        psi = ((now - then) * np.log(now / then) * self.present[:, None, :]).sum(axis=2)
        bias = freedom * (1 / np.maximum(rows, 1) + 1 / np.maximum(total, 1))
        square = normal_of_square(np.maximum(g, 0), np.maximum(freedom, 1))
        return np.where(tested, square, 0.0), np.where(tested, psi - bias, 0.0)

    def _odd(self, hits: _Floats, rows: _Floats) -> _Floats:
        """Return PSI of two bins: the values that the reference hardly had, and all others."""
        now, then = (
            (hits + 0.5) / (rows + 1),
            (self.rates[2] * self.rows + 0.5)[:, None] / (self.rows[:, None] + 1),
        )
        result: _Floats = (now - then) * (np.log(now / then) - np.log((1 - now) / (1 - then)))
        return result

    def _rates(
        self, hits: _Floats, rows: _Floats, deff: _Floats, effects: _Floats
    ) -> tuple[_Floats, _Floats]:
        """Return z and changes of shares: missing (both ways), outside and rare values (more of them).

        What training never saw, no stretch of it saw: unrest is no excuse there.
        """
        z = np.maximum(poisson_z(hits / effects, self.upper[:, :, None] * rows / effects), 0)
        fewer = poisson_z(hits[0] / effects[0], self.lower[:, None] * rows / effects[0])
        z[0] = np.maximum(z[0], -fewer)
        tested = (rows >= LEAST * deff) & (self.rows[:, None] >= LEAST)
        change = hits / np.maximum(rows, 1) - self.rates[:, :, None]
        return np.where(tested, z, 0.0), np.where(tested, change, 0.0)


def _directed(mean: _Floats, noise: _Floats, variance: _Floats, skew: _Floats) -> _Floats:
    """Return |z| of a mean score, lowered by what its skewness adds to a tail (Cornish and Fisher, 1938)."""
    z, slant = np.abs(mean) / np.sqrt(variance), skew * np.sqrt(np.minimum(noise, 1))
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


def _entropy(counts: _Floats) -> _Floats:
    result: _Floats = counts * np.log(np.maximum(counts, 1e-300))
    return result


def normal_of_square(square: _Floats, freedom: _Floats) -> _Floats:
    """Return the normal deviate of a chi-square: Wilson and Hilferty, PNAS 17 (1931), 684-688."""
    part = 2 / (9 * freedom)
    result: _Floats = ((square / freedom) ** (1 / 3) - (1 - part)) / np.sqrt(part)
    return result
