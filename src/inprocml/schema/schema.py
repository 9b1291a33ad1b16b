"""The fields of a row together: every one of them is judged before anything is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.field import Canonical, Field, merged
from inprocml.schema.once import once
from inprocml.schema.refusal import Refused
from inprocml.schema.table import Opened, as_row, open_table, report, unknown_fields
from inprocml.schema.zones import local
from inprocml.values import Row, Table

__all__ = ["Schema"]


def _local(column: NDArray[np.datetime64], zone: ZoneInfo) -> NDArray[np.datetime64]:
    out, there = column.copy(), ~np.isnat(column)
    out.view(np.int64)[there] = local(column.view(np.int64)[there], zone)
    return out


@dataclass(frozen=True)
class Schema:
    """Which rows and tables are acceptable; ``fields`` are in the order of the features."""

    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.fields):
            raise ValueError("two fields have one name")

    @classmethod
    def merged(cls, fields: Iterable[Field]) -> Schema:
        """Return the schema of fields of which several may have one name: it accepts what all of them accept.

        ``ValueError`` for two that read it in different ways.
        """
        found: dict[str, Field] = {}
        for field in fields:
            found[field.name] = merged(found[field.name], field) if field.name in found else field
        return cls(tuple(found.values()))

    @once
    def names(self) -> frozenset[str]:
        """The names of all fields."""
        return frozenset(field.name for field in self.fields)

    def check(self, row: Row) -> tuple[Canonical, ...]:
        """Return the canonical values in field order; raises ``InvalidRow`` with every issue of the row."""
        row = row if type(row) is dict else as_row(row)
        values: list[Canonical] = []
        issues: dict[str, Refused] = {}
        for field in self.fields:
            try:
                values.append(field.check(row.get(field.name)))
            except Refused as refused:
                issues[field.name] = refused
        self.finish(row, issues)
        return tuple(values)

    def finish(self, row: Row, issues: dict[str, Refused]) -> None:
        """Raise ``InvalidRow`` for ``issues`` and for fields that the schema does not have, if any."""
        if not self.names.issuperset(row):
            issues = issues | unknown_fields(row, self.names)
        if issues:
            raise report(issues, None)

    def check_table(self, table: Table) -> dict[str, NDArray[Any]]:
        """Return the canonical column of every field, each of shape ``(rows,)``.

        Raises ``InvalidRow`` with every bad field and the position of the first bad row.
        """
        return self.check_opened(open_table(table, [field.name for field in self.fields]))

    def check_opened(self, opened: Opened) -> dict[str, NDArray[Any]]:
        """``check_table`` for a table whose raw columns were read already."""
        columns, issues = self.judge_opened(opened)
        if issues:
            raise report(issues, opened.rows)
        return columns

    def judge_opened(self, opened: Opened) -> tuple[dict[str, NDArray[Any]], dict[str, Refused]]:
        """Return the canonical columns of the fields that are sound, and the issues of the others."""
        issues = dict(opened.issues)
        columns: dict[str, NDArray[Any]] = {}
        for field in self.fields:
            if field.name in issues:
                continue
            try:
                columns[field.name] = field.check_column(opened.columns[field.name])
            except Refused as refused:
                issues[field.name] = refused
        return columns, issues

    def wall(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return canonical columns with every point in time as its zone's wall clock, ``datetime64[us]``."""
        return {
            field.name: columns[field.name] if field.zone is None else _local(columns[field.name], field.zone)
            for field in self.fields
        }

    def render(
        self, values: Mapping[str, NDArray[Any]] | tuple[Canonical, ...], indices: Iterable[int] | None = None
    ) -> list[dict[str, Any]]:
        """Return JSON-able rows that pass ``check`` and mean the same.

        ``values`` is what ``check`` or ``check_table`` returned; ``indices`` picks rows of a table, else all.
        """
        if isinstance(values, tuple):
            pairs = zip(self.fields, values, strict=True)
            return [{field.name: field.render(value) for field, value in pairs}]
        columns = {field: values[field.name] for field in self.fields}
        rows = min((len(column) for column in columns.values()), default=0)
        chosen = range(rows) if indices is None else indices
        return [{f.name: f.render(column[index]) for f, column in columns.items()} for index in chosen]
