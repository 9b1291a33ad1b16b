"""Columns of every make, brought to three: a list, a numpy array, or instants in UTC.

Nothing here judges a value. pandas is recognised by what its objects can do and is never imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.refusal import Refused

__all__ = ["Column", "Instants", "as_column", "length", "scalars"]


@dataclass(frozen=True, slots=True, eq=False)
class Instants:
    """A time-zone-aware column: ``utc`` datetime64 of any unit, and the ``source`` it came from."""

    utc: NDArray[np.datetime64]
    source: Iterable[object]


Column: TypeAlias = list[object] | NDArray[Any] | Instants
"""Raw values of one field, one per row."""


def as_column(values: object) -> Column:
    """Bring one column into a make that the judges know; raises ``Refused`` if it is no column."""
    if isinstance(values, np.ma.MaskedArray):
        # what lies under a mask is junk and must not be judged
        masked = np.ma.getmaskarray(values)
        return _one_dimensional([None if hidden else value for value, hidden in _pairs(values.data, masked)])
    if isinstance(values, np.ndarray):
        return _one_dimensional(values)
    if isinstance(values, (list, Instants)):
        return values
    if isinstance(values, (str, bytes, bytearray, Mapping, AbstractSet)) or not isinstance(values, Iterable):
        raise Refused("must be a column: a list or a one-dimensional array (for one row use transform_one)")
    if hasattr(values, "dtype") and hasattr(values, "to_numpy"):
        return _from_frame(values)
    if hasattr(values, "columns"):
        raise Refused("names more than one column of the frame")
    return list(values)


def length(column: Column) -> int:
    """Return the number of rows."""
    return len(column.utc) if isinstance(column, Instants) else len(column)


def scalars(column: Column) -> list[object]:
    """Return the column value by value, as a row would hold them."""
    if isinstance(column, list):
        return column
    if isinstance(column, Instants):
        return list(column.source)
    if column.dtype.kind in "mM":
        return list(column)  # tolist() would turn nanoseconds into bare integers
    values: list[object] = column.tolist()
    return values


def _pairs(values: NDArray[Any], masked: NDArray[np.bool_]) -> Iterable[tuple[object, bool]]:
    if values.ndim != 1:
        raise Refused("must be a one-dimensional column")
    return zip(values, masked.tolist(), strict=True)


def _one_dimensional(values: Any) -> Column:
    if np.ndim(values) != 1:
        raise Refused("must be a one-dimensional column")
    column: Column = values
    return column


def _from_frame(values: Any) -> Column:
    """Read a pandas Series, Index or array (or one that behaves so) without losing a bit."""
    array = getattr(values, "array", values)
    dtype = values.dtype  # a Series of plain floats wraps numpy's dtype in its array, not in itself
    if isinstance(dtype, np.dtype):
        return np.asarray(values.to_numpy())
    if hasattr(dtype, "tz") and hasattr(dtype, "unit"):
        return Instants(np.asarray(array, dtype=f"M8[{dtype.unit}]"), array)
    if hasattr(array, "codes") and hasattr(array, "categories"):
        # its own conversion turns integer categories into floats as soon as one value is missing
        known = [*np.asarray(array.categories, dtype=object).tolist(), None]
        return [known[code] for code in np.asarray(array.codes).tolist()]
    if type(array).__module__.startswith("pandas."):
        # nullable integers lose their low bits in any other dtype
        listed: list[object] = array.to_numpy(dtype=object).tolist()
        return listed
    return list(values)
