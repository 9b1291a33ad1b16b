"""Checks of the arguments of declarations: ``TypeError`` or ``ValueError`` that names the argument."""

from __future__ import annotations

import math
import sys
from numbers import Real

__all__ = [
    "MOST_ENTRIES",
    "WIDEST",
    "a_bool",
    "a_count",
    "a_field",
    "a_slot",
    "a_whole",
    "finite",
    "number_range",
    "numbers",
    "one_of",
    "wholes",
]

_LARGEST = sys.float_info.max
WIDEST = 1_000_000
"""Feature columns a transform may have."""

MOST_ENTRIES = 10_000
"""Entries a transform may have; a vector of any size is one."""


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """``value`` must be one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


def a_bool(name: str, value: object) -> None:
    """``value`` must be True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False")


def a_slot(missing: object) -> None:
    """``missing`` must be None or "slot"."""
    if missing is not None:
        one_of("missing", missing, ("slot",))


def a_field(field: object) -> None:
    """``field`` must be None or the name of a field."""
    if field is not None and not isinstance(field, str):
        raise TypeError(f"field must be the name of a field, not {type(field).__name__}")
    if field == "":
        raise ValueError("field must be the name of a field, not an empty string")


def finite(name: str, value: object) -> float:
    """Return a finite float; numbers of numpy will do, as they come of a training table's minimum."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite")
    return number


def number_range(name: str, pair: object) -> tuple[float, float]:
    """Return a pair of finite floats, the first below the second; ``None`` or infinity for no limit."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"{name} must be a pair (low, high)")
    low, high = (
        end if side is None or (isinstance(side, float) and side == end * math.inf) else finite(name, side)
        for side, end in zip(pair, (-_LARGEST, _LARGEST), strict=True)
    )
    if not low < high:
        raise ValueError(f"{name} must have low < high")
    return low, high


def a_count(name: str, value: object) -> None:
    """``value`` must be an integer from 1 to ``WIDEST``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if not 1 <= value <= WIDEST:
        raise ValueError(f"{name} must be from 1 to {WIDEST}")


def a_whole(name: str, value: object) -> int:
    """Return an integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    return value


def wholes(name: str, value: object) -> tuple[int, ...]:
    """Return a sequence of integers as a tuple."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a sequence of integers, not {type(value).__name__}")
    return tuple(a_whole(name, number) for number in value)


def numbers(name: str, value: object) -> tuple[float, ...]:
    """Return a sequence of finite numbers as a tuple of floats."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a sequence of numbers, not {type(value).__name__}")
    return tuple(finite(name, number) for number in value)
