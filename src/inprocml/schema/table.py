"""Tables of every make, opened: how many rows, and the raw column of each field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from inprocml.errors import InvalidRow
from inprocml.schema.columns import SEVERAL, Column, as_column, length
from inprocml.schema.raw import maker
from inprocml.schema.refusal import Refused
from inprocml.values import Row, Table

__all__ = ["ROW", "Opened", "as_row", "open_table", "unknown_fields"]

NO_COLUMN = "is missing: the table has no column of this name"
ROW = "(row)"
"""The name under which a row that is no row at all is reported."""

_LISTED = 20
_NAME = 80


@dataclass(slots=True)
class Opened:
    """A table's raw columns by field name, and what is already known to be wrong with it."""

    rows: int
    columns: dict[str, Column] = field(default_factory=dict)
    issues: dict[str, Refused] = field(default_factory=dict)


def open_table(table: Table, names: Sequence[str]) -> Opened:
    """Read the columns called ``names`` from a frame, a mapping of columns, or a list of rows.

    A frame is a pandas or polars DataFrame, a pyarrow Table or RecordBatch, or what behaves like the first.
    ``TypeError`` for anything else. Frames and mappings may have more columns; rows may not.
    """
    if isinstance(table, (list, tuple)):
        return _from_rows(table, names)
    if isinstance(table, Mapping):
        return _from_columns(table.__getitem__, names, set(table), None, table)
    make = maker(type(table))
    if make == "polars" and not hasattr(table, "__len__"):
        raise TypeError("a LazyFrame has no rows yet: give the DataFrame that its collect() returns")
    if make == "pyarrow" and hasattr(table, "column_names"):
        return _from_arrow(table, names)
    if make == "pandas" and type(table).__name__ == "DataFrame":
        return _from_pandas(table, names)
    if hasattr(table, "columns") and hasattr(table, "__getitem__") and hasattr(table, "__len__"):
        return _from_columns(table.__getitem__, names, set(table.columns), len(table))
    raise TypeError(
        "a table is a DataFrame, a mapping of columns or a list of rows (or a pyarrow Table), "
        f"not {type(table).__name__}"
    )


def as_row(row: object) -> dict[str, object]:
    """Return the row as an exact ``dict``; raises ``InvalidRow`` if it is no mapping."""
    if isinstance(row, Mapping):
        return {name: row[name] for name in row}
    raise InvalidRow({ROW: f"must be a mapping of field names to values, not {type(row).__name__}"})


def unknown_fields(row: Row, known: frozenset[str]) -> dict[str, Refused]:
    """Return an issue per field that the schema does not have, the names cut to a length fit to print."""
    unknown = [name for name in row if name not in known]
    issues = {
        _printable(name): Refused("is not a field of this model: remove it") for name in unknown[:_LISTED]
    }
    if len(unknown) > _LISTED:
        issues[f"({len(unknown) - _LISTED} more)"] = Refused("are not fields of this model: remove them")
    return issues


def _printable(name: object) -> str:
    if not isinstance(name, str):
        return f"(a name of type {type(name).__name__})"
    name = name if len(name) <= _NAME else name[:_NAME] + "..."
    return name if name.isprintable() else ascii(name)[1:-1]


def _from_rows(rows: Sequence[Any], names: Sequence[str]) -> Opened:
    plain = rows if set(map(type, rows)) <= {dict} else _plain(rows)
    opened = Opened(len(plain))
    try:
        opened.columns = _turned(plain, names)
    except KeyError:  # a field is absent somewhere
        opened.columns = {name: [row.get(name) for row in plain] for name in names}
    else:
        if set(map(len, plain)) <= {len(names)}:
            return opened  # all have every field, and nothing else
    known = frozenset(names)
    for position, row in enumerate(plain):
        if not known.issuperset(row):
            _merge(opened.issues, unknown_fields(row, known), position)
    return opened


def _turned(rows: Sequence[Any], names: Sequence[str]) -> dict[str, Column]:
    """Return the columns of rows; each row is visited once, for its values lie together in memory."""
    if len(names) < 2 or not rows:
        return {name: [row[name] for row in rows] for name in names}
    turned = zip(*map(itemgetter(*names), rows), strict=True)
    return {name: list(column) for name, column in zip(names, turned, strict=True)}


def _plain(rows: Sequence[Any]) -> list[dict[str, object]]:
    for position, row in enumerate(rows):
        if not isinstance(row, Mapping):
            reason = f"must be a mapping of field names to values, not {type(row).__name__}"
            raise InvalidRow({ROW: reason}, row=position)
    return [row if type(row) is dict else as_row(row) for row in rows]


def _merge(issues: dict[str, Refused], found: dict[str, Refused], row: int) -> None:
    for name, refused in found.items():
        if name in issues:
            issues[name].count += 1
        elif len(issues) <= _LISTED:
            refused.row = row
            issues[name] = refused


def _from_pandas(frame: Any, names: Sequence[str]) -> Opened:
    """Read a plain DataFrame past ``frame[name]``, which would take most of the time."""
    arrays = getattr(frame, "_iter_column_arrays", None)
    labels = frame.columns
    if arrays is None or not labels.is_unique:
        return _from_columns(frame.__getitem__, names, set(labels), len(frame))
    columns = dict(zip(labels.tolist(), arrays(), strict=True))
    return _from_columns(columns.__getitem__, names, columns.keys(), len(frame))


def _from_arrow(table: Any, names: Sequence[str]) -> Opened:
    labels = table.column_names
    columns = dict(zip(labels, table.columns, strict=True))
    opened = _from_columns(columns.__getitem__, names, columns.keys(), table.num_rows)
    for name in names if len(columns) < len(labels) else ():
        if labels.count(name) > 1:
            del opened.columns[name]
            opened.issues[name] = Refused(SEVERAL)
    return opened


def _from_columns(
    read: Callable[[str], object],
    names: Sequence[str],
    present: AbstractSet[str],
    rows: int | None,
    mapping: Mapping[str, object] | None = None,
) -> Opened:
    opened = Opened(0)
    for name in names:
        if (
            name not in present
        ):  # a row may leave a field out; a table without the column is a slip of the pen
            opened.issues[name] = Refused(NO_COLUMN)
            continue
        try:
            opened.columns[name] = as_column(read(name))
        except Refused as refused:
            opened.issues[name] = refused
    opened.rows = _rows(opened, mapping or {}) if rows is None else rows
    for name in names:
        if name in opened.columns and length(opened.columns[name]) != opened.rows:
            found = length(opened.columns.pop(name))
            opened.issues[name] = Refused(f"has {found} values in a table of {opened.rows} rows")
    return opened


def _rows(opened: Opened, table: Mapping[str, object]) -> int:
    """A mapping of columns has as many rows as most of its columns; without any known one, as its first."""
    lengths = [length(column) for column in opened.columns.values()]
    if lengths:
        return max(sorted(lengths), key=lengths.count)
    return next((_length(values) for values in table.values()), 0)


def _length(values: object) -> int:
    try:
        return length(as_column(values))
    except Refused:
        return 0


def report(issues: Mapping[str, Refused], rows: int | None) -> InvalidRow:
    """Return the one error for all fields; for a table of several rows each reason says where it begins."""
    if rows is None or rows <= 1:
        return InvalidRow(
            {name: refused.reason for name, refused in issues.items()}, row=None if rows is None else 0
        )
    first = min(refused.row for refused in issues.values())
    return InvalidRow({name: _located(refused) for name, refused in issues.items()}, row=first)


def _located(refused: Refused) -> str:
    if refused.reason == NO_COLUMN:
        return refused.reason
    if refused.count == 1:
        return f"{refused.reason} (row {refused.row})"
    return f"{refused.reason} ({refused.count} rows, the first is {refused.row})"
