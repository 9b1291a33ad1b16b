"""Categories: one feature per known value, one for everything else, one for missing if declared."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import NoneType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Canonical, Field, Refused
from inprocml.schema.columns import Column, scalars
from inprocml.schema.once import once
from inprocml.transform.rowcode import MOST_BLOCKS, Lookup, RowCode, block_of, blocks_of
from inprocml.transform.specs import Category
from inprocml.transform.step import Arrays, TensorSpec, one_hot

__all__ = ["CategoryStep", "IndexStep", "fit_category"]


@dataclass(frozen=True)
class Slots:
    """``categories`` are sorted and of one type, ``dtype``; the unseen slot follows them, then missing."""

    name: str
    spec: Category
    dtype: Literal["str", "int"]
    categories: tuple[str, ...] | tuple[int, ...]

    def __post_init__(self) -> None:
        if any(type(category) is not self.own for category in self.categories):
            raise ValueError("categories must be of the declared type")
        rising: Any = pairwise(self.categories)
        if not all(one < other for one, other in rising):
            raise ValueError("categories must be sorted, and none may appear twice")
        if self.dtype == "int" and (self.spec.strip or self.spec.casefold):
            raise ValueError("strip and casefold are for strings; the categories are integers")
        judge = self.field.judge
        if any(judge(category) != category for category in self.categories):
            raise ValueError(
                "categories must be in Unicode normal form C, stripped and folded if so declared"
            )

    @property
    def own(self) -> type[str | int]:
        """The type of the categories."""
        return str if self.dtype == "str" else int

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def field(self) -> Field:
        """The field of the row that it reads."""
        spec = self.spec
        return Field(
            spec.field or self.name,
            "category",
            required=spec.missing is None,
            dtype=self.dtype,
            strip=spec.strip,
            casefold=spec.casefold,
        )

    @property
    def unseen_value(self) -> int:
        """The slot's number for values that training has not seen."""
        return len(self.categories)

    @property
    def size(self) -> int:
        """The number of slots."""
        return len(self.categories) + 1 + (self.spec.missing is not None)

    @once
    def places(self) -> dict[Any, int]:
        """The slot of each canonical value that has one of its own."""
        places: dict[Any, int] = {category: place for place, category in enumerate(self.categories)}
        if self.spec.missing is not None:
            places[None] = len(self.categories) + 1
        return places

    def slot(self, value: Canonical) -> int:
        """Return the slot of a canonical value."""
        return self.places.get(value, len(self.categories))

    @once
    def lookup(self) -> Lookup[int]:
        """Raw values to slots: those known in canonical form at once, all others by judging them first."""
        judge, slot = self.field.judge, self.slot
        return Lookup(self.places, lambda value: slot(judge(value)))

    def slots(self, column: NDArray[Any]) -> NDArray[np.intp]:
        """Return the slots of a canonical column."""
        get, unseen = self.places.get, len(self.categories)
        return np.array([get(value, unseen) for value in column.tolist()], dtype=np.intp)

    def slots_raw(self, column: Column) -> NDArray[Any] | None:
        """Return the slots of a raw column, ``None`` for all but the plainest."""
        values = scalars(column)
        # equal values stand for one another only where they are of one type: 1 == 1.0 == True
        if self.own is int and not set(map(type, values)) <= {int, NoneType}:
            return None
        try:
            if self.size <= 256:  # quicker by half
                return np.frombuffer(bytes(map(self.lookup.__getitem__, values)), dtype=np.uint8)
            return np.fromiter(map(self.lookup.__getitem__, values), np.intp, len(values))
        except (Refused, TypeError):  # and what is not hashable
            return None

    def found(self, code: RowCode, raw: str, known: Any, otherwise: Callable[[object], Any]) -> str:
        """Return an expression of what ``known`` or else ``otherwise`` makes of a raw value."""
        lookup = code.bind(Lookup(known, otherwise))
        if self.dtype == "str":
            return f"{lookup}[{raw}]"
        # True and 1.0 would be found as 1
        return f"({lookup}[{raw}] if type({raw}) is int else {code.bind(otherwise)}({raw}))"

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "category@1",
            "name": self.name,
            "field": spec.field,
            "min_count": spec.min_count,
            "max_categories": spec.max_categories,
            "missing": spec.missing,
            "encoding": spec.encoding,
            "strip": spec.strip,
            "casefold": spec.casefold,
            "dtype": self.dtype,
            "categories": list(self.categories),
        }


class CategoryStep(Slots):
    """The slots as features: one each, or the number of the slot."""

    @property
    def ordinal(self) -> bool:
        """Whether the slot's number is the one feature."""
        return self.spec.encoding == "ordinal"

    @property
    def unseen(self) -> int | None:
        """The place of the unseen slot among the features of this step."""
        return None if self.ordinal else len(self.categories)

    @property
    def width(self) -> int:
        """The number of features."""
        return 1 if self.ordinal else self.size

    def names(self) -> list[str]:
        """Return the name of each feature."""
        if self.ordinal:
            return [self.name]
        known = [f"{self.name}={_escaped(category)}" for category in self.categories]
        marks = ["?unseen"] if self.spec.missing is None else ["?unseen", "?missing"]
        return known + [f"{self.name}={mark}" for mark in marks]

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32."""
        return self._bytes(self.slot(values[0]))

    def _bytes(self, slot: int) -> bytes:
        if self.ordinal:
            return struct.pack("=f", slot)
        return blocks_of(self.size)[slot] if self.size <= MOST_BLOCKS else block_of(slot, self.size)

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``."""
        self._write(self.slots(columns[0]), out)

    def write_raw(self, columns: Sequence[Column], out: NDArray[np.float32]) -> bool:
        """Judge and write raw columns in one go; False, with ``out`` untouched, for all but the plainest."""
        slots = self.slots_raw(columns[0])
        if slots is None:
            return False
        self._write(slots, out)
        return True

    def _write(self, slots: NDArray[Any], out: NDArray[np.float32]) -> None:
        if self.ordinal:
            out[:, 0] = slots
        else:
            one_hot(out, slots)

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        judge, slot, encode = self.field.judge, self.slot, self._bytes
        if self.ordinal or self.size <= MOST_BLOCKS:
            known = {value: encode(place) for value, place in self.places.items()}
            found = self.found(code, raws[0], known, lambda value: encode(slot(judge(value))))
            code.block(found, self.width)
        else:
            code.mark(self.found(code, raws[0], self.places, lambda value: slot(judge(value))), self.width)


class IndexStep(Slots):
    """The slot's number as an int64 tensor of its own, for an embedding of ``size`` rows."""

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Which tensors."""
        return (TensorSpec(self.name, (), "int64", size=self.size),)

    def one(self, values: Sequence[Canonical]) -> Arrays:
        """Return the tensors of canonical values, without an axis for rows."""
        return {self.name: np.array(self.slot(values[0]), dtype=np.int64)}

    def many(self, columns: Sequence[NDArray[Any]]) -> Arrays:
        """Return the tensors of canonical columns, rows first."""
        return {self.name: self.slots(columns[0]).astype(np.int64)}

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        judge, one = self.field.judge, self.one
        code.tensor(f"{code.bind(lambda value: one([judge(value)]))}({raws[0]})")


def fit_category(
    name: str, spec: Category, dtype: Literal["str", "int"], column: NDArray[np.object_]
) -> CategoryStep | IndexStep:
    """Learn which categories are frequent enough; ties are broken by value, so row order is no matter."""
    counts = Counter(value for value in column.tolist() if value is not None)
    frequent = [value for value, count in counts.items() if count >= spec.min_count]
    if not frequent:
        raise TransformError(
            f"{name}: no category appears {spec.min_count} times. Lower min_count, or leave the field out."
        )
    kept = sorted(sorted(frequent), key=lambda value: -counts[value])[: spec.max_categories]
    return category_step(name, spec, dtype, tuple(sorted(kept)))


def category_step(
    name: str, spec: Category, dtype: Literal["str", "int"], categories: tuple[Any, ...]
) -> CategoryStep | IndexStep:
    """Return the step of the declared encoding."""
    return (IndexStep if spec.encoding == "index" else CategoryStep)(name, spec, dtype, categories)


def _escaped(category: str | int) -> str:
    """Keep the marks for unseen and missing apart from categories that are spelt like them."""
    text = str(category)
    return "?" + text if text.startswith("?") else text
