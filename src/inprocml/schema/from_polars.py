"""Columns of polars, which is never imported here: its types are known by their names."""

from __future__ import annotations

import sys
from typing import Any

from inprocml.schema.from_arrow import arrow_column
from inprocml.schema.raw import Column, instants

__all__ = ["polars_column"]

_INTEGERS = frozenset({"Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"})
_ARRAYS = frozenset({"Float16", "Float32", "Float64", "Date", "Datetime", "Duration"})


def polars_column(values: Any) -> Column:
    """Read a ``Series``: nulls are missing, no value loses a bit."""
    dtype = values.dtype
    kind = dtype.base_type().__name__
    # as an array, one null would make floats of integers; of floats and times it makes NaN and NaT
    if kind in _ARRAYS or (kind in _INTEGERS and not values.null_count()):
        array: Any = values.to_numpy()
        return instants(array) if kind == "Datetime" and dtype.time_zone is not None else array
    if kind == "String" and "pyarrow" in sys.modules:  # quicker, but not worth an import
        return arrow_column(values.to_arrow())
    listed: list[object] = values.to_list()
    return listed
