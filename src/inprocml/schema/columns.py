"""Columns of every make, brought to three: a list, a numpy array, or instants in UTC.

Nothing here judges a value. Frames are recognised by who made them and what they can do; none is imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.from_arrow import arrow_column
from inprocml.schema.from_pandas import pandas_column
from inprocml.schema.from_polars import polars_column
from inprocml.schema.raw import Column, Instants, length, maker, scalars
from inprocml.schema.refusal import Refused

__all__ = ["SEVERAL", "Column", "Instants", "as_column", "length", "scalars"]

SEVERAL = "names more than one column of the frame"


def as_column(values: object) -> Column:
    """Bring one column into a make that the judges know; raises ``Refused`` if it is no column."""
    if isinstance(values, np.ma.MaskedArray):
        # what lies under a mask is junk and must not be judged
        masked = np.ma.getmaskarray(values)
        return [None if hidden else value for value, hidden in _pairs(values.data, masked)]
    if isinstance(values, np.ndarray):
        return _one_dimensional(values)
    if isinstance(values, (list, Instants)):
        return values
    if isinstance(values, (str, bytes, bytearray, Mapping, AbstractSet)) or not isinstance(values, Iterable):
        raise Refused(
            "must be a column: a list or a one-dimensional array (for one row use transform_one, or predict)"
        )
    return _from_frame(values)


def _pairs(values: NDArray[Any], masked: NDArray[np.bool_]) -> Iterable[tuple[object, bool]]:
    if values.ndim != 1:
        raise Refused("must be a one-dimensional column")
    return zip(values, masked.tolist(), strict=True)


def _one_dimensional(values: NDArray[Any]) -> Column:
    if values.ndim == 2 and values.dtype.kind in "fiu":
        return list(values)  # a vector a row; whoever reads single values refuses those
    if values.ndim != 1:
        raise Refused("must be a one-dimensional column")
    column: Column = _known(values.tolist()) if values.dtype == object else values
    return column


def _known(values: list[object]) -> list[object]:
    """Write missing as ``None`` among strings, where pandas writes NaN: strings alone are judged at once."""
    kinds = set(map(type, values))
    if float not in kinds or not kinds <= {str, float, NoneType}:
        return values
    return [None if value != value else value for value in values]  # noqa: PLR0124 - NaN


def _from_frame(values: Iterable[object]) -> Column:
    make = maker(type(values))
    if make == "pyarrow" and hasattr(values, "type"):
        return arrow_column(values)
    if make == "polars" and hasattr(values, "dtype"):
        return polars_column(values)
    if hasattr(values, "dtype") and hasattr(values, "to_numpy"):
        return pandas_column(values)
    if hasattr(values, "columns"):
        raise Refused(SEVERAL)
    return list(values)
