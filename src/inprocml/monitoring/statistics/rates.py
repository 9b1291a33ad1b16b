"""Shares of missing, unseen and out-of-range values: bounds of a rate, and how surprising a count is.

The interval of a share that is shown is Wilson's (``wilson``).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["poisson_lower", "poisson_upper", "poisson_z"]

_EXACT = 200  # from here on Wilson and Hilferty's cube root is right to 1e-4


def poisson_upper(hits: int, *, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound of a Poisson mean of which ``hits`` were seen.

    The mean with ``P(K <= hits) = 1 - confidence``: Garwood, Biometrika 28 (1936), 437-442. Of nothing, 3.

    >>> round(poisson_upper(0), 4), round(poisson_upper(10), 4)
    (2.9957, 16.9622)
    """
    if hits < 0:
        raise ValueError(f"{hits} hits: a count must not be negative")
    return _mean(hits, 1 - confidence)


def poisson_lower(hits: int, *, confidence: float = 0.95) -> float:
    """Return the one-sided lower bound: the mean with ``P(K >= hits) = 1 - confidence``; 0 of nothing.

    >>> poisson_lower(0), round(poisson_lower(10), 4)
    (0.0, 5.4254)
    """
    if hits < 0:
        raise ValueError(f"{hits} hits: a count must not be negative")
    return _mean(hits - 1, confidence) if hits else 0.0


def _mean(hits: int, probability: float) -> float:
    """Return the mean at which ``P(K <= hits)`` is ``probability``."""
    shape, z = hits + 1, NormalDist().inv_cdf(1 - probability)
    about = shape * (1 - 1 / (9 * shape) + z / (3 * math.sqrt(shape))) ** 3
    if hits >= _EXACT:
        return about
    low, high = 0.0, 2 * about + 10
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(hits, middle) > probability else (low, middle)
    return (low + high) / 2


def _at_most(hits: int, mean: float) -> float:
    logs = (k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(hits + 1))
    return math.fsum(map(math.exp, logs))


def poisson_z(hits: ArrayLike, mean: ArrayLike) -> NDArray[np.float64]:
    """Return how far ``hits`` lie above (below: negative) a Poisson ``mean``, in sigma; arrays broadcast.

    The normal deviate of ``P(K >= hits)`` (below the mean: ``P(K <= hits)``), to a few thousandths: the root
    of the deviance of the half count nearer to the mean, times a correction: Peizer and Pratt, JASA 63
    (1968), 1416-1456. Within half a count of the mean it is 0.

    >>> poisson_z([12, 5, 0], [2.1, 5.0, 4.0]).round(2).tolist()
    [4.59, 0.0, -2.1]
    """
    seen, expected = np.asarray(hits, np.float64), np.maximum(np.asarray(mean, np.float64), 1e-12)
    off = seen - expected
    side = np.sign(off) * (np.abs(off) > 0.5)
    nearer = seen - side / 2
    positive = np.maximum(nearer, 1e-300)
    root = np.sqrt(np.maximum(2 * (positive * np.log(positive / expected) - nearer + expected), 0))
    below = seen - (side > 0)  # P(K >= k) is 1 - P(K <= k - 1)
    distance = np.where(side, below + 0.5 - expected, 1)
    result: NDArray[np.float64] = (
        side * root * np.abs((below + 2 / 3 - expected + 0.02 / (below + 1)) / distance)
    )
    return result
