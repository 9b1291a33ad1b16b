"""A file of labelled rows as a table: CSV, Parquet, JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inprocml.errors import BackendMissing, PackError
from inprocml.schema import Schema
from inprocml.values import Table

__all__ = ["read_rows"]

_KINDS = (".csv", ".parquet", ".jsonl", ".ndjson")
_TEXTUAL = {"category", "text", "instant", "wallclock"}


def read_rows(path: Path, schema: Schema, label: str | None) -> tuple[Table, list[Any] | None]:
    """Return the fields of ``schema`` as a table, and the column ``label``, if one is named.

    Columns that the schema does not know are left out. In CSV, where all is text, what the schema takes as
    text stays text. Raises ``PackError`` for a file or a column that is not there, not readable or without
    rows, and ``BackendMissing`` without pandas.
    """
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise PackError(f"{path} is no file of rows known here; use one of {', '.join(_KINDS)}")
    try:
        if not path.stat().st_size:
            raise _no_rows(path)
        table, labels, rows = (_frame if kind in {".csv", ".parquet"} else _lines)(path, schema, label)
    except (OSError, ValueError) as error:
        raise PackError(f"{path} cannot be read ({type(error).__name__}); mend or replace it") from error
    if not rows:
        raise _no_rows(path)
    return table, labels


def _no_rows(path: Path) -> PackError:
    return PackError(f"{path} holds no rows; give a file with rows that training has not seen")


def _lines(path: Path, schema: Schema, label: str | None) -> tuple[Table, list[Any] | None, int]:
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise PackError(f"{path} holds lines that are no objects; write one row per line")
    if label is not None and not all(label in row for row in rows):
        raise PackError(f"{path} has rows without {label!r}; give the name that every row has")
    known = {field.name for field in schema.fields}
    table = [{name: value for name, value in row.items() if name in known} for row in rows]
    return table, None if label is None else [row[label] for row in rows], len(rows)


def _frame(path: Path, schema: Schema, label: str | None) -> tuple[Table, list[Any] | None, int]:
    try:
        import pandas as pd
    except ImportError as error:
        raise BackendMissing("reading a file of rows needs pandas: pip install 'inprocml[check]'") from error
    if path.suffix.lower() == ".csv":
        frame = pd.read_csv(path, dtype={f.name: "str" for f in schema.fields if f.kind in _TEXTUAL})
    else:
        frame = pd.read_parquet(path)
    if label is not None and label not in frame.columns:
        raise PackError(f"{path} has no column {label!r}; it has: {', '.join(map(str, frame.columns[:20]))}")
    known = {field.name for field in schema.fields}
    table = frame[[name for name in frame.columns if name in known]]
    return table, None if label is None else frame[label].tolist(), len(frame)
