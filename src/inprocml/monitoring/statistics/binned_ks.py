"""Kolmogorov-Smirnov on bins: the largest gap between the two distribution functions at the edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.pair import paired
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["binned_ks"]


def binned_ks(reference: ArrayLike, current: ArrayLike) -> float | Undefined:
    """Return max |CDF_ref - CDF_cur| over the inner edges, from 0 to 1.

    It never exceeds the exact statistic, which also looks between the edges. The bins must be in order; a
    last bin for missing values counts as the highest. Counts have shape ``(bins,)``. Raises ``ValueError``
    for what are no counts.

    Source: Smirnov 1939, restricted to the edges.

    >>> binned_ks([25, 50, 25], [50, 50, 0])
    0.25
    """
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    # Sums of counts are exact; sums of shares would not be
    gaps = np.cumsum(pair.reference)[:-1] / pair.m - np.cumsum(pair.current)[:-1] / pair.n
    return float(np.max(np.abs(gaps), initial=0.0))
