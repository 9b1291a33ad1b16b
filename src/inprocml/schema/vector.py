"""Vectors: a fixed number of finite numbers, as a list, a tuple or a one-dimensional array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.columns import Column, Instants, scalars
from inprocml.schema.missing import missing_or_refused
from inprocml.schema.number import number_check
from inprocml.schema.refusal import Check, Refused, each

__all__ = ["vector_check", "vector_column"]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def vector_check(size: int, low: float, high: float, *, required: bool) -> Check[tuple[float, ...] | None]:
    """Return the judge of one vector: ``size`` numbers within ``[low, high]``, or ``None`` when missing."""
    number = number_check(low, high, required=True)

    def check(value: object) -> tuple[float, ...] | None:
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "fiu":
            value = value.tolist() if value.itemsize <= 8 else list(value)
        if not isinstance(value, (list, tuple)):
            missing_or_refused(value, f"a list of {size} numbers", required=required)
            return None
        if len(value) != size:
            raise Refused(f"must have {size} numbers, not {len(value)}")
        return tuple(_numbers(value, number))

    return check


def _numbers(value: list[object] | tuple[object, ...], check: Check[float | None]) -> list[float]:
    numbers: list[float] = []
    for place, element in enumerate(value):
        try:
            number = check(element)
        except Refused as refused:
            raise Refused(f"{refused.reason} (number {place} of the list)") from None
        assert number is not None  # required
        numbers.append(number)
    return numbers


def vector_column(
    column: Column, check: Check[tuple[float, ...] | None], size: int, limits: tuple[float, float]
) -> NDArray[np.float64]:
    """Return the column as float64 of shape ``(rows, size)``, a row of NaN for missing."""
    if isinstance(column, Instants):
        column = scalars(column)
    quick = _quickly(column, size, limits)
    if quick is not None:
        return quick
    absent = (float("nan"),) * size
    judged = [absent if vector is None else vector for vector in each(check, scalars(column))]
    return np.array(judged, dtype=np.float64).reshape(len(judged), size)


def _quickly(column: Column, size: int, limits: tuple[float, float]) -> NDArray[np.float64] | None:
    """Read lists of floats, or float arrays, all of the right length and within limits, as a whole."""
    values = scalars(column)
    kinds = set(map(type, values))
    if not values or kinds not in ({list}, {tuple}, {np.ndarray}):
        return None
    if kinds == {np.ndarray}:
        listed: list[Any] = values
        if any(value.shape != (size,) or value.dtype not in _FLOATS for value in listed):
            return None
    else:
        listed = [number for value in values for number in value]  # type: ignore[attr-defined]
        if any(len(value) != size for value in values) or set(map(type, listed)) - {float}:  # type: ignore[arg-type]
            return None
    found = np.array(values, dtype=np.float64)
    fine = (found >= limits[0]) & (found <= limits[1])
    return found if fine.all() else None
