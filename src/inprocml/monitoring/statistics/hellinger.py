"""Hellinger distance: between the square roots of the shares."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.compat import Product, supported
from inprocml.monitoring.statistics.pair import paired
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["hellinger"]


def hellinger(
    reference: ArrayLike, current: ArrayLike, *, compat: Product | None = None
) -> float | Undefined:
    """Return sqrt(1 - sum sqrt(p q)), from 0 to 1.

    Computed as sqrt(sum (sqrt p - sqrt q)^2 / 2), which is the same and keeps its digits near 0. "evidently"
    and "nannyml" define it alike. Counts have shape ``(bins,)``. Raises ``ValueError`` for what are
    no counts.

    Source: Hellinger 1909; Le Cam and Yang, Asymptotics in Statistics, 2000.

    >>> round(hellinger([500, 500], [400, 600]), 6)
    0.071161
    """
    supported("hellinger", compat, "evidently", "nannyml")
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    p, q = pair.shares()
    return min(math.sqrt(float(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2)) / 2), 1.0)
