"""Tables of every make, cut and counted; none of their makers is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inprocml.errors import BulkError
from inprocml.schema.raw import maker
from inprocml.values import Table

__all__ = ["asked", "cut", "is_table", "keyed", "length", "take"]


def is_table(source: object) -> bool:
    """Whether this is a table as ``Transform.transform`` takes it: a frame, a mapping or a list of rows."""
    if isinstance(source, list | tuple | Mapping):
        return True
    if maker(type(source)) == "polars":
        return hasattr(source, "columns")  # a LazyFrame too: it is refused in words of its own
    return hasattr(source, "__len__") and (hasattr(source, "columns") or hasattr(source, "column_names"))


def length(table: Table) -> int:
    """Return the number of rows; of a mapping, that of its longest column."""
    if isinstance(table, Mapping):
        return max((_count(column) for column in table.values()), default=0)
    return int(table.num_rows) if hasattr(table, "num_rows") else _count(table)


def asked(table: Table, key: str | None, names: frozenset[str]) -> tuple[Table, int]:
    """Return a mapping without what nobody asks for, which may be no column at all; and its number of rows.

    Other tables stay as they are. Raises ``BulkError`` for a column ``key`` of another length.
    """
    if not isinstance(table, Mapping):
        return table, length(table)
    fields = {name: column for name, column in table.items() if name in names}
    rows = length(fields or table)
    if key is None or key not in table or not fields:
        return fields or table, rows
    if _count(table[key]) != rows:
        raise BulkError(
            f"the column {key!r} has {_count(table[key])} values for {rows} rows; give one to each"
        )
    return fields | {key: table[key]}, rows


def _count(column: object) -> int:
    return len(column) if hasattr(column, "__len__") else 0


def cut(table: Table, start: int, stop: int) -> Table:
    """Return the rows from ``start`` to ``stop``, of the same make; what is no column stays as it is."""
    if isinstance(table, Mapping):
        return {name: _part(column, start, stop) for name, column in table.items()}
    return _part(table, start, stop)


def _part(values: Any, start: int, stop: int) -> Any:
    if hasattr(values, "iloc"):
        return values.iloc[start:stop]
    if maker(type(values)):
        return values[start:stop]
    sliceable = hasattr(values, "__getitem__") and hasattr(values, "__len__") and not isinstance(values, str)
    return values[start:stop] if sliceable else values


def take(table: Table, places: Sequence[int]) -> Table:
    """Return the rows at ``places``, of the same make."""
    if isinstance(table, Mapping):
        return {name: _picked(column, places) for name, column in table.items()}
    return _picked(table, places)


def _picked(values: Any, places: Sequence[int]) -> Any:
    if hasattr(values, "iloc"):
        return values.iloc[list(places)]
    if maker(type(values)) == "pyarrow":
        return values.take(list(places))
    if maker(type(values)) == "polars" or hasattr(values, "dtype"):
        return values[list(places)]
    return [values[place] for place in places]


def keyed(table: Table, key: str | None, names: frozenset[str]) -> tuple[Table, Any]:
    """Return the table and its column ``key``; rows lose it unless it is one of the fields ``names``.

    Raises ``BulkError`` where there is no such column, or a row without it.
    """
    if key is None:
        return table, None
    if isinstance(table, list | tuple):
        rows = [row for row in table if isinstance(row, Mapping) and key in row]
        if len(rows) < len(table):
            raise BulkError(
                f"a row has no {key!r}, which key= names: give one to every row, or leave key= out"
            )
        column = [row[key] for row in rows]
        return (table if key in names else [_without(row, key) for row in rows]), column
    present = table if isinstance(table, Mapping) else getattr(table, "column_names", None) or table.columns
    if key not in present:
        raise BulkError(
            f"there is no column {key!r}, which key= names: give one that there is, or leave it out"
        )
    if maker(type(table)) == "polars":
        return table, table[key].to_arrow()
    return table, table[key]


def _without(row: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != key}
