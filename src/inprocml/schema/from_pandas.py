"""Columns of pandas, which is never imported here: what its objects can do tells their kinds apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from inprocml.schema.from_arrow import arrow_column
from inprocml.schema.raw import Column, Instants, maker, scalars

__all__ = ["pandas_column"]


def pandas_column(values: Any) -> Column:
    """Read a Series, an Index or an array (or one that behaves so) without losing a bit."""
    dtype = values.dtype  # a Series of plain floats wraps numpy's dtype in its array, not in itself
    if isinstance(dtype, np.dtype):
        return np.asarray(values.to_numpy())
    array = getattr(values, "array", values)
    if hasattr(dtype, "tz") and hasattr(dtype, "unit"):
        return Instants(np.asarray(array, dtype=f"M8[{dtype.unit}]"), array)
    if hasattr(array, "codes") and hasattr(array, "categories"):
        return _categorical(array)
    return _extension(array, dtype) if maker(type(array)) == "pandas" else list(values)


def _extension(array: Any, dtype: Any) -> Column:
    if hasattr(dtype, "pyarrow_dtype") or str(getattr(dtype, "storage", "")).startswith("pyarrow"):
        return arrow_column(array.__arrow_array__())
    if hasattr(dtype, "numpy_dtype") and not array.isna().any():
        return np.asarray(array.to_numpy(dtype=dtype.numpy_dtype))
    # nullable integers lose their low bits in any other dtype
    listed: list[object] = array.to_numpy(dtype=object, na_value=None).tolist()
    return listed


def _categorical(array: Any) -> Column:
    # its own conversion turns integer categories into floats as soon as one value is missing
    categories = array.categories
    known = scalars(pandas_column(categories))
    words = np.fromiter((*known, None), dtype=object, count=len(known) + 1)
    listed: list[object] = words[np.asarray(array.codes)].tolist()  # missing is code -1, the last
    return listed
