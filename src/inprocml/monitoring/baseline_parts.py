"""The parts of a baseline as its document holds them, read strictly: counts on bins, and planes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Annotated, Any, Literal

from pydantic import Field

from inprocml.monitoring.bins import (
    LONGEST_KNOWN,
    MOST_KNOWN,
    TOP,
    BinCounts,
    HourOfWeekBins,
    NumberBins,
    ValueBins,
)
from inprocml.monitoring.planes import LARGEST, MOST_PLANES, Plane
from inprocml.schema.sound import Strict
from inprocml.schema.text import canonical_text

__all__ = [
    "FEW",
    "MOST_COUNTED",
    "PLANE",
    "Count",
    "HourOfWeek",
    "HourOfWeek2",
    "Number",
    "Number2",
    "PlaneDocument",
    "Planes",
    "Value",
    "Value2",
    "Value3",
    "plane_document",
]

PLANE = "plane@1"
_MOST_EDGES = 64
MOST_COUNTED = 10_000
"""Fields, and columns of outputs, that a baseline may have."""

Count = Annotated[int, Field(ge=0, lt=2**63)]
_Counts = Annotated[list[Count], Field(max_length=TOP + MOST_KNOWN + 3), Field(fail_fast=True)]
_Known = Annotated[list[str], Field(fail_fast=True)] | Annotated[list[int], Field(fail_fast=True)]


FEW = (Field(max_length=MOST_COUNTED), Field(fail_fast=True))


class Number(Strict):
    kind: Literal["number@1"]
    name: str
    counts: _Counts
    edges: Annotated[list[float], Field(max_length=_MOST_EDGES), Field(fail_fast=True)]
    infinite: Annotated[list[Count], Field(min_length=2, max_length=2)]

    def counted(self) -> BinCounts:
        infinite = (self.infinite[0], self.infinite[1])
        return BinCounts(NumberBins(tuple(self.edges)), tuple(self.counts), infinite)


class Value(Strict):
    kind: Literal["value@1"]
    name: str
    counts: _Counts
    top: Annotated[_Known, Field(max_length=TOP)]
    rest: Annotated[_Known, Field(max_length=MOST_KNOWN)]
    complete: bool

    def counted(self) -> BinCounts:
        for value in (*self.top, *self.rest):
            if isinstance(value, str) and canonical_text(value) != value:
                raise ValueError("values must be in Unicode normal form C")
        if any(len(str(value)) > LONGEST_KNOWN for value in self.rest) or self.rest != sorted(self.rest):
            raise ValueError("rest must be sorted, and of short values")
        return BinCounts(ValueBins(tuple(self.top), tuple(self.rest), self.complete), tuple(self.counts))


class HourOfWeek(Strict):
    kind: Literal["hour_of_week@1"]
    name: str
    counts: _Counts

    def counted(self) -> BinCounts:
        return BinCounts(HourOfWeekBins(), tuple(self.counts))


_Part = Annotated[float, Field(ge=0, le=1)]
_Parts = Annotated[list[_Part], Field(min_length=3, max_length=3), Field(fail_fast=True)]


class Number2(Number):
    unrest: _Parts


class Value2(Value):
    unrest: _Parts


class HourOfWeek2(HourOfWeek):
    unrest: _Parts


class PlaneDocument(Strict):
    kind: Literal["plane@1"]
    name: str
    size: Annotated[int, Field(ge=2, le=LARGEST)]
    base64: str

    def plane(self) -> Plane:
        content = b64decode(self.base64, validate=True)
        if b64encode(content).decode() != self.base64:
            raise ValueError("base64 has one spelling")
        return Plane(self.size, content)


Planes = Annotated[list[PlaneDocument], Field(min_length=1, max_length=MOST_PLANES), Field(fail_fast=True)]


class Value3(Value2):
    once: Count


def plane_document(name: str, plane: Plane) -> dict[str, Any]:
    """Return a plane as JSON holds it."""
    return {"kind": PLANE, "name": name, "size": plane.size, "base64": b64encode(plane.content).decode()}
