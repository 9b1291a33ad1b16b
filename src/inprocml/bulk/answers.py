"""Answers as columns of a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from inprocml.bulk.arrow import arrow
from inprocml.bulk.block import Block
from inprocml.bulk.sieve import Sifted
from inprocml.errors import BulkError
from inprocml.values import Columns

__all__ = ["COLUMNS", "Answers"]

COLUMNS = ("row", "value", "probability", "probabilities", "version", "prediction_id", "issues")
"""What the columns of a file of answers are called; a key comes in the place of ``row``."""


class Answers:
    """Makes Arrow tables of answers, all of one schema.

    ``row`` (int64, from 0), or the column ``key``; ``value``; for ``labels`` also ``probability`` and
    ``probabilities`` (a struct, one member a label); ``version``; ``prediction_id``; and where refusals are
    kept, ``issues``: JSON from field to reason, null in a row that was answered.
    """

    def __init__(self, labels: tuple[Any, ...] | None, version: str, key: str | None, *, keep: bool) -> None:
        if key in COLUMNS[1:]:
            raise ValueError(f"key={key!r} is what a column of answers is called; rename that column first")
        pa = arrow()
        self._version, self._key, self._keep = version, key, keep
        self._labels = None if labels is None else pa.array(_spelt(labels))
        self._names = () if labels is None else tuple(map(str, labels))
        if len(set(self._names)) < len(self._names):  # 1 and "1"
            self._names = tuple(map(json.dumps, labels or ()))
        self._schema: Any = None

    def adopt(self, schema: Any) -> None:
        """Go on in the schema of what is written already, if anything is."""
        self._schema = None if schema is None else schema.remove_metadata()

    def table(self, sifted: Sifted, columns: Columns | None, ids: Sequence[str]) -> Any:
        """Return one block's answers; ``columns`` and ``ids`` are those of its good rows."""
        pa = arrow()
        named = self._answered(columns, ids)
        if sifted.refused:
            places = _places(sifted)
            named = {name: array.take(places) for name, array in named.items()}
        named = {self._key or "row": self._first(sifted)} | named
        named["version"] = pa.repeat(self._version, sifted.block.rows)
        named["prediction_id"] = named.pop("prediction_id")
        if self._keep:
            told = [sifted.refused.get(place) for place in range(sifted.block.rows)]
            named["issues"] = pa.array([issues and json.dumps(issues) for issues in told], pa.string())
        return self._fitted(pa.table(named))

    def empty(self) -> Any:
        """Return a table without rows, in the schema of those that were made or would have been."""
        if self._schema is None:
            key: list[Any] | None = None if self._key is None else []
            self.table(Sifted(Block([], 0, 0, key), None, 0, {}, None), None, [])
        return self._schema.empty_table()

    def _answered(self, columns: Columns | None, ids: Sequence[str]) -> dict[str, Any]:
        pa = arrow()
        made = {"prediction_id": pa.array(ids, pa.string())}
        values = np.zeros(0) if columns is None else columns.values
        if self._labels is None:
            return {"value": pa.array(values, pa.float64())} | made
        shares = None if columns is None else columns.probabilities
        if shares is None:
            shares = np.zeros((0, len(self._labels)))
        chosen = values.astype(np.int64)
        members = [pa.array(np.ascontiguousarray(shares[:, place])) for place in range(len(self._labels))]
        return {
            "value": self._labels.take(pa.array(chosen)),
            "probability": pa.array(shares[np.arange(len(chosen)), chosen]),
            "probabilities": pa.StructArray.from_arrays(members, list(self._names)),
        } | made

    def _first(self, sifted: Sifted) -> Any:
        pa = arrow()
        block = sifted.block
        if self._key is None:
            return pa.array(np.arange(block.first, block.first + block.rows, dtype=np.int64))
        try:
            return block.key if isinstance(block.key, pa.Array | pa.ChunkedArray) else pa.array(block.key)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise self._mixed(block.first) from error

    def _fitted(self, table: Any) -> Any:
        """Bring a table to the schema of the first, in which a key without any value is text."""
        pa = arrow()
        if self._schema is None:
            fields = [
                field.with_type(pa.string()) if field.type == pa.null() else field for field in table.schema
            ]
            self._schema = pa.schema(fields)
        if _is_text(self._schema.types[0]) and not _is_text(table.schema.types[0]):
            raise self._mixed(None)  # Arrow would spell anything as text
        try:
            return table.cast(self._schema)
        except (pa.ArrowException, ValueError) as error:
            raise self._mixed(None) from error

    def _mixed(self, row: int | None) -> BulkError:
        where = "" if row is None else f" from row {row} on"
        return BulkError(f"the column {self._key!r}{where} holds values of several types; make them of one")


def _is_text(kind: Any) -> bool:
    """Whether a column is text; one of nulls alone, or of a dictionary, may be."""
    types = arrow().types
    asked = (types.is_string, types.is_large_string, types.is_string_view, types.is_null, types.is_dictionary)
    return any(each(kind) for each in asked)


def _spelt(labels: tuple[Any, ...]) -> list[Any]:
    """Labels of several types cannot share a column: there they are spelt as JSON."""
    return list(labels) if len(set(map(type, labels))) == 1 else [json.dumps(label) for label in labels]


def _places(sifted: Sifted) -> Any:
    """Return for each row its place among the good ones, null for one that was refused."""
    pa = arrow()
    bad = np.zeros(sifted.block.rows, dtype=bool)
    bad[list(sifted.refused)] = True
    return pa.array(np.cumsum(~bad) - 1, mask=bad)
