"""L-infinity: the largest change of any one share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.compat import Product, supported
from inprocml.monitoring.statistics.pair import paired
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["l_infinity"]


def l_infinity(
    reference: ArrayLike, current: ArrayLike, *, compat: Product | None = None
) -> float | Undefined:
    """Return max |p - q|, from 0 to 1.

    "tfdv" (``anomalies/metrics.cc``, ``LInftyDistance``) and "nannyml" define it alike. Counts have shape
    ``(bins,)``. Raises ``ValueError`` for what are no counts.

    >>> l_infinity([2, 1, 1], [1, 1, 2])
    0.25
    """
    supported("l_infinity", compat, "tfdv", "nannyml")
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    p, q = pair.shares()
    return float(np.max(np.abs(p - q)))
