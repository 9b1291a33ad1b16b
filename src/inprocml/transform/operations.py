"""What a ``Formula`` may do to a number: a closed table, written once for a float and once for an array.

NaN is a missing number and stays one until "fill", "is_missing" or "constant" meets it, as in numpy. Where
an operation has no answer (a logarithm of a negative number) the result is NaN too, and nothing is ever
raised: what comes out of a formula is checked at its end.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.transform.arguments import finite, one_of
from inprocml.transform.curve import yeo_johnson, yeo_johnson_many
from inprocml.transform.elementary import (
    exp_array,
    exp_float,
    expm1_array,
    expm1_float,
    log_array,
    log_float,
)
from inprocml.transform.logarithm import log1p_array, log1p_float
from inprocml.transform.rowcode import RowCode

__all__ = ["BENDS", "Operation", "checked_operations", "run_many", "run_one", "run_source"]

Operation: TypeAlias = tuple[str | float, ...]
"""A name, and the numbers that go with it: ``("subtract", 3.0)``."""

Floats: TypeAlias = NDArray[np.float64]
_NAN = float("nan")

# name -> how many numbers go with it; None: one or more, in rising order
_ARITY: dict[str, int | None] = {
    "add": 1,
    "subtract": 1,
    "multiply": 1,
    "divide": 1,
    "clip": 2,
    "fill": 1,
    "replace": 2,
    "above": 1,
    "equals": 1,
    "bin": None,
    "is_missing": 0,
    "constant": 1,
    "absolute": 0,
    "sqrt": 0,
    "square": 0,
    "log1p": 0,
    "log": 0,
    "exp": 0,
    "expm1": 0,
    "yeo-johnson": 1,
}
BENDS = ("log1p", "log", "exp", "expm1", "yeo-johnson")
"""Operations of which another library's answer may differ in the last bit of float64."""

_ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
_MOST_EDGES = 4095
_MOST = 50  # expressions of generated code nest as deep


def checked_operations(operations: Sequence[Sequence[object]]) -> tuple[Operation, ...]:
    """Return the operations as tuples; ``TypeError`` or ``ValueError`` for what is none, or too many."""
    if len(operations) > _MOST:
        raise ValueError(f"at most {_MOST} operations follow one another")
    return tuple(_checked(operation) for operation in operations)


def _checked(operation: Sequence[object]) -> Operation:
    name, *given = operation or (None,)
    one_of("operation", name, tuple(_ARITY))
    assert isinstance(name, str)
    numbers = tuple(finite(name, number) for number in given)
    wanted = _ARITY[name]
    if len(numbers) != wanted and (wanted is not None or not 1 <= len(numbers) <= _MOST_EDGES):
        raise ValueError(f"{name} takes another number of numbers")
    if name == "divide" and numbers[0] == 0.0:
        raise ValueError("nothing is divided by 0")
    if name == "yeo-johnson" and not abs(numbers[0]) <= 100.0:
        raise ValueError("an exponent lies between -100 and 100")
    if name in {"bin", "clip"} and not all(low < high for low, high in pairwise(numbers)):
        raise ValueError(f"the numbers of {name} must rise")
    return (name, *numbers)


def run_one(operations: Sequence[Operation], x: float) -> float:
    """Return what the operations make of one float, NaN for what has no answer."""
    for name, *numbers in operations:
        x = _ONE[str(name)](x, *numbers)
    return x


def run_many(operations: Sequence[Operation], x: Floats) -> Floats:
    """Return what ``run_one`` gives for each element, bit for bit."""
    for name, *numbers in operations:
        x = _MANY[str(name)](x, *numbers)
    return x


def run_source(code: RowCode, operations: Sequence[Operation], variable: str) -> str:
    """Return an expression of what ``run_one`` makes of the float that ``variable`` holds."""
    expression = variable
    for name, *numbers in operations:
        text = str(name)
        if text in _ARITHMETIC:
            expression = f"({expression} {_ARITHMETIC[text]} {numbers[0]!r})"
        elif text == "bin":
            expression = f"{code.bind(_place)}({expression}, {code.bind(tuple(numbers))})"
        else:
            given = "".join(f", {number!r}" for number in numbers)
            expression = f"{code.bind(_ONE[text])}({expression}{given})"
    return expression


def _place(x: float, edges: Sequence[float]) -> float:
    return x if x != x else float(bisect_right(edges, x))  # noqa: PLR0124 - NaN is unequal to itself


def _bin_many(x: Floats, *edges: float) -> Floats:
    places = np.searchsorted(np.array(edges), x, "right").astype(np.float64)
    return np.where(np.isnan(x), x, places)


def _log(x: float) -> float:
    return log_float(x) if 0.0 < x < math.inf else -math.inf if x == 0.0 else _NAN


def _log_many(x: Floats) -> Floats:
    good = (x > 0.0) & (x < math.inf)
    return np.where(good, log_array(np.where(good, x, 1.0)), np.where(x == 0.0, -math.inf, _NAN))


def _log1p(x: float) -> float:
    return log1p_float(x) if -1.0 < x < math.inf else -math.inf if x == -1.0 else _NAN


def _log1p_many(x: Floats) -> Floats:
    good = (x > -1.0) & (x < math.inf)
    return np.where(good, log1p_array(np.where(good, x, 1.0)), np.where(x == -1.0, -math.inf, _NAN))


def _yeo_johnson(x: float, exponent: float) -> float:
    return yeo_johnson(x, exponent) if abs(x) < math.inf else _NAN


def _yeo_johnson_many(x: Floats, exponent: float) -> Floats:
    good = np.abs(x) < math.inf
    return np.where(good, yeo_johnson_many(np.where(good, x, 1.0), exponent), _NAN)


def _kept(x: float, *, answer: bool) -> float:
    return x if x != x else float(answer)  # noqa: PLR0124 - NaN


def _kept_many(x: Floats, answer: NDArray[np.bool_]) -> Floats:
    return np.where(np.isnan(x), x, answer)


_ONE: dict[str, Callable[..., float]] = {
    "add": lambda x, number: x + number,
    "subtract": lambda x, number: x - number,
    "multiply": lambda x, number: x * number,
    "divide": lambda x, number: x / number,
    "clip": lambda x, low, high: low if x < low else high if x > high else x,  # noqa: FURB136 - NaN stays
    "fill": lambda x, number: number if x != x else x,  # noqa: PLR0124 - NaN
    "replace": lambda x, old, new: new if x == old else x,
    "above": lambda x, number: _kept(x, answer=x > number),
    "equals": lambda x, number: _kept(x, answer=x == number),
    "bin": lambda x, *edges: _place(x, edges),
    "is_missing": lambda x: float(x != x),  # noqa: PLR0124 - NaN
    "constant": lambda _, number: number,
    "absolute": abs,
    "sqrt": lambda x: math.sqrt(x) if x >= 0.0 else _NAN,
    "square": lambda x: x * x,
    "log1p": _log1p,
    "log": _log,
    "exp": exp_float,
    "expm1": expm1_float,
    "yeo-johnson": _yeo_johnson,
}
_MANY: dict[str, Callable[..., Any]] = {
    "add": lambda x, number: x + number,
    "subtract": lambda x, number: x - number,
    "multiply": lambda x, number: x * number,
    "divide": lambda x, number: x / number,
    "clip": lambda x, low, high: np.where(x < low, low, np.where(x > high, high, x)),
    "fill": lambda x, number: np.where(np.isnan(x), number, x),
    "replace": lambda x, old, new: np.where(x == old, new, x),
    "above": lambda x, number: _kept_many(x, x > number),
    "equals": lambda x, number: _kept_many(x, x == number),
    "bin": _bin_many,
    "is_missing": lambda x: np.isnan(x).astype(np.float64),
    "constant": lambda x, number: np.full(len(x), number),
    "absolute": np.abs,
    "sqrt": lambda x: np.sqrt(np.where(x >= 0.0, x, _NAN)),
    "square": lambda x: x * x,
    "log1p": _log1p_many,
    "log": _log_many,
    "exp": exp_array,
    "expm1": expm1_array,
    "yeo-johnson": _yeo_johnson_many,
}
