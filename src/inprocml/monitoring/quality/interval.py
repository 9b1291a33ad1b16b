"""A figure with its 95 % interval, and the intervals that are used more than once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["WIDTH", "Estimate", "Interval", "mean", "wilson"]

WIDTH = NormalDist().inv_cdf(0.975)
"""Standard errors to each side of a 95 % interval."""

Interval = tuple[float, float, float]
"""A value, the lower and the upper end of its 95 % interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure: what ``rows`` labels say, and what was expected before they came.

    ``low`` and ``high`` are the 95 % interval. ``value`` is None where the labels do not define it (no label,
    or an AUC of one class alone); ``expected`` is None where scores alone do not tell.
    """

    value: float | None
    low: float | None
    high: float | None
    rows: int
    expected: float | None = None


def wilson(hits: float, rows: float) -> Interval | None:
    """Return a share with Wilson's score interval; None for no rows.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22
    (1927).
    """
    if rows <= 0:
        return None
    share, squared = hits / rows, WIDTH * WIDTH
    centre = (share + squared / (2 * rows)) / (1 + squared / rows)
    half = WIDTH / (1 + squared / rows) * math.sqrt(share * (1 - share) / rows + squared / (4 * rows * rows))
    # the share lies within by algebra, and by rounding only nearly
    return share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def mean(total: float, squares: float, rows: float) -> Interval | None:
    """Return a mean with its normal interval, from a sum and a sum of squares; None for less than 2 rows."""
    if rows < 2:
        return None
    value = total / rows
    spread = max(0.0, squares / rows - value * value) * rows / (rows - 1)
    half = WIDTH * math.sqrt(spread / rows)
    return value, value - half, value + half
