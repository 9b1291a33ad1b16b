"""How far the values moved, in sigma: the mean normal score of the reference's ranks."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.statistics.pair import paired
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["FARTHEST", "location", "location_scores", "normal_scores", "shift", "standardised"]

FARTHEST = 3.0
"""No score is farther out: a lone row beyond the reference must not decide alone."""

_Floats = NDArray[np.float64]


def normal_scores(reference: ArrayLike) -> _Floats:
    """Return the normal score of each bin: the normal quantile of the reference's rank at its midpoint.

    ``reference`` are counts of shape ``(..., bins)`` in the order of the values. Shares are smoothed
    (Jeffreys: ``(c + 0.5) / (m + 0.5 B)``), so empty bins at the ends have a score too; +-3 is the limit.
    """
    counts = np.asarray(reference, np.float64) + 0.5
    below = np.cumsum(counts, axis=-1) - counts
    ranks = (below + counts / 2) / counts.sum(axis=-1, keepdims=True)
    quantile = NormalDist().inv_cdf
    scores = np.array([quantile(rank) for rank in ranks.ravel().tolist()], np.float64)
    return np.clip(scores, -FARTHEST, FARTHEST).reshape(ranks.shape)


def standardised(scores: _Floats, reference: ArrayLike) -> _Floats:
    """Return scores of mean 0 and variance 1 under the reference; 0 where all of it has one score."""
    counts = np.asarray(reference, np.float64)
    shares = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    centred = scores - (shares * scores).sum(axis=-1, keepdims=True)
    spread = np.sqrt((shares * centred**2).sum(axis=-1, keepdims=True))
    return np.where(spread > 0, centred / np.where(spread > 0, spread, 1), 0.0)


def location_scores(reference: ArrayLike) -> _Floats:
    """Return the standardised normal scores of the bins, shape ``(..., bins)``.

    Van der Waerden's scores on grouped ranks: Hajek, Sidak, Sen, "Theory of Rank Tests" (1999), 4.1.
    """
    return standardised(normal_scores(reference), reference)


def shift(scores: _Floats, current: ArrayLike) -> _Floats:
    """Return the mean score of ``current``, shape ``(..., bins)``; 0 for empty counts."""
    counts = np.asarray(current, np.float64)
    total = counts.sum(axis=-1)
    mean: _Floats = (counts * scores).sum(axis=-1) / np.maximum(total, 1)
    return mean


def location(reference: ArrayLike, current: ArrayLike) -> float | Undefined:
    """Return how far ``current`` lies above ``reference``, in sigma.

    ``sum_k q_k a_k``, a the standardised normal scores of the bins. Counts of shape ``(bins,)``, without
    missing. For a normal reference that moves by a little, this is by how much. Raises ``ValueError`` for
    what are no counts.

    >>> location([25, 25, 25, 25], [25, 25, 25, 25])
    0.0
    >>> round(location([25, 25, 25, 25], [0, 0, 50, 50]), 3)
    0.87
    >>> print(location([25, 25, 25, 25], [0, 0, 0, 0]))
    undefined: current holds no rows
    """
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    return float(shift(location_scores(pair.reference), pair.current))
