"""The G test: the likelihood ratio on the table that chi-square looks at."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.compat import Product, supported, table_of
from inprocml.monitoring.statistics.pair import paired
from inprocml.monitoring.statistics.result import Outcome, Undefined
from inprocml.monitoring.statistics.tails import chi_square_sf

__all__ = ["g_test"]


def g_test(reference: ArrayLike, current: ArrayLike, *, compat: Product | None = None) -> Outcome | Undefined:
    """Test whether both sides come from one distribution: 2 sum O ln(O / E) on the 2 x bins table.

    Bins that are empty on both sides are dropped; B' - 1 degrees of freedom. Of one bin the p-value is 1.
    ``compat="evidently"`` tests ``current`` against the reference's shares taken as exact. Counts have shape
    ``(bins,)``. Raises ``ValueError`` for what are no counts.

    Source: Wilks 1938; Sokal and Rohlf, Biometry, section 17.2.

    >>> found = g_test([50, 50], [40, 60])
    >>> round(found.statistic, 6), round(found.p_value, 6), found.dof
    (2.023756, 0.154856, 1)
    """
    supported("g_test", compat, "evidently")
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    observed, expected = table_of(compat, pair.occupied())
    dof = expected.shape[-1] - 1
    with np.errstate(divide="ignore"):
        ratios = np.log(np.where(observed > 0, observed, 1.0) / np.where(observed > 0, expected, 1.0))
    statistic = max(2 * float(np.sum(observed * ratios)), 0.0) if dof else 0.0
    return Outcome(statistic, float(chi_square_sf(statistic, dof)), dof)
