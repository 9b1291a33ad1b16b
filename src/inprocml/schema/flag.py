"""Flags: exactly true or false; 0, 1 and "true" are other people's spellings and are not guessed at."""

from __future__ import annotations

from types import NoneType

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.columns import Column, scalars
from inprocml.schema.missing import missing_or_refused
from inprocml.schema.refusal import Check, each

__all__ = ["flag_check", "flag_column"]


def flag_check(*, required: bool) -> Check[bool | None]:
    """Return the judge of one flag."""

    def check(value: object) -> bool | None:
        if value is True or value is False:
            return value
        if isinstance(value, np.bool_):
            return bool(value)
        missing_or_refused(value, "true or false", required=required)
        return None

    return check


def flag_column(column: Column, check: Check[bool | None], *, required: bool) -> NDArray[np.float64]:
    """Return the column as float64: 1, 0, and NaN for missing."""
    if isinstance(column, np.ndarray) and column.dtype.kind == "b":
        return column.astype(np.float64)
    values = scalars(column)
    if not set(map(type, values)) <= ({bool} if required else {bool, NoneType}):
        values = list(each(check, values))
    return np.array(values, dtype=np.float64)
