"""CSV files and JSON lines, read a bounded number of rows at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from inprocml.bulk.arrow import arrow
from inprocml.bulk.block import Block, Size
from inprocml.bulk.rows import Items
from inprocml.bulk.stamps import check_stamps, stamp
from inprocml.errors import BulkError
from inprocml.protocols import Clock
from inprocml.schema.field import Field

__all__ = ["Csv", "JsonLines", "TextFiles"]


class Reader(Protocol):
    """Reads one kind of file."""

    kind: str

    def read(self, path: Path) -> Iterator[Any]: ...


class TextFiles:
    """Files without a count of their rows, which ``reader`` reads; fulfils ``Input``."""

    total: Final = None
    exact: Final = True

    def __init__(
        self, reader: Reader, paths: Sequence[Path], key: str | None, names: frozenset[str], clock: Clock
    ) -> None:
        self._paths = paths
        self.document: Mapping[str, Any] = {"kind": reader.kind, "files": [stamp(path) for path in paths]}
        self._items = Items((item for path in paths for item in reader.read(path)), key, names, clock)

    def blocks(self, size: Size, start: int = 0) -> Iterator[Block]:
        """Yield the rows in blocks; the first ``start`` are read and passed over."""
        return self._items.blocks(size, start)

    def check(self) -> None:
        """Raise ``BulkError`` where a file is another than at the beginning."""
        check_stamps(self._paths, self.document["files"])

    def close(self) -> None:
        """Close the file that is being read."""
        self._items.close()


class JsonLines:
    """One JSON object a line, UTF-8; members that the model does not know are left out."""

    kind = "jsonl"

    def __init__(self, key: str | None, names: frozenset[str]) -> None:
        self._known = names if key is None else names | {key}

    def read(self, path: Path) -> Iterator[dict[str, object]]:
        """Yield the rows; raises ``BulkError`` where one cannot be read."""
        try:
            lines = path.open("rb")
        except OSError as error:
            raise BulkError(f"{path} cannot be read ({error.strerror}): mend or replace it") from error
        with lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield self._row(line, path, number)

    def _row(self, line: bytes, path: Path, number: int) -> dict[str, object]:
        try:
            row = dict(json.loads(line).items())
            return {name: row[name] for name in row if name in self._known}
        except (ValueError, RecursionError, AttributeError) as error:
            told = f"line {number} cannot be read as a JSON object ({type(error).__name__})"
            raise BulkError(f"{path}: {told}; write one object a line") from error


class Csv:
    """Comma-separated values with a header; an empty cell is missing, and text is text whatever it spells."""

    kind = "csv"

    def __init__(self, key: str | None, fields: Sequence[Field]) -> None:
        self._key, self._fields = key, {field.name: field for field in fields}

    def read(self, path: Path) -> Iterator[Any]:
        """Yield tables, or rows where a cell is not what it should be; raises ``BulkError``."""
        pa = arrow()
        from pyarrow import csv

        try:
            with csv.open_csv(path) as reader:
                names = self._known(reader.schema.names, path)
            options = csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=names,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            )
            with csv.open_csv(path, convert_options=options) as reader:
                for batch in reader:
                    yield self._typed(batch, names)
        except (pa.ArrowException, OSError) as error:
            raise BulkError(f"{path} cannot be read as CSV ({type(error).__name__}): mend it") from error

    def _known(self, header: Sequence[str], path: Path) -> list[str]:
        """Return the columns to read. Without one, pyarrow would read all, and no row would come of them."""
        if self._fields.keys().isdisjoint(header):
            raise BulkError(
                f"{path}: its header names none of the model's columns ({', '.join(self._fields)}); "
                "check the header, and that commas separate the cells"
            )
        names = [name for name in header if name in self._fields or name == self._key]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise BulkError(f"{path}: its header names {twice[0]!r} twice; rename one of the columns")
        return names

    def _typed(self, batch: Any, names: Sequence[str]) -> Any:
        """Make numbers of what should be numbers; where a cell is none, rows that hold it as it is."""
        pa = arrow()
        try:
            return pa.table({name: _cast(batch.column(name), self._kind(name)) for name in names})
        except pa.ArrowInvalid:  # the schema says which cell of which row it is
            columns = [_one_by_one(batch.column(name).to_pylist(), self._kind(name)) for name in names]
            return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    def _kind(self, name: str) -> str:
        field = self._fields.get(name)
        if field is None:
            return "text"
        return field.dtype if field.kind == "category" else field.kind


_ARROW = {"number": "float64", "int": "int64", "flag": "bool"}
_PYTHON: dict[str, Callable[[str], object]] = {
    "number": float,
    "int": int,
    "flag": {"true": True, "false": False, "1": True, "0": False}.__getitem__,
}


def _cast(column: Any, kind: str) -> Any:
    return column.cast(_ARROW[kind]) if kind in _ARROW else column


def _one_by_one(cells: list[str | None], kind: str) -> list[object]:
    read = _PYTHON.get(kind)
    return list(cells) if read is None else [cell if cell is None else _read(cell, read) for cell in cells]


def _read(cell: str, read: Callable[[str], object]) -> object:
    try:
        return read(cell)
    except (ValueError, KeyError):
        return cell
