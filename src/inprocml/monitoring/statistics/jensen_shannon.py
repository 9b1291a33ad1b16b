"""Jensen-Shannon distance: how much a row tells about which side it is from."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.compat import Product, jensen_shannon_of, supported
from inprocml.monitoring.statistics.pair import paired
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["jensen_shannon"]


def jensen_shannon(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    base: float = 2.0,
    divergence: bool = False,
    compat: Product | None = None,
) -> float | Undefined:
    """Return the Jensen-Shannon distance, or its square, the ``divergence``; 0 to 1 in base 2.

    The divergence is (KL(p, a) + KL(q, a)) / 2 with a = (p + q) / 2 and logarithms to ``base``.
    ``compat`` sets base and square root as "evidently", "nannyml" or "tfdv" have them. Counts have shape
    ``(bins,)``. Raises ``ValueError`` for what are no counts, and for a base that is not above 1.

    Source: Lin, Divergence measures based on the Shannon entropy, 1991; Endres and Schindelin 2003 (the
    square root is a metric).

    >>> round(jensen_shannon([500, 500], [400, 600]), 6)
    0.085435
    >>> jensen_shannon([1, 0], [0, 1])
    1.0
    """
    supported("jensen_shannon", compat, "evidently", "nannyml", "tfdv")
    if compat is not None:
        base, divergence = jensen_shannon_of(compat)
    if not 1 < base < math.inf:
        raise ValueError(f"the base of the logarithm must be above 1, not {base!r}.")
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    p, q = pair.occupied().shares()
    # With u = (p - q) / (p + q) a bin adds (p + q) / 2 times what follows: no term is negative and none
    # cancels, where p ln p - p ln a loses all digits of sides that are nearly equal.
    u = np.minimum(np.abs(p - q) / (p + q), 1.0)
    inner = np.minimum(u, 1 - 2.0**-53)
    each = np.where(u == 1, 2 * math.log(2), np.log1p(-inner * inner) + 2 * inner * np.arctanh(inner))
    found = float(np.sum((p + q) / 4 * each)) / math.log(base)
    found = min(max(found, 0.0), math.log(2) / math.log(base))
    return found if divergence else math.sqrt(found)
