"""Cramer's V: chi-square as a strength between 0 and 1, whatever the number of rows."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.chi_square import chi_square
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["cramers_v"]


def cramers_v(reference: ArrayLike, current: ArrayLike) -> float | Undefined:
    """Return the bias-corrected Cramer's V of the 2 x bins table, from 0 to 1.

    With N rows in B' bins: phi2 = max(0, chi2 / N - (B' - 1) / (N - 1)), each dimension d shrinks to
    d - (d - 1)^2 / (N - 1), and V = sqrt(phi2 / (the smaller - 1)). One bin: 0. Undefined where a side is
    empty, and where every row has a bin of its own. Counts have shape ``(bins,)``. Raises ``ValueError`` for
    what are no counts.

    Source: Bergsma, A bias-correction for Cramer's V and Tschuprow's T, 2013.

    >>> round(cramers_v([500, 500], [400, 600]), 6)
    0.098008
    """
    found = chi_square(reference, current)
    if isinstance(found, Undefined):
        return found
    if not found.dof:
        return 0.0
    rows = float(np.sum(reference)) + float(np.sum(current))
    phi2 = max(0.0, found.statistic / rows - found.dof / (rows - 1))
    smaller = min(1 - 1 / (rows - 1), found.dof - found.dof**2 / (rows - 1))
    if smaller <= 0:
        return Undefined("every row has a bin of its own")
    return min(math.sqrt(phi2 / smaller), 1.0)
