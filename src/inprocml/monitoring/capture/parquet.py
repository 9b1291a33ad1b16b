"""The one file of monitoring that knows pyarrow: columns of plain values to Parquet, and back."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inprocml.errors import BackendMissing, BulkError

__all__ = ["check_installed", "encoded", "load", "read", "together", "with_columns"]

_MISSING = "capturing rows needs pyarrow: pip install 'inprocml[parquet]'"
_KEPT_TOGETHER = "read one version at a time: captured(folder, version=...)"


def check_installed() -> None:
    """Raise ``BackendMissing`` where pyarrow is not installed; imports nothing."""
    if importlib.util.find_spec("pyarrow") is None:
        raise BackendMissing(_MISSING)


def load() -> Any:
    """Import pyarrow, now and on this thread; raises ``BackendMissing``."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise BackendMissing(_MISSING) from error
    return pa


def encoded(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Return a Parquet file of these columns; what is of no one type is written as JSON."""
    pa = load()
    stream = io.BytesIO()
    arrays = {name: _array(pa, values) for name, values in columns.items()}
    pa.parquet.write_table(pa.table(arrays), stream, compression="zstd")
    return stream.getvalue()


def _array(pa: Any, values: Sequence[Any]) -> Any:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())


def read(path: Path) -> Any | None:
    """Return the table of a file, None where it is there no more; ``BulkError`` for one that is damaged."""
    pa = load()
    try:
        with path.open("rb") as stream:
            return pa.parquet.read_table(stream)
    except FileNotFoundError:  # its time was over meanwhile
        return None
    except (pa.ArrowException, OSError) as error:
        raise BulkError(
            f"{path} cannot be read as Parquet ({type(error).__name__}): it was changed by another hand; "
            "move it away"
        ) from error


def together(tables: Sequence[Any]) -> Any:
    """Return one table of all rows; what some files lack is null. ``BulkError`` for types that exclude."""
    pa = load()
    if not tables:
        return pa.table({})
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise BulkError(f"captured rows have fields of unlike types: {_KEPT_TOGETHER}") from error


def with_columns(table: Any, columns: Mapping[str, Sequence[Any]]) -> Any:
    """Return the table with more columns."""
    pa = load()
    for name, values in columns.items():
        table = table.append_column(name, _array(pa, values))
    return table
