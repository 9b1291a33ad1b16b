"""Numbers: float64 in, or an integer that float64 holds exactly; nothing is coerced."""

from __future__ import annotations

import math
import sys
from types import NoneType

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.columns import Column, Instants, scalars
from inprocml.schema.missing import is_missing
from inprocml.schema.refusal import MISSING, Check, Refused, each

__all__ = ["LARGEST", "number_check", "number_column"]

LARGEST = sys.float_info.max
_EXACT = 2**53  # every integer up to here has its own float64


def number_check(low: float, high: float, *, required: bool) -> Check[float | None]:
    """Return the judge of one value: a float within ``[low, high]``, or ``None`` when missing."""

    def check(value: object) -> float | None:
        if type(value) is float and low <= value <= high:
            return value
        if type(value) is int and -_EXACT <= value <= _EXACT and low <= value <= high:
            return float(value)
        number = _exact(value)
        if number is None:
            if required:
                raise Refused(MISSING)
            return None
        if low <= number <= high:
            return number
        raise Refused(_outside(number, low, high))

    return check


def number_column(
    column: Column, check: Check[float | None], low: float, high: float, *, required: bool
) -> NDArray[np.float64]:
    """Return the column as fresh float64, NaN for missing; accepts what ``check`` accepts, element-wise."""
    with np.errstate(all="ignore"):
        floats = _floats(column)
        if floats is not None and _within(floats, low, high, required=required):
            return floats
    # Doubtful columns, and bad ones, are judged value by value: one set of rules, one set of reasons.
    return np.array(each(check, scalars(column)), dtype=np.float64)


def _within(floats: NDArray[np.float64], low: float, high: float, *, required: bool) -> bool:
    if not len(floats) or (low <= floats.min() and floats.max() <= high):  # both are NaN if any value is
        return True
    return not required and bool((((floats >= low) & (floats <= high)) | np.isnan(floats)).all())


def _exact(value: object) -> float | None:
    if isinstance(value, int) and not isinstance(value, bool):  # to Python, True is 1; not to us
        return _whole(value)
    if is_missing(value):
        return None
    if isinstance(value, np.timedelta64):  # to numpy, a duration is an integer
        raise _not_a_number(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if number != value:  # a long double may hold more than float64
            raise Refused("must be a number that float64 holds exactly")
        return number
    if isinstance(value, np.integer):
        return _whole(int(value))
    raise _not_a_number(value)


def _whole(value: int) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if number != value:
        raise Refused("must be an integer that float64 holds exactly")
    return number


def _not_a_number(value: object) -> Refused:
    if isinstance(value, np.ndarray):
        return Refused("must be a number, not an array: a column of numbers is one-dimensional")
    return Refused(f"must be a number, not {type(value).__name__}")


def _outside(number: float, low: float, high: float) -> str:
    if abs(number) > LARGEST:
        return "must be finite"
    if number > high:
        return f"must be at most {high!r}"
    below = math.nextafter(low, -math.inf)
    # the first number above a whole one is how "greater than" is spelt in limits
    return f"must be greater than {below:.0f}" if below == round(below) == -1 else f"must be at least {low!r}"


def _floats(column: Column) -> NDArray[np.float64] | None:
    """Vectorise what is certainly exact; ``None`` sends the column to the judge of single values."""
    if isinstance(column, np.ndarray) and column.dtype.kind != "O":
        if column.dtype.kind not in "fiu" or column.itemsize > 8:
            return None
        floats = column.astype(np.float64)
        return _small(floats) if column.dtype.kind in "iu" else floats
    if isinstance(column, Instants):
        return None
    return _floats_listed(column if isinstance(column, list) else column.tolist())


def _floats_listed(column: list[object]) -> NDArray[np.float64] | None:
    kinds = set(map(type, column))
    if not kinds <= {float, int, NoneType}:
        return None
    try:
        floats = np.array(column, dtype=np.float64)  # None becomes NaN
    except OverflowError:
        return None
    return _small(floats) if int in kinds else floats


def _small(floats: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Integers beyond 2**53 may have been rounded on the way: let the judge of single values see them."""
    return None if (np.abs(floats) >= _EXACT).any() else floats
