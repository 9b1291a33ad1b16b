"""Numbers in bins: edges are kept in the units of the field, so that no logarithm is taken while serving."""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Canonical, Field
from inprocml.schema.once import once
from inprocml.transform.curve import Curve
from inprocml.transform.edges import MOST_BINS, first_reaching, quantile_edges
from inprocml.transform.numeric import learnt, number_test
from inprocml.transform.rowcode import MOST_BLOCKS, RowCode, block_of, blocks_of
from inprocml.transform.specs import Numeric
from inprocml.transform.step import one_hot

__all__ = ["BinnedStep", "fit_binned"]


@dataclass(frozen=True)
class BinnedStep:
    """Bin k holds ``edges[k-1] <= x < edges[k]``, the outer ones open; then missing, if it has a slot."""

    name: str
    spec: Numeric
    edges: tuple[float, ...]
    fill: float | None = None
    unseen = None

    def __post_init__(self) -> None:
        if not 0 < len(self.edges) < MOST_BINS or not all(low < high for low, high in pairwise(self.edges)):
            raise ValueError(f"edges must rise, and be fewer than {MOST_BINS}")
        if not all(math.isfinite(edge) for edge in self.edges):
            raise ValueError("edges must be finite")
        if (self.fill is None) != (self.spec.missing in {None, "flag"}):
            raise ValueError("a fill belongs to an optional field without a slot, and only to one")
        low, high = self.field.limits
        if self.fill is not None and not low <= self.fill <= high:
            raise ValueError("the fill is no value that the field accepts")

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def field(self) -> Field:
        """Any number that the logarithm, if there is one, has an answer for."""
        limits = Curve.of(self.spec).domain
        return Field(
            self.spec.field or self.name, "number", required=self.spec.missing is None, limits=limits
        )

    @property
    def slot(self) -> bool:
        """Whether missing has a bin of its own."""
        return self.spec.missing == "flag"

    @property
    def bins(self) -> int:
        """The number of bins, the slot for missing included."""
        return len(self.edges) + 1 + self.slot

    @property
    def width(self) -> int:
        """The number of features."""
        return self.bins if self.spec.encoding == "onehot" else 1

    def names(self) -> list[str]:
        """Return the name of each feature."""
        if self.spec.encoding == "ordinal":
            return [self.name]
        marks = [f"{self.name}=bin{place}" for place in range(len(self.edges) + 1)]
        return [*marks, f"{self.name}=?missing"] if self.slot else marks

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32."""
        return self._bytes(self._place(values[0]))

    def _place(self, value: Any) -> int:
        if value is None and self.slot:
            return self.bins - 1
        filled: Any = self.fill if value is None else value
        return bisect_right(self.edges, filled)

    def _bytes(self, place: int) -> bytes:
        return block_of(place, self.bins) if self.spec.encoding == "onehot" else struct.pack("=f", place)

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``."""
        column = columns[0]
        absent = np.isnan(column)
        places = np.searchsorted(
            np.array(self.edges),
            column if self.fill is None else np.where(absent, self.fill, column),
            "right",
        )
        if self.slot:
            places[absent] = self.bins - 1
        if self.spec.encoding == "ordinal":
            out[:, 0] = places
        else:
            one_hot(out, places)

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        raw, found = raws[0], code.variable()
        edges, find = code.bind(self.edges), code.bind(bisect_right)
        code.line(f"if {number_test(raw, self.field)}:")
        code.line(f"    {found} = {find}({edges}, {raw})")
        code.line("else:")
        code.line(f"    {found} = {code.bind(self._odd())}({raw})")
        if self.spec.encoding == "ordinal":
            code.scalar(found)
        elif self.bins <= MOST_BLOCKS:
            code.block(f"{code.bind(blocks_of(self.bins))}[{found}]", self.width)
        else:
            code.mark(found, self.width)

    def _odd(self) -> Callable[[object], int]:
        judge, place = self.field.judge, self._place
        return lambda value: place(judge(value))

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "binned@1",
            "name": self.name,
            "field": spec.field,
            "missing": spec.missing,
            "log": spec.log,
            "clip": None if spec.clip is None else list(spec.clip),
            "bins": spec.bins if isinstance(spec.bins, int) else None,
            "encoding": spec.encoding,
            "fill": self.fill,
            "edges": list(self.edges),
        }


def fit_binned(name: str, spec: Numeric, column: NDArray[np.float64]) -> BinnedStep:
    """Learn the edges of quantile bins, and what stands in for missing values."""
    known, fill = learnt(name, spec, column)
    fill = None if spec.missing == "flag" else fill
    if isinstance(spec.bins, tuple):
        return BinnedStep(name, spec, spec.bins, fill)
    assert spec.bins is not None
    curve = Curve.of(spec)
    filled = known if fill is None else np.where(np.isnan(column), fill, column)
    edges = quantile_edges(curve.many(filled), spec.bins)
    if not edges:
        raise TransformError(f"{name}: all values are equal, so there are no bins. Leave the field out.")
    return BinnedStep(name, spec, _unbent(spec, edges), fill)


def _unbent(spec: Numeric, edges: tuple[float, ...]) -> tuple[float, ...]:
    """Return the first values of the field that reach each edge once clipped and bent."""
    curve = Curve.of(spec)
    low, high = curve.ends
    reached = [first_reaching(curve.one, edge, low, high) for edge in edges if edge <= curve.one(high)]
    return tuple(sorted(set(reached)))
