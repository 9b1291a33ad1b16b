"""Parquet files, read a bounded number of rows at a time; only the columns that are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from inprocml.bulk.arrow import arrow, parquet
from inprocml.bulk.block import Block, Size
from inprocml.bulk.stamps import check_stamps, stamp
from inprocml.bulk.tables import keyed
from inprocml.errors import BulkError

__all__ = ["ParquetFiles"]

READ_ROWS = 4096
_BUFFER = 2**20  # bytes of a column that are read at a time: a row group may be larger than memory


class ParquetFiles:
    """The rows of Parquet files, in the order given; fulfils ``Input``.

    Raises ``BulkError`` for a file that is not there, or is no Parquet file.
    """

    exact: Final = True

    def __init__(self, paths: Sequence[Path], key: str | None, names: frozenset[str]) -> None:
        self._paths, self._key, self._names = paths, key, names
        self._rows: list[int] = []
        self.document: Mapping[str, Any] = {"kind": "parquet", "files": [self._look(path) for path in paths]}
        self.total = sum(self._rows)

    def _look(self, path: Path) -> dict[str, Any]:
        with _opened(path) as file:
            schema = hashlib.sha256(str(file.schema_arrow.remove_metadata()).encode()).hexdigest()
            self._rows.append(file.metadata.num_rows)
            told = {"rows": file.metadata.num_rows, "row_groups": file.metadata.num_row_groups}
        return stamp(path) | told | {"schema": schema}

    def blocks(self, size: Size, start: int = 0) -> Iterator[Block]:
        """Yield the rows from ``start`` on; row groups before it are not read."""
        first = 0
        for path, rows in zip(self._paths, self._rows, strict=True):
            if start < first + rows:
                yield from self._of(path, size, first, max(start - first, 0))
            first += rows

    def _of(self, path: Path, size: Size, first: int, skip: int) -> Iterator[Block]:
        for at, batch in _batches(path, self._names | {self._key}, skip):
            done = 0
            while done < batch.num_rows:
                part = batch.slice(done, size())
                table, key = keyed(part, self._key, self._names)
                yield Block(table, part.num_rows, first + at + done, key)
                done += part.num_rows

    def check(self) -> None:
        """Raise ``BulkError`` where a file is another than at the beginning."""
        check_stamps(self._paths, self.document["files"])

    def close(self) -> None:
        """Do nothing: a file is open only while its rows are read."""


def _batches(path: Path, names: frozenset[str | None], skip: int) -> Iterator[tuple[int, Any]]:
    """Yield position and rows, beginning with row ``skip`` of the file."""
    with _opened(path) as file:
        groups: list[int] = []
        at = 0
        for group in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if groups or at + rows > skip:
                groups.append(group)
            else:
                at += rows
        columns = [name for name in file.schema_arrow.names if name in names]
        batches = file.iter_batches(READ_ROWS, row_groups=groups, columns=columns)
        while (batch := _next(batches, path)) is not None:
            after = at + batch.num_rows
            if after > skip:
                batch = batch.slice(max(skip - at, 0))
                yield after - batch.num_rows, batch
            at = after


def _next(batches: Iterator[Any], path: Path) -> Any:
    pa = arrow()
    try:
        return next(batches, None)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _opened(path: Path) -> Any:
    pa = arrow()
    try:
        return parquet().ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
    except FileNotFoundError:
        raise BulkError(f"{path}: there is no such file; give the path of one that is there") from None
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BulkError:
    return BulkError(f"{path} cannot be read as Parquet ({type(error).__name__}): mend or replace it")
