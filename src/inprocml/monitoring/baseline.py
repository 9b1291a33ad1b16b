"""The training distribution that travels with a model: bins, and how many training rows fell into each."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from inprocml.errors import PackError, Unsupported
from inprocml.monitoring.bins import (
    LONGEST_KNOWN,
    MOST_KNOWN,
    TOP,
    BinCounts,
    Bins,
    HourOfWeekBins,
    NumberBins,
    ValueBins,
    numeric_edges,
)
from inprocml.monitoring.holdout import KINDS as HOLDOUT_KINDS
from inprocml.monitoring.holdout import Holdout, HoldoutDocument
from inprocml.monitoring.planes import LARGEST, MOST_PLANES, Plane
from inprocml.schema import Kind, Schema, dump, parse
from inprocml.schema.sound import no_crowd, sound
from inprocml.schema.strict_json import LARGEST_TEXT, corrupt
from inprocml.schema.text import LONGEST, canonical_text

__all__ = ["CALM", "MOST_COUNTED", "Baseline", "Role", "Unrest", "build_baseline"]

_WHAT = "the baseline"
_KIND = "baseline@3"
_SECOND = "baseline@2"  # without what was seen once
_FIRST = "baseline@1"  # without unrest
_PLANE = "plane@1"
_MOST_EDGES = 64
MOST_COUNTED = 10_000
"""Fields, and columns of outputs, that a baseline may have."""

Role = Literal["input", "output"]

Unrest = tuple[float, float, float]
"""How far stretches of the training rows differ: of location, scale and shares the variance between them, as
a part of the variance of one row; from 0 to 1."""

CALM: Unrest = (0.0, 0.0, 0.0)

_WHOLE = frozenset({"vector", "content", "signal"})  # values of which hardly any comes twice


@dataclass(frozen=True)
class Baseline:
    """``rows`` training rows, counted per field and per output column (``name``, or ``name[j]``).

    ``unrest`` holds the columns whose stretches differ, by role and name; all others are calm. ``planes``
    holds what was learnt of fields that are vectors. ``holdout`` counts labelled rows that the model was not
    trained on, if there were any. ``once`` holds, by the name of a field of categories, how many values came
    once, where there are any.
    """

    rows: int
    fields: Mapping[str, BinCounts]
    outputs: Mapping[str, BinCounts]
    unrest: Mapping[tuple[Role, str], Unrest] = field(default_factory=lambda: MappingProxyType({}))
    planes: Mapping[str, Plane] = field(default_factory=lambda: MappingProxyType({}))
    holdout: Holdout | None = None
    once: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name, once in self.once.items():
            self.fields[name].left_out(once)
        if any(counts.rows != self.rows for counts in (*self.fields.values(), *self.outputs.values())):
            raise ValueError("the counts of every field must sum to the number of rows")

    def count(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, BinCounts]:
        """Count checked columns (``Transform.columns``) of other rows on the same bins; results add up."""
        return {name: counted.bins.count(columns[name]) for name, counted in self.fields.items()}

    def count_outputs(self, outputs: Mapping[str, ArrayLike]) -> dict[str, BinCounts]:
        """Count outputs of other rows on the same bins; arrays of shape ``(rows,)`` or ``(rows, k)``."""
        columns = _output_columns(outputs)
        return {name: counted.bins.count(columns[name]) for name, counted in self.outputs.items()}

    def to_json(self) -> str:
        """Return canonical JSON; ``PackError`` if it would be larger than a reader accepts."""
        document: dict[str, Any] = {
            "kind": _KIND,
            "rows": self.rows,
            "fields": [self._document("input", name, counts) for name, counts in self.fields.items()],
            "outputs": [self._document("output", name, counts) for name, counts in self.outputs.items()],
        }
        if self.planes:
            document["planes"] = [_plane(name, plane) for name, plane in self.planes.items()]
        if self.holdout is not None:
            document["holdout"] = self.holdout
        if max(len(self.fields), len(self.outputs)) > MOST_COUNTED:
            raise PackError(
                f"the baseline counts over {MOST_COUNTED} fields or columns of outputs. "
                "Serve fewer columns, or make one vector of the numbers."
            )
        text = dump(document)
        if len(text.encode()) > LARGEST_TEXT:
            raise PackError(f"the baseline takes more than {LARGEST_TEXT} bytes. Leave out some text fields.")
        return text

    @classmethod
    def from_json(cls, text: str | bytes) -> Baseline:
        """Return what ``to_json`` wrote; ``Unsupported`` for an unknown kind, ``Corrupt`` for all else."""
        document = parse(text, what=_WHAT)
        _check_kinds(document)
        kind = document.get("kind") if isinstance(document, dict) else None
        if kind == _FIRST:
            return sound(_WHAT, lambda: _First.model_validate(document).baseline())
        if kind == _SECOND:
            return sound(_WHAT, lambda: _Second.model_validate(document).baseline())
        return sound(_WHAT, lambda: _Document.model_validate(document).baseline())

    def fitting(self, schema: Schema) -> Baseline:
        """Return this, if its planes are of vectors that rows of ``schema`` have; else ``Corrupt``."""
        sizes = {field.name: field.size for field in schema.fields if field.kind == "vector"}
        for name, plane in self.planes.items():
            if sizes.get(name) != plane.size:
                raise corrupt(_WHAT, f"it tells of vectors {name[:64]!a} that rows do not have")
        return self

    def _document(self, role: Role, name: str, counted: BinCounts) -> dict[str, Any]:
        document = {"name": name, "counts": list(counted.counts), **counted.bins.document()}
        document["unrest"] = list(self.unrest.get((role, name), CALM))
        if isinstance(counted.bins, NumberBins):
            document["infinite"] = list(counted.infinite)
        if isinstance(counted.bins, ValueBins):
            document["once"] = self.once.get(name, 0)
        return document


def build_baseline(
    schema: Schema,
    columns: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, ArrayLike] | None = None,
    *,
    planes: Mapping[str, Plane] | None = None,
) -> Baseline:
    """Make bins from training rows, and count these rows on them.

    Vectors, files, and texts that may be long are not counted: hardly a value comes twice, and none should be
    kept. ``columns`` are checked, as ``Transform.columns`` gives them, and may hold ``scalars`` besides;
    ``planes`` are what those were made with. ``outputs`` are the model's answers on the same rows, shape
    ``(rows,)`` or ``(rows, k)``, numbers. ``ValueError`` where lengths differ.
    """
    counted = [field for field in schema.fields if field.kind not in _WHOLE and field.longest <= LONGEST]
    fields = {field.name: _bins(field.kind, columns[field.name]) for field in counted}
    scalars = {name: column for name, column in columns.items() if name not in schema.names}
    fields |= {name: _bins("number", column) for name, column in scalars.items()}
    given = _output_columns(outputs or {})
    rows = {len(column) for column in (*columns.values(), *given.values())}
    if len(rows) != 1:
        raise ValueError("columns and outputs must have the same number of rows")
    once = {name: _once(columns[name]) for name, bins in fields.items() if _lists_all(bins)}
    return Baseline(
        rows.pop(),
        {name: bins.count(columns[name]) for name, bins in fields.items()},
        {name: _bins("number", column).count(column) for name, column in given.items()},
        planes=MappingProxyType(dict(planes or {})),
        once={name: count for name, count in once.items() if count},
    )


def _lists_all(bins: Bins) -> bool:
    return isinstance(bins, ValueBins) and bins.complete


def _once(column: NDArray[Any]) -> int:
    """Return how many values came once, as ``Baseline.once`` keeps it."""
    return sum(count == 1 for value, count in Counter(column.tolist()).items() if value is not None)


def _bins(kind: Kind, column: NDArray[Any]) -> Bins:
    if kind in {"number", "flag"}:  # flags are 1 and 0
        return NumberBins(tuple(numeric_edges(column).tolist()))
    return HourOfWeekBins() if kind in {"instant", "wallclock"} else ValueBins.of(column)


def _output_columns(outputs: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    columns: dict[str, NDArray[np.float64]] = {}
    for name, given in outputs.items():
        values = np.asarray(given, dtype=np.float64)
        if values.ndim == 1:
            columns[name] = values
        elif values.ndim == 2:
            columns |= {f"{name}[{j}]": values[:, j] for j in range(values.shape[1])}
        else:
            raise ValueError(f"{name}: an output is of shape (rows,) or (rows, k)")
    return columns


_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Counts = Annotated[list[_Count], Field(max_length=TOP + MOST_KNOWN + 3), Field(fail_fast=True)]
_Known = Annotated[list[str], Field(fail_fast=True)] | Annotated[list[int], Field(fail_fast=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_crowd(cls, document: object) -> object:
        return no_crowd(document, len(cls.model_fields))


_FEW = (Field(max_length=MOST_COUNTED), Field(fail_fast=True))


class _Number(_Strict):
    kind: Literal["number@1"]
    name: str
    counts: _Counts
    edges: Annotated[list[float], Field(max_length=_MOST_EDGES), Field(fail_fast=True)]
    infinite: Annotated[list[_Count], Field(min_length=2, max_length=2)]

    def counted(self) -> BinCounts:
        infinite = (self.infinite[0], self.infinite[1])
        return BinCounts(NumberBins(tuple(self.edges)), tuple(self.counts), infinite)


class _Value(_Strict):
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


class _HourOfWeek(_Strict):
    kind: Literal["hour_of_week@1"]
    name: str
    counts: _Counts

    def counted(self) -> BinCounts:
        return BinCounts(HourOfWeekBins(), tuple(self.counts))


class _First(_Strict):
    kind: Literal["baseline@1"]
    rows: _Count
    fields: Annotated[list[Annotated[_Number | _Value | _HourOfWeek, Field(discriminator="kind")]], *_FEW]
    outputs: Annotated[list[_Number], *_FEW]

    def baseline(self) -> Baseline:
        return _baseline(self.rows, self.fields, self.outputs)


_Part = Annotated[float, Field(ge=0, le=1)]
_Parts = Annotated[list[_Part], Field(min_length=3, max_length=3), Field(fail_fast=True)]


class _Number2(_Number):
    unrest: _Parts


class _Value2(_Value):
    unrest: _Parts


class _HourOfWeek2(_HourOfWeek):
    unrest: _Parts


class _Plane(_Strict):
    kind: Literal["plane@1"]
    name: str
    size: Annotated[int, Field(ge=2, le=LARGEST)]
    base64: str

    def plane(self) -> Plane:
        content = b64decode(self.base64, validate=True)
        if b64encode(content).decode() != self.base64:
            raise ValueError("base64 has one spelling")
        return Plane(self.size, content)


_Planes = Annotated[list[_Plane], Field(min_length=1, max_length=MOST_PLANES), Field(fail_fast=True)]


class _Second(_Strict):
    kind: Literal["baseline@2"]
    rows: _Count
    fields: Annotated[list[Annotated[_Number2 | _Value2 | _HourOfWeek2, Field(discriminator="kind")]], *_FEW]
    outputs: Annotated[list[_Number2], *_FEW]
    planes: _Planes | None = None
    holdout: HoldoutDocument | None = None

    def baseline(self) -> Baseline:
        return _restless(self.rows, self.fields, self.outputs, self.planes or (), self.holdout)


class _Value3(_Value2):
    once: _Count


class _Document(_Strict):
    kind: Literal["baseline@3"]
    rows: _Count
    fields: Annotated[list[Annotated[_Number2 | _Value3 | _HourOfWeek2, Field(discriminator="kind")]], *_FEW]
    outputs: Annotated[list[_Number2], *_FEW]
    planes: _Planes | None = None
    holdout: HoldoutDocument | None = None

    def baseline(self) -> Baseline:
        once = {each.name: each.once for each in self.fields if isinstance(each, _Value3) and each.once}
        told = _restless(self.rows, self.fields, self.outputs, self.planes or (), self.holdout)
        return replace(told, once=once)


def _restless(
    rows: int,
    fields: Sequence[_Number2 | _Value2 | _HourOfWeek2],
    outputs: Sequence[_Number2],
    known: Sequence[_Plane],
    kept: HoldoutDocument | None,
) -> Baseline:
    told: dict[tuple[Role, str], Unrest] = {}
    for each in fields:
        told["input", each.name] = (each.unrest[0], each.unrest[1], each.unrest[2])
    for output in outputs:
        told["output", output.name] = (output.unrest[0], output.unrest[1], output.unrest[2])
    unrest = {key: parts for key, parts in told.items() if any(parts)}
    planes = {plane.name: plane.plane() for plane in known}
    if len(planes) != len(known):
        raise ValueError("two planes have one name")
    holdout = None if kept is None else kept.model_dump()
    return replace(_baseline(rows, fields, outputs), unrest=unrest, planes=planes, holdout=holdout)


def _plane(name: str, plane: Plane) -> dict[str, Any]:
    return {"kind": _PLANE, "name": name, "size": plane.size, "base64": b64encode(plane.content).decode()}


def _baseline(
    rows: int, fields: Sequence[_Number | _Value | _HourOfWeek], outputs: Sequence[_Number]
) -> Baseline:
    counted = {each.name: each.counted() for each in fields}
    answers = {each.name: each.counted() for each in outputs}
    if len(counted) != len(fields) or len(answers) != len(outputs):
        raise ValueError("two fields have one name")
    return Baseline(rows, counted, answers)


def _check_kinds(document: object) -> None:
    """A kind that is well-formed but unknown is a matter of releases, not of corruption."""
    if not isinstance(document, dict) or not isinstance(document.get("fields", []), list):
        return
    known = {_KIND, _SECOND, _FIRST, _PLANE, *HOLDOUT_KINDS}
    known |= {NumberBins.kind, ValueBins.kind, HourOfWeekBins.kind}
    planes = document.get("planes")
    parts = [document, *document.get("fields", []), document.get("holdout")]
    for part in (*parts, *(planes if isinstance(planes, list) else ())):
        kind = part.get("kind") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in known:
            raise Unsupported(
                f"the baseline holds kind {kind[:64]!a}; this release knows {', '.join(sorted(known))}. "
                "Upgrade inprocml to at least the release that packed it."
            )
