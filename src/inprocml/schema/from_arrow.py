"""Columns of pyarrow, which is never imported here: its types are known by the names they print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from inprocml.schema.raw import Column, instants, scalars
from inprocml.schema.refusal import Refused

__all__ = ["arrow_column"]

_SAMPLE = 64
_PRINTED = 60


def arrow_column(values: Any) -> Column:
    """Read an ``Array`` or a ``ChunkedArray``: nulls are missing, no value loses a bit.

    Raises ``Refused`` where pyarrow cannot turn the column's type into values.
    """
    kind = str(values.type)
    root = kind.replace("(", "[").replace("<", "[").partition("[")[0]
    try:
        return _READ.get(root, _listed)(values)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - pyarrow's own error has no name here, and hostile values have many
        printed = kind if len(kind) <= _PRINTED else kind[:_PRINTED] + "..."
        raise Refused(f"is a column of type {printed} that pyarrow cannot read: cast it first") from None


def _listed(values: Any) -> Column:
    listed: list[object] = values.to_pylist()
    return listed


def _array(values: Any) -> Column:
    array: Column = values.to_numpy(zero_copy_only=False)
    return array


def _integers(values: Any) -> Column:
    # as an array, one null would make floats of all: 2**53 + 1 and the categories 1, 2, 3 would be lost
    return _listed(values) if values.null_count else _array(values)


def _dates(values: Any) -> Column:
    # stored in milliseconds, they are dates all the same and no times of day
    return np.asarray(_array(values)).astype("M8[D]")


def _times(values: Any) -> Column:
    times: Any = _array(values)
    return times if values.type.tz is None else instants(times)


def _strings(values: Any) -> Column:
    if len(values) > 2 * _SAMPLE and len(values.slice(0, _SAMPLE).unique()) <= _SAMPLE // 2:
        # few distinct strings: each is made, and later hashed, once
        return _coded(values.dictionary_encode(null_encoding="encode"))
    listed: list[object] = values.to_numpy(zero_copy_only=False).tolist()
    return listed


def _coded(values: Any) -> Column:
    listed: list[object] = []
    for chunk in getattr(values, "chunks", (values,)):
        listed += _decoded(chunk)
    return listed


def _decoded(chunk: Any) -> list[object]:
    known = scalars(arrow_column(chunk.dictionary))
    codes = chunk.indices
    if codes.null_count:
        codes = codes.cast("int64").fill_null(len(known))  # one more code, for missing
    words = np.empty(len(known) + 1, dtype=object)
    for place, word in enumerate(known):  # all at once, numpy would look into words that are lists
        words[place] = word
    decoded: list[object] = words.take(codes.to_numpy(zero_copy_only=False)).tolist()
    return decoded


_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_READ: dict[str, Callable[[Any], Column]] = {
    **dict.fromkeys(_INTEGERS, _integers),
    # a null becomes NaN or NaT, which is missing as well
    **dict.fromkeys(("halffloat", "float", "double", "date32", "duration"), _array),
    "date64": _dates,
    "timestamp": _times,
    "string": _strings,
    "large_string": _strings,
    "dictionary": _coded,
}
