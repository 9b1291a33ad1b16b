"""Flags: 1 for true, 0 for false, and a feature for missing if declared."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Canonical, Field
from inprocml.schema.once import once
from inprocml.transform.rowcode import Lookup, RowCode
from inprocml.transform.specs import Flag

__all__ = ["FlagStep"]


@dataclass(frozen=True)
class FlagStep:
    """One feature, and one for missing if declared; nothing is learnt."""

    name: str
    spec: Flag
    unseen = None

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def field(self) -> Field:
        """The field of the row that it reads."""
        return Field(self.spec.field or self.name, "flag", required=self.spec.missing is None)

    @property
    def width(self) -> int:
        """The number of features."""
        return 1 + (self.spec.missing is not None)

    def names(self) -> list[str]:
        """Return the name of each feature."""
        return [self.name] if self.width == 1 else [self.name, f"{self.name}=?missing"]

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32."""
        value = values[0]
        if self.width == 1:
            return struct.pack("=f", value is True)
        return struct.pack("=2f", value is True, value is None)

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``."""
        out[:, 0] = columns[0] == 1.0
        if self.width == 2:
            out[:, 1] = np.isnan(columns[0])

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        raw, judge, block = raws[0], self.field.judge, self.block
        known: list[Canonical] = [True, False] if self.width == 1 else [True, False, None]
        lookup = Lookup({value: block([value]) for value in known}, lambda value: block([judge(value)]))
        # 1 and 0 would be found as true and false
        odd = code.bind(lambda value: block([judge(value)]))
        code.block(f"({code.bind(lookup)}[{raw}] if type({raw}) is bool else {odd}({raw}))", self.width)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        return {
            "kind": "flag@1",
            "name": self.name,
            "field": self.spec.field,
            "missing": self.spec.missing,
        }
