"""A figure with its 95 % interval, and the intervals that are used more than once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from inprocml.monitoring.statistics import Undefined, wilson

__all__ = ["WIDTH", "Estimate", "Interval", "mean", "share"]

WIDTH = 1.959963984540054
"""Standard errors to each side of a 95 % interval: the 97.5 % quantile of the normal distribution."""

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


def share(hits: float, rows: float) -> Interval | None:
    """Return a share with Wilson's interval, of whole counts; None for no rows."""
    found = wilson(round(hits), round(rows))
    if isinstance(found, Undefined):
        return None
    value = hits / rows
    # the share lies within by algebra, and by rounding only nearly
    return value, min(value, found.low), max(value, found.high)


def mean(total: float, squares: float, rows: float) -> Interval | None:
    """Return a mean with its normal interval, from a sum and a sum of squares; None for less than 2 rows."""
    if rows < 2:
        return None
    value = total / rows
    spread = max(0.0, squares / rows - value * value) * rows / (rows - 1)
    half = WIDTH * math.sqrt(spread / rows)
    return value, value - half, value + half
