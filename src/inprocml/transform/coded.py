"""Coded values: each known value has its features written down, as another library learnt them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Canonical, Field, Kind, Refused
from inprocml.schema.columns import Column, scalars
from inprocml.schema.once import once
from inprocml.transform.limits import OVERFLOW
from inprocml.transform.rowcode import MOST_BLOCKS, Lookup, RowCode
from inprocml.transform.specs_imported import Coded, Row
from inprocml.transform.step import emit_block

__all__ = ["CodedStep"]

_KINDS: dict[str, Kind] = {"text": "category", "integer": "category", "number": "number", "flag": "flag"}
_TYPES = {"text": (str,), "integer": (int,), "number": (float, int), "flag": (bool,)}


@dataclass(frozen=True)
class CodedStep:
    """One feature per label; nothing is learnt. Row ``len(categories)`` is unseen, the next is missing."""

    name: str
    spec: Coded

    def __post_init__(self) -> None:
        if any(not abs(value) < OVERFLOW for row in self.known for _, value in row):
            raise ValueError("rows must hold numbers that float32 can hold")
        if any(self.field.check(category) != category for category in self.spec.categories):
            raise ValueError("categories must be finite numbers, or strings in Unicode normal form C")

    @once
    def known(self) -> tuple[Row, ...]:
        """The rows by their places; those that are refused are empty."""
        return (*self.spec.rows, self.spec.unseen or (), self.spec.missing or ())

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def field(self) -> Field:
        """The field of the row that it reads."""
        dtype: Literal["str", "int"] = "int" if self.spec.reads == "integer" else "str"
        kind, required = _KINDS[self.spec.reads], self.spec.missing is None
        return Field(self.spec.field or self.name, kind, required=required, dtype=dtype)

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.spec.labels)

    @property
    def unseen(self) -> int | None:
        """The place of the one feature that is 1 for unseen values, if they have one."""
        row = self.spec.unseen or ()
        return row[0][0] if len(row) == 1 and row[0][1] == 1.0 and self.width > 1 else None

    def names(self) -> list[str]:
        """Return the name of each feature."""
        if self.width == 1:
            return [self.name]
        return [f"{self.name}={label}" for label in self.spec.labels]

    @once
    def places(self) -> dict[Any, int]:
        """The row of each canonical value that has one, but for those unseen."""
        places: dict[Any, int] = {category: place for place, category in enumerate(self.spec.categories)}
        if self.spec.missing is not None:
            places[None] = len(places) + 1
        return places

    def place(self, value: Canonical) -> int:
        """Return the row of a canonical value; may raise ``Refused``."""
        found = self.places.get(value)
        if found is not None:
            return found
        if self.spec.unseen is None:
            raise Refused(f"must be one of the {len(self.spec.categories)} values that training knew")
        return len(self.spec.categories)

    @once
    def lookup(self) -> Lookup[int]:
        """Raw values of the plain types to rows; all others by judging them first."""
        judge, place = self.field.judge, self.place
        return Lookup(self.places, lambda value: place(judge(value)))

    @once
    def rows(self) -> NDArray[np.float32]:
        """The rows as an array, up to the width where that is worth its memory."""
        rows = np.zeros((len(self.known), self.width), dtype=np.float32)
        for out, row in zip(rows, self.known, strict=True):
            _set(out, row)
        return rows

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32; may raise ``Refused``."""
        return self._bytes(self.place(values[0]))

    def _bytes(self, place: int) -> bytes:
        out = bytearray(4 * self.width)
        for where, value in self.known[place]:
            struct.pack_into("=f", out, 4 * where, value)
        return bytes(out)

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``; may raise ``Refused``."""
        places, bad = np.zeros(len(out), dtype=np.intp), []
        for row, value in enumerate(columns[0].tolist()):
            try:
                places[row] = self.place(self._plain(value))
            except Refused as refused:
                bad.append((row, refused))
        if bad:
            raise Refused(bad[0][1].reason, row=bad[0][0], count=len(bad))
        self._write(places, out)

    def _plain(self, value: Any) -> Canonical:
        """Return the canonical value of an element of a canonical column."""
        if value is None or value != value:  # noqa: PLR0124 - NaN marks missing in columns
            return None
        plain: Canonical = bool(value) if self.spec.reads == "flag" else value
        return plain

    def write_raw(self, columns: Sequence[Column], out: NDArray[np.float32]) -> bool:
        """Judge and write raw columns in one go; False, with ``out`` untouched, for all but the plainest."""
        values = scalars(columns[0])
        # equal values stand for one another only where they are of one type: 1 == 1.0 == True
        if self.spec.reads != "text" and not set(map(type, values)) <= {*_TYPES[self.spec.reads], type(None)}:
            return False
        try:
            places = np.fromiter(map(self.lookup.__getitem__, values), np.intp, len(values))
        except (Refused, TypeError):  # and what is not hashable
            return False
        self._write(places, out)
        return True

    def _write(self, places: NDArray[np.intp], out: NDArray[np.float32]) -> None:
        if self.width <= MOST_BLOCKS:
            out[:] = self.rows[places]
            return
        for row, place in zip(out, places.tolist(), strict=True):
            _set(row, self.known[place])

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        if self.width > MOST_BLOCKS:
            emit_block(code, raws, self, [self.field.judge])
            return
        judge, place, encode, raw = self.field.judge, self.place, self._bytes, raws[0]
        otherwise: Callable[[object], bytes] = lambda value: encode(place(judge(value)))  # noqa: E731
        known = Lookup({value: encode(row) for value, row in self.places.items()}, otherwise)
        found = f"{code.bind(known)}[{raw}]"
        if self.spec.reads != "text":  # True and 1.0 would be found as 1
            types = " or ".join(f"type({raw}) is {own.__name__}" for own in _TYPES[self.spec.reads])
            found = f"({found} if {types} else {code.bind(otherwise)}({raw}))"
        code.block(found, self.width)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "coded@1",
            "name": self.name,
            "field": spec.field,
            "reads": spec.reads,
            "categories": list(spec.categories),
            "labels": list(spec.labels),
            "rows": [_listed(row) for row in spec.rows],
            "unseen": None if spec.unseen is None else _listed(spec.unseen),
            "missing": None if spec.missing is None else _listed(spec.missing),
        }


def _set(out: NDArray[np.float32], row: Row) -> None:
    for place, value in row:
        out[place] = value


def _listed(row: Row) -> list[list[float]]:
    return [[place, value] for place, value in row]
