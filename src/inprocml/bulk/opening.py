"""What ``predict_many`` was given -> an input that is read block by block."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from inprocml.bulk.block import Input
from inprocml.bulk.parquet import ParquetFiles
from inprocml.bulk.rows import Items, Whole
from inprocml.bulk.tables import is_table
from inprocml.bulk.text import Csv, JsonLines, TextFiles
from inprocml.errors import BulkError
from inprocml.protocols import Clock
from inprocml.schema import Schema

__all__ = ["is_held", "open_input"]

KINDS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def is_held(source: object) -> bool:
    """Whether ``source`` is a table in memory, rather than files or an iterator."""
    return is_table(source) and not _paths(source)


def open_input(source: Any, key: str | None, schema: Schema, clock: Clock) -> Input:
    """Return the rows of a table, of an iterator, or of files (``.parquet``, ``.csv``, ``.jsonl``).

    A folder stands for the files of a known kind in it, by name; hidden ones and those that begin with ``_``
    are passed over. Raises ``BulkError`` for files that cannot be read, ``TypeError`` for anything else.
    """
    paths = _paths(source)
    if paths:
        return _files([file for path in paths for file in _listed(path)], key, schema, clock)
    if is_table(source):
        return Whole(source, key, schema.names)
    if isinstance(source, Iterable):
        return Items(iter(source), key, schema.names, clock)
    raise TypeError(
        "predict_many takes a table (a DataFrame, columns, a list of rows), an iterator of rows or tables, "
        f"or paths of files, not {type(source).__name__}"
    )


def _paths(source: object) -> list[Path]:
    if isinstance(source, str | os.PathLike):
        return [Path(source)]
    if isinstance(source, list | tuple) and source and all(isinstance(s, str | os.PathLike) for s in source):
        return [Path(path) for path in source]
    return []


def _listed(path: Path) -> list[Path]:
    if ":/" in str(path)[2:]:
        raise BulkError(f"{path.name}: a URL is not followed here; open it, and give an iterator of tables")
    if not path.is_dir():
        return [path]
    names = sorted(entry.name for entry in path.iterdir() if entry.suffix.lower() in KINDS)
    files = [path / name for name in names if not name.startswith((".", "_"))]
    if not files:
        raise BulkError(f"{path}: this folder holds no files of rows; known are {', '.join(KINDS)}")
    return files


def _files(paths: Sequence[Path], key: str | None, schema: Schema, clock: Clock) -> Input:
    kinds = {KINDS.get(path.suffix.lower(), "") for path in paths}
    if len(kinds) > 1:
        raise BulkError(
            f"{paths[0].parent}: files of several kinds ({', '.join(sorted(kinds))}); give one kind"
        )
    kind = kinds.pop()
    if kind == "parquet":
        return ParquetFiles(paths, key, schema.names)
    if kind:
        reader = Csv(key, schema.fields) if kind == "csv" else JsonLines(key, schema.names)
        return TextFiles(reader, paths, key, schema.names, clock)
    raise BulkError(f"{paths[0]} is no file of rows known here; known are {', '.join(KINDS)}")
