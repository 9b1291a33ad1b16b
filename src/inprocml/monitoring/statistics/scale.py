"""How much wider the values lie: the mean squared normal score of the reference's ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.statistics.location import normal_scores, shift, standardised
from inprocml.monitoring.statistics.pair import paired
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["scale", "scale_scores", "widening"]

_Floats = NDArray[np.float64]
_ROOT = float(np.sqrt(2))


def scale_scores(reference: ArrayLike) -> _Floats:
    """Return the standardised squares of the standardised normal scores, shape ``(..., bins)``.

    Klotz's scores on grouped ranks: Klotz, Annals of Mathematical Statistics 33 (1962), 498-512.
    """
    return standardised(standardised(normal_scores(reference), reference) ** 2, reference)


def widening(scores: _Floats, current: ArrayLike) -> _Floats:
    """Return the mean score of ``current`` over the root of two, shape ``(...)``: see ``scale``."""
    return shift(scores, current) / _ROOT


def scale(reference: ArrayLike, current: ArrayLike) -> float | Undefined:
    """Return how much wider ``current`` is than ``reference``.

    ``sum_k q_k b_k / sqrt(2)``, b the standardised squared normal scores. For a normal reference whose sigma
    grows by a small share, this is the share: 0.1 is ten percent wider. Large ones are understated, for
    bins end. Counts of shape ``(bins,)``, without missing. Raises ``ValueError`` for what are no counts.

    >>> scale([25, 25, 25, 25], [25, 25, 25, 25])
    0.0
    >>> round(scale([25, 25, 25, 25], [50, 0, 0, 50]), 3)
    0.707
    >>> print(scale([0, 0], [1, 1]))
    undefined: reference holds no rows
    """
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    return float(widening(scale_scores(pair.reference), pair.current))
