"""Hashed strings: one feature per bucket, one for missing if declared; nothing is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Canonical, Field, Refused
from inprocml.schema.columns import Column, scalars
from inprocml.schema.once import once
from inprocml.transform.murmur import murmurhash3
from inprocml.transform.rowcode import MOST_BLOCKS, Lookup, RowCode, block_of, blocks_of
from inprocml.transform.specs import Hashed
from inprocml.transform.step import one_hot

__all__ = ["HashedStep"]

_KEPT = 16_384  # strings whose bucket is remembered: a hash in Python costs as much as the rest of a row


@dataclass(frozen=True)
class HashedStep:
    """``spec.buckets`` features, and one for missing if declared."""

    name: str
    spec: Hashed
    unseen = None  # a bucket has no way to tell

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def field(self) -> Field:
        """The field of the row that this step reads."""
        return Field(self.spec.field or self.name, "text", required=self.spec.missing is None)

    @property
    def width(self) -> int:
        """The number of features."""
        return self.spec.buckets + (self.spec.missing is not None)

    def names(self) -> list[str]:
        """Return the name of each feature."""
        marks = [] if self.spec.missing is None else [f"{self.name}=?missing"]
        return [f"{self.name}#{number}" for number in range(self.spec.buckets)] + marks

    def place(self, value: Canonical) -> int:
        """Return the place of the one feature that is 1 for a canonical value."""
        if value is None:
            return self.spec.buckets
        assert isinstance(value, str)
        return abs(murmurhash3(value)) % self.spec.buckets

    @once
    def lookup(self) -> Lookup[int]:
        """Raw values to places; the latest are kept."""
        judge, place = self.field.judge, self.place
        return Lookup({}, lambda value: place(judge(value)), most=_KEPT)

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32."""
        return block_of(self.place(values[0]), self.width)

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``."""
        places = [self.place(value) for value in columns[0].tolist()]
        one_hot(out, np.array(places, dtype=np.intp))

    def write_raw(self, columns: Sequence[Column], out: NDArray[np.float32]) -> bool:
        """Judge and write raw columns in one go; False, with ``out`` untouched, for all but the plainest."""
        values = scalars(columns[0])
        try:
            places = np.fromiter(map(self.lookup.__getitem__, values), np.intp, len(values))
        except (Refused, TypeError):  # and what is not hashable
            return False
        one_hot(out, places)
        return True

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        if self.width > MOST_BLOCKS:
            code.mark(f"{code.bind(self.lookup)}[{raws[0]}]", self.width)
            return
        blocks = blocks_of(self.width)
        judge, place = self.field.judge, self.place
        kept = Lookup({}, lambda value: blocks[place(judge(value))], most=_KEPT)
        code.block(f"{code.bind(kept)}[{raws[0]}]", self.width)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "hashed@1",
            "name": self.name,
            "field": spec.field,
            "buckets": spec.buckets,
            "missing": spec.missing,
        }
