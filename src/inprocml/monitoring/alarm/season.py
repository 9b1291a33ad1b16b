"""What a day does to a column: whether its hours differ, and by how much one day differs from the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.evidence import Tables, normal_of_square
from inprocml.monitoring.statistics import shift

__all__ = ["between_days", "hours_differ", "left_yesterday"]

_VISIBLE = 2.5  # low: what is taken for a season by mistake costs an hour, what is not costs a false alert
_UNKNOWN = 0.03  # the variance of days in squared sigma, until four were seen
_FAR = 0.5  # sigma; days of real columns differ by some tenths

_Floats = NDArray[np.float64]
_Cells = NDArray[np.int64]


def hours_differ(hours: _Cells, tables: Tables, deff: _Floats) -> NDArray[np.bool_]:
    """Return, per series, whether hours of shape ``(hours, series, 16)`` have different locations or scales.

    Chi-square of the means of hours, each with the variance that its effective rows leave.
    """
    differ = np.zeros(len(deff), np.bool_)
    if len(hours) < 2:
        return differ
    counts = hours * tables.valued
    rows = counts.sum(axis=2) / deff
    freedom = np.maximum((rows > 0).sum(axis=0) - 1, 1)
    for scores in tables.scores:
        means = shift(scores, counts)
        mean = (means * rows).sum(axis=0) / np.maximum(rows.sum(axis=0), 1e-9)
        square = (rows * (means - mean) ** 2).sum(axis=0)
        differ |= normal_of_square(square, freedom.astype(np.float64)) > _VISIBLE
    return differ


def between_days(days: _Cells, stamps: NDArray[np.int64], tables: Tables) -> _Floats:
    """Return the variance of the location of a day, per series, from days that follow one another.

    From the median of squared differences (0.455 is that of chi-square): one step in a week is no variance.
    """
    if len(days) < 4:
        return np.full(len(tables.rows), _UNKNOWN)
    means = shift(tables.scores[0], days * tables.valued)
    squares = np.diff(means, axis=0)[np.diff(stamps) == 1] ** 2
    if len(squares) < 3:
        return np.full(len(tables.rows), _UNKNOWN)
    result: _Floats = np.median(squares, axis=0) / 2 / 0.455
    return result


def left_yesterday(
    ended: _Cells, before: _Cells, tables: Tables, deff: _Floats, limit: float
) -> NDArray[np.bool_]:
    """Return, per series, whether an hour is elsewhere than the same hour of the day before."""
    left = np.zeros(len(deff), np.bool_)
    now, then = ended * tables.valued, before * tables.valued
    rows = [counts.sum(axis=1) / deff for counts in (now, then)]
    enough = (rows[0] >= 50) & (rows[1] >= 50)
    noise = 1 / np.maximum(rows[0], 1) + 1 / np.maximum(rows[1], 1)
    for scores in tables.scores:
        moved = np.abs(shift(scores, now) - shift(scores, then))
        left |= enough & (moved >= _FAR) & (moved > limit * np.sqrt(noise))
    return left
