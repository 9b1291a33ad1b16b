"""The digest of a training table: one table, one digest, whichever make of table it came in.

Taken over the canonical columns, so that a DataFrame, a list of rows and a table of another library agree.
``docs/reference/bundle-format.md`` says what is hashed, for whoever wants to check it without inprocml.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Schema

__all__ = ["table_digest"]

_ROWS = 65_536  # rendered at a time


def table_digest(schema: Schema, columns: Mapping[str, NDArray[Any]]) -> str:
    """Return ``"sha256:<hex>"`` over the fields of ``schema``, by name; order of rows counts.

    ``columns`` are canonical, as ``Schema.check_table`` returns them.
    """
    digest = hashlib.sha256()
    for field in sorted(schema.fields, key=lambda field: field.name):
        column = columns[field.name]
        digest.update(_line([field.name, field.kind, *column.shape]))
        for start in range(0, len(column), _ROWS):
            for piece in _pieces(field.kind, column[start : start + _ROWS]):
                digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def _pieces(kind: str, column: NDArray[Any]) -> Iterator[bytes]:
    if kind in {"number", "flag", "vector"}:
        floats = np.array(column, dtype="<f8")
        floats[np.isnan(floats)] = np.nan  # NaN has many spellings
        yield floats.tobytes()
    elif kind in {"instant", "wallclock"}:
        yield column.astype("datetime64[us]").astype("<i8").tobytes()
    elif kind in {"content", "signal"}:
        for value in column:
            yield from _content(value)
    else:
        yield _line(column.tolist())


def _content(value: Any) -> Iterator[bytes]:
    if value is None:
        yield b"0\n"
    elif isinstance(value, bytes):
        yield b"1 %d\n" % len(value)
        yield value
    else:
        yield b"2 %d\n" % len(value)
        yield np.asarray(value, dtype="<f8").tobytes()


def _line(values: list[Any]) -> bytes:
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass") + b"\n"
