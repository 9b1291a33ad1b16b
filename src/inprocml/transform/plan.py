"""Fitted entries side by side: every door into the features, with all that can be done beforehand done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import InvalidRow
from inprocml.schema import Canonical, Refused, Schema
from inprocml.schema.columns import Column
from inprocml.schema.once import once
from inprocml.schema.table import ROW, Opened, as_row, open_table, report
from inprocml.transform.arguments import WIDEST
from inprocml.transform.rowcode import RowCode
from inprocml.transform.step import Arrays, Entry, Step, TensorSpec, TensorStep
from inprocml.values import FEATURES, Row, Table

__all__ = ["Plan"]

_MOST_GENERATED = 1_000  # entries up to which the row path is generated: compiling takes some 50 us for each

_PART = 64  # rows that are encoded at a time to say what is wrong: pictures of a whole table need not fit


@dataclass(frozen=True)
class Plan:
    """The entries in feature order; immutable, so that every thread may use it without a lock."""

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if self.width > WIDEST:
            raise ValueError(f"a transform may have at most {WIDEST} feature columns")
        names = [spec.name for spec in self.tensors]
        if len(set(names)) != len(names):
            raise ValueError("two tensors have one name: rename an entry")
        _ = self.row  # built here, and not in the first request

    @once
    def steps(self) -> tuple[Step, ...]:
        """The entries that make columns of the ``features`` tensor."""
        return tuple(entry for entry in self.entries if not hasattr(entry, "tensors"))  # type: ignore[misc]

    @once
    def others(self) -> tuple[TensorStep, ...]:
        """The entries that make tensors of their own."""
        return tuple(entry for entry in self.entries if hasattr(entry, "tensors"))  # type: ignore[misc]

    @once
    def tensors(self) -> tuple[TensorSpec, ...]:
        """The tensors it makes, ``features`` first if there are tabular entries."""
        own = [TensorSpec(FEATURES, (self.width,), "float32")] if self.steps else []
        return (*own, *(spec for step in self.others for spec in step.tensors))

    @once
    def schema(self) -> Schema:
        """Which rows can be encoded: what all entries that read a field accept of it."""
        return Schema.merged(field for entry in self.entries for field in entry.fields)

    @once
    def width(self) -> int:
        """Feature columns in all."""
        return sum(step.width for step in self.steps)

    @once
    def starts(self) -> tuple[int, ...]:
        """The first feature column of each step."""
        return tuple(accumulate((step.width for step in self.steps), initial=0))[: len(self.steps)]

    @once
    def row(self) -> Callable[[Row], Any]:
        """The row path: one raw row to fresh float32 of shape ``(width,)``, or to a dict of tensors."""
        if len(self.entries) > _MOST_GENERATED:
            return self.reference
        code = RowCode()
        variables = {field.name: f"r{place}" for place, field in enumerate(self.schema.fields)}
        for entry in self.entries:
            entry.emit(code, [variables[field.name] for field in entry.fields])
        optional = {field.name: None for field in self.schema.fields if not field.required}
        return code.compile(list(variables), optional, self.reference, as_row)

    def reference(self, row: Row) -> Any:
        """The row path in plain words: judge every field, then let every entry encode what was judged."""
        row = row if type(row) is dict else as_row(row)
        values: dict[str, Canonical] = {}
        issues: dict[str, Refused] = {}
        for field in self.schema.fields:
            try:
                values[field.name] = field.check(row.get(field.name))
            except Refused as refused:
                issues[field.name] = refused
        blocks: list[bytes] = []
        tensors: Arrays = {}
        for entry in self.entries:
            if issues.keys() & {field.name for field in entry.fields}:
                continue
            try:
                self._encode(entry, [values[field.name] for field in entry.fields], blocks, tensors)
            except Refused as refused:
                issues[entry.fields[0].name] = refused
        self.schema.finish(row, issues)
        return self._together(np.frombuffer(bytearray().join(blocks), dtype=np.float32), tensors)

    def _together(self, features: NDArray[np.float32], tensors: Arrays) -> Any:
        """The features alone where there is nothing else, or a dict of all tensors."""
        if not self.others:
            return features
        return ({FEATURES: features} if self.steps else {}) | tensors

    @staticmethod
    def _encode(entry: Any, values: list[Canonical], blocks: list[bytes], tensors: Arrays) -> None:
        if hasattr(entry, "tensors"):
            tensors.update(entry.one(values))
        else:
            blocks.append(entry.block(values))

    def table(self, table: Table) -> Any:
        """The column path: float32 of shape ``(rows, width)``, C-contiguous, or a dict of tensors."""
        return self.opened(open_table(table, [field.name for field in self.schema.fields]))

    def opened(self, opened: Opened) -> Any:
        """``table`` for one whose raw columns were read already."""
        for refused in opened.issues.values():
            raise self._report(opened, refused)
        return self._written(_Judged(self.schema, opened.columns), opened.rows, opened)

    def _written(self, columns: _Judged, rows: int, whole: Opened) -> Any:
        """Encode ``rows`` rows; where they are refused, everything that is wrong with the ``whole`` table."""
        out = np.zeros((rows, self.width), dtype=np.float32)
        tensors: Arrays = {}
        try:
            with np.errstate(all="ignore"):  # whatever the host set, arithmetic here is checked beforehand
                self._write(columns, out, tensors)
        except Refused as refused:
            raise self._report(whole, refused) from None
        return self._together(out, tensors)

    def _write(self, columns: _Judged, out: NDArray[np.float32], tensors: Arrays) -> None:
        for step, start in zip(self.steps, self.starts, strict=True):
            part = out[:, start : start + step.width]
            write_raw = getattr(step, "write_raw", None) if columns.raws else None
            if write_raw is None or not write_raw([columns.raws[field.name] for field in step.fields], part):
                step.write([columns[field.name] for field in step.fields], part)
        for other in self.others:
            tensors.update(other.many([columns[field.name] for field in other.fields]))

    def batches(self, table: Table, size: int) -> Iterator[Any]:
        """``table`` in parts of ``size`` rows: every field is judged first, then part after part encoded."""
        opened = open_table(table, [field.name for field in self.schema.fields])
        columns = self.schema.check_opened(opened)
        for start in range(0, opened.rows, size):
            part = {name: column[start : start + size] for name, column in columns.items()}
            yield self._written(_Judged(self.schema, {}, part), min(size, opened.rows - start), opened)

    def _report(self, opened: Opened, first: Refused) -> InvalidRow:
        """Find everything that is wrong with a table that an entry refused for ``first``."""
        columns, issues = self.schema.judge_opened(opened)
        for entry in self.entries:
            if not all(field.name in columns for field in entry.fields):
                continue
            try:
                self._encode_column(entry, [columns[field.name] for field in entry.fields], opened.rows)
            except Refused as refused:
                issues[entry.fields[0].name] = refused
        # a custom function that changes its mind finds nothing wrong the second time
        return report(issues or {ROW: first}, opened.rows)

    @staticmethod
    def _encode_column(entry: Any, columns: list[NDArray[Any]], rows: int) -> None:
        if hasattr(entry, "tensors"):
            _try_parts(entry, columns, rows)
        else:
            with np.errstate(all="ignore"):
                entry.write(columns, np.zeros((rows, entry.width), dtype=np.float32))


def _try_parts(entry: TensorStep, columns: list[NDArray[Any]], rows: int) -> None:
    """Encode a few rows at a time and keep nothing, up to the first part that is refused."""
    for start in range(0, rows, _PART):
        try:
            entry.many([column[start : start + _PART] for column in columns])
        except Refused as refused:
            refused.row += start
            raise


class _Judged(dict[str, NDArray[Any]]):
    """Canonical columns, each judged when it is first asked for."""

    def __init__(
        self, schema: Schema, raws: Mapping[str, Column], judged: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        super().__init__(judged or {})
        self._fields = {field.name: field for field in schema.fields}
        self.raws = raws

    def __missing__(self, name: str) -> NDArray[Any]:
        column = self[name] = self._fields[name].check_column(self.raws[name])
        return column
