"""Vectors: a fixed number of numbers, each scaled by itself; zeros and a mark for missing if declared."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Canonical, Field
from inprocml.schema.number import LARGEST
from inprocml.schema.once import once
from inprocml.transform.limits import OVERFLOW, limit_where
from inprocml.transform.numeric import spread_of
from inprocml.transform.rowcode import RowCode
from inprocml.transform.specs import Vector
from inprocml.transform.step import emit_block

__all__ = ["VectorStep", "fit_vector"]


@dataclass(frozen=True)
class VectorStep:
    """``(x - offsets) / divisors``, number by number."""

    name: str
    spec: Vector
    offsets: tuple[float, ...] = ()
    divisors: tuple[float, ...] = ()
    unseen = None

    def __post_init__(self) -> None:
        wanted = self.spec.size if self.spec.scale == "standard" else 0
        if len(self.offsets) != wanted or len(self.divisors) != wanted:
            raise ValueError("a scaled vector has an offset and a divisor for each number, another has none")
        if not all(map(math.isfinite, self.offsets + self.divisors)):
            raise ValueError("offsets and divisors must be finite")
        if not all(divisor > 0.0 for divisor in self.divisors):
            raise ValueError("divisors must be positive")
        low, high = self.field.limits
        if not low < high:
            raise ValueError("the scale turns ordinary values into ones that float32 cannot hold")

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def field(self) -> Field:
        """Numbers that float32 holds once scaled, whichever of the numbers they are."""
        return Field(
            self.spec.field or self.name,
            "vector",
            required=self.spec.missing is None,
            limits=self._limits(),
            size=self.spec.size,
        )

    def _limits(self) -> tuple[float, float]:
        """Search for all numbers at once: a million of them, one by one, would take minutes."""
        offsets, divisors = np.array(self.offsets or [0.0]), np.array(self.divisors or [1.0])

        def above(x: float) -> bool:
            return bool(((x - offsets) / divisors > -OVERFLOW).all())

        def below(x: float) -> bool:
            return bool(((x - offsets) / divisors < OVERFLOW).all())

        with np.errstate(all="ignore"):
            lowest = float((offsets - OVERFLOW * divisors).max())
            highest = float((offsets + OVERFLOW * divisors).min())
            low = limit_where(above, LARGEST, -LARGEST, lowest)
            return low, limit_where(below, -LARGEST, LARGEST, highest)

    @property
    def width(self) -> int:
        """The number of features."""
        return self.spec.size + (self.spec.missing is not None)

    def names(self) -> list[str]:
        """Return the name of each feature."""
        marks = [] if self.spec.missing is None else [f"{self.name}=?missing"]
        return [f"{self.name}#{number}" for number in range(self.spec.size)] + marks

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32."""
        value: Any = values[0]
        if value is None:
            return bytes(4 * self.spec.size) + struct.pack("=f", 1.0)
        if self.offsets:
            scales = zip(value, self.offsets, self.divisors, strict=True)
            value = [(x - offset) / divisor for x, offset, divisor in scales]
        return struct.pack(f"={self.spec.size}f", *value) + bytes(4 * (self.width - self.spec.size))

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``."""
        x = columns[0]
        scaled = (x - np.array(self.offsets)) / np.array(self.divisors) if self.offsets else x
        absent = np.isnan(x[:, 0])
        out[:, : self.spec.size] = np.where(absent[:, None], 0.0, scaled)
        if self.spec.missing is not None:
            out[:, -1] = absent

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        emit_block(code, raws, self, [self.field.judge])

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "vector@1",
            "name": self.name,
            "field": spec.field,
            "size": spec.size,
            "scale": spec.scale,
            "missing": spec.missing,
            "offsets": list(self.offsets),
            "divisors": list(self.divisors),
        }


def fit_vector(name: str, spec: Vector, column: NDArray[np.float64]) -> VectorStep:
    """Learn each number's mean and standard deviation, from exact sums."""
    if spec.scale == "none":
        return VectorStep(name, spec)
    known = column[~np.isnan(column[:, 0])]
    if not len(known):
        raise TransformError(
            f"{name}: there is no value to learn from. Leave the field out, or mend the table."
        )
    scales = [spread_of(known[:, number]) for number in range(spec.size)]
    try:
        return VectorStep(name, spec, tuple(o for o, _ in scales), tuple(d for _, d in scales))
    except (ValueError, ArithmeticError):
        raise TransformError(
            f"{name}: the values are too far apart or too close to scale in float32. Use scale='none'."
        ) from None
