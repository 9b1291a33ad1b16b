"""Maximum mean discrepancy with random Fourier features: the distance between two clouds of rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.pair import Floats
from inprocml.monitoring.statistics.pooled import pooled
from inprocml.monitoring.statistics.result import Outcome, Undefined

__all__ = ["mmd"]

_FEATURES = 256
_SAMPLE = 500  # rows that the median distance is taken of


def mmd(
    reference: ArrayLike, current: ArrayLike, *, permutations: int = 499, seed: int = 0
) -> Outcome | Undefined:
    """Return the squared maximum mean discrepancy, with the p-value of permuted labels; ``dof`` is 0.

    Both have shape ``(rows, columns)``, float64, NaN where missing. At most 2000 rows of each are looked at,
    drawn by ``seed``; the same arguments give the same result. Columns are ranked over both sides together,
    so that neither units nor one value of 1e9 decide; a missing value stands in the middle, and where any are
    missing a column that says which is added. Gaussian kernel as wide as the median distance, by 256 cosines.
    The value is biased: it is above 0 without drift. The p-value is exact. Undefined below 20 rows of a
    side. Raises ``ValueError`` for other shapes, and for fewer than 19 permutations.

    Source: Gretton et al., A kernel two-sample test, 2012; Rahimi and Recht, Random features, 2007.

    >>> rows = np.random.default_rng(0).normal(size=(400, 3))
    >>> mmd(rows[:200], rows[200:]).p_value > 0.05, mmd(rows[:200], rows[200:] + 1).p_value
    (True, 0.002)
    """
    if permutations < 19:
        raise ValueError(f"{permutations} permutations cannot show a p-value below 0.05: ask for 19 or more.")
    pool = pooled(reference, current, seed)
    if isinstance(pool, Undefined):
        return pool
    rows, is_current = pool
    draw = np.random.default_rng(seed)
    features = _features(_ranked(rows), draw)
    labels = np.stack([is_current, *(draw.permutation(is_current) for _ in range(permutations))])
    size, size_of_all = int(is_current.sum()), len(rows)
    total = features.sum(axis=0)
    now = labels.astype(np.float64) @ features
    gap = now / size - (total - now) / (size_of_all - size)
    found = np.sum(gap * gap, axis=1)
    # What differs by the order of adding alone, as when all rows are equal, counts as equal
    at_least = int((found[1:] >= found[0] - 1e-12).sum())
    return Outcome(float(found[0]), (1 + at_least) / (1 + permutations), 0)


def _ranked(rows: Floats) -> Floats:
    """Return ranks within each column, from -0.5 to 0.5, ties sharing their mean; then what is missing."""
    ranked = np.zeros(rows.shape)
    for place, column in enumerate(rows.T):
        known = ~np.isnan(column)
        _, inverse, counts = np.unique(column[known], return_inverse=True, return_counts=True)
        if len(counts):
            middle = np.cumsum(counts) - (counts - 1) / 2 - 0.5
            ranked[known, place] = middle[inverse] / known.sum() - 0.5
    missing = np.isnan(rows)
    return np.column_stack([ranked, missing[:, missing.any(axis=0)] - 0.5])


def _features(points: Floats, draw: np.random.Generator) -> Floats:
    """Return cosines whose products are, on average, the Gaussian kernel; shape ``(rows, 256)``."""
    sample = points[draw.permutation(len(points))[:_SAMPLE]]
    squares = np.sum(sample * sample, axis=1)
    apart = np.maximum(squares[:, None] + squares - 2 * sample @ sample.T, 0.0)
    apart = apart[np.triu_indices(len(sample), 1)]
    width = math.sqrt(float(np.median(apart)) or float(apart.mean()) or 1.0)
    waves = draw.normal(size=(points.shape[1], _FEATURES)) / width
    phases = draw.uniform(0, 2 * math.pi, _FEATURES)
    features: Floats = math.sqrt(2 / _FEATURES) * np.cos(points @ waves + phases)
    return features
