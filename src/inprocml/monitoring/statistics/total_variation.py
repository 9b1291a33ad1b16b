"""Total variation: the share of rows that would have to change bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.pair import paired
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["total_variation"]


def total_variation(reference: ArrayLike, current: ArrayLike) -> float | Undefined:
    """Return 0.5 sum |p - q|, from 0 to 1.

    Counts have shape ``(bins,)``. Raises ``ValueError`` for what are no counts. Source: Levin, Peres and
    Wilmer, Markov Chains and Mixing Times, proposition 4.2.

    >>> total_variation([500, 500], [250, 750])
    0.25
    """
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    p, q = pair.shares()
    return min(0.5 * float(np.sum(np.abs(p - q))), 1.0)
