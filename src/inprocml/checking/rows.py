"""A file of labelled rows as a table: CSV, Parquet, JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inprocml.errors import BackendMissing, PackError
from inprocml.schema import Schema

__all__ = ["read_rows"]


def read_rows(path: Path, schema: Schema, label: str | None) -> tuple[Any, list[Any] | None]:
    """Return the fields of ``schema`` as a DataFrame, and the column ``label``, if one is named.

    Columns that the schema does not know are left out. In CSV, where all is text, what the schema takes as
    text stays text. Raises ``PackError`` for a file or a column that is not there or not readable,
    ``BackendMissing`` without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise BackendMissing("reading a file of rows needs pandas: pip install 'inprocml[check]'") from error
    kind = path.suffix.lower()
    textual = {field.name: "str" for field in schema.fields if field.kind in {"category", "text", "instant"}}
    readers = {
        ".csv": lambda: pd.read_csv(path, dtype=textual),
        ".parquet": lambda: pd.read_parquet(path),
        ".jsonl": lambda: pd.read_json(path, lines=True, convert_dates=False, dtype=False),
        ".ndjson": lambda: pd.read_json(path, lines=True, convert_dates=False, dtype=False),
    }
    if kind not in readers:
        raise PackError(f"{path} is no file of rows known here; use one of {', '.join(sorted(readers))}")
    try:
        frame = readers[kind]()
    except (OSError, ValueError) as error:
        raise PackError(f"{path} cannot be read ({type(error).__name__}); mend or replace it") from error
    if label is not None and label not in frame.columns:
        raise PackError(f"{path} has no column {label!r}; it has: {', '.join(map(str, frame.columns[:20]))}")
    labels = None if label is None else frame[label].tolist()
    known = {field.name for field in schema.fields}
    return frame[[name for name in frame.columns if name in known]], labels
