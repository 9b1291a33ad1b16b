"""What sums of labelled rows say of a regression, each figure with its 95 % interval."""

from __future__ import annotations

import math

from inprocml.monitoring.quality.interval import Interval, mean
from inprocml.monitoring.quality.tally import NumberTally

__all__ = ["number_metrics"]


def number_metrics(tally: NumberTally) -> dict[str, Interval | None]:
    """Return mean absolute error, root of the mean squared error, and bias (mean of answer less truth).

    In the unit of the answer; None for less than 2 labels. The interval of the root is that of the mean of
    squares, its root taken.
    """
    rows, absolute, squares, fourths, errors = tally.counts[:5].tolist()
    square = mean(squares, fourths, rows)
    found = mean(absolute, squares, rows)
    return {
        "mae": None if found is None else (found[0], max(0.0, found[1]), found[2]),
        "rmse": None if square is None else _root(square),
        "bias": mean(errors, squares, rows),
    }


def _root(square: Interval) -> Interval:
    value, low, high = (math.sqrt(max(0.0, each)) for each in square)
    return value, low, high
