"""Pearson's chi-square test of homogeneity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.compat import Product, supported, table_of, yates
from inprocml.monitoring.statistics.pair import paired
from inprocml.monitoring.statistics.result import Outcome, Undefined
from inprocml.monitoring.statistics.tails import chi_square_sf

__all__ = ["chi_square"]


def chi_square(
    reference: ArrayLike, current: ArrayLike, *, compat: Product | None = None
) -> Outcome | Undefined:
    """Test whether both sides come from one distribution: sum (O - E)^2 / E on the 2 x bins table.

    Bins that are empty on both sides are dropped; B' - 1 degrees of freedom; no continuity correction. Of one
    bin the p-value is 1. ``compat``: "evidently" tests ``current`` against the reference's shares taken as
    exact, "nannyml" corrects two bins after Yates. Counts have shape ``(bins,)``. Raises ``ValueError`` for
    what are no counts.

    Source: Pearson 1900; Agresti, Categorical Data Analysis, section 3.2.

    >>> found = chi_square([50, 50], [40, 60])
    >>> round(found.statistic, 6), round(found.p_value, 6), found.dof
    (2.020202, 0.155218, 1)
    """
    supported("chi_square", compat, "evidently", "nannyml")
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    observed, expected = table_of(compat, pair.occupied())
    dof = expected.shape[-1] - 1
    if compat == "nannyml" and dof == 1:
        observed = yates(observed, expected)
    with np.errstate(divide="ignore"):  # Evidently's table: new categories were expected 0 times
        statistic = float(np.sum((observed - expected) ** 2 / expected)) if dof else 0.0
    return Outcome(statistic, float(chi_square_sf(statistic, dof)), dof)
