"""The training distribution that travels with a model: bins, and how many training rows fell into each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from inprocml.errors import PackError, Unsupported
from inprocml.monitoring import places as binned
from inprocml.monitoring.baseline_parts import (
    FEW,
    MOST_COUNTED,
    PLANE,
    Count,
    HourOfWeek,
    HourOfWeek2,
    Number,
    Number2,
    Planes,
    Value,
    Value2,
    Value3,
    plane_document,
)
from inprocml.monitoring.bins import BinCounts, Bins, HourOfWeekBins, NumberBins, ValueBins, numeric_edges
from inprocml.monitoring.holdout import KINDS as HOLDOUT_KINDS
from inprocml.monitoring.holdout import Holdout, HoldoutDocument
from inprocml.monitoring.places import Rows, taken
from inprocml.monitoring.planes import Plane
from inprocml.monitoring.stretches import MOST_LENGTHS, Stretch, StretchDocument
from inprocml.monitoring.stretches import read as read_stretches
from inprocml.schema import Kind, Schema, dump, parse
from inprocml.schema.sound import Strict, sound
from inprocml.schema.strict_json import LARGEST_TEXT, corrupt
from inprocml.schema.text import LONGEST

__all__ = ["CALM", "MOST_COUNTED", "Baseline", "Role", "Unrest", "build_baseline", "came_once"]

_WHAT = "the baseline"
_KIND = "baseline@3"
_SECOND = "baseline@2"  # without what was seen once
_FIRST = "baseline@1"  # without unrest
Role = Literal["input", "output"]

Unrest = tuple[float, float, float]
"""How far stretches of the training rows differ: of location, scale and shares the variance between them, as
a part of the variance of one row; from 0 to 1."""

CALM: Unrest = (0.0, 0.0, 0.0)

_TWO = ("probability[0]", "probability[1]")
_WHOLE = frozenset({"vector", "content", "signal"})  # values of which hardly any comes twice


@dataclass(frozen=True)
class Baseline:
    """``rows`` training rows, counted per field and per output column (``name``, or ``name[j]``).

    ``unrest`` holds the columns whose stretches differ, by role and name; all others are calm. ``planes``
    holds what was learnt of fields that are vectors. ``holdout`` counts labelled rows that the model was not
    trained on, if there were any. ``once`` holds, by the name of a field of categories, how many values came
    once, where there are any. ``sample``: some of the rows as bins (``sampled``); none in bundles of earlier
    releases. ``stretches``: how far rows that follow one another lie from the others, the shortest first;
    none where chance explains it.
    """

    rows: int
    fields: Mapping[str, BinCounts]
    outputs: Mapping[str, BinCounts]
    unrest: Mapping[tuple[Role, str], Unrest] = field(default_factory=lambda: MappingProxyType({}))
    planes: Mapping[str, Plane] = field(default_factory=lambda: MappingProxyType({}))
    holdout: Holdout | None = None
    once: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    sample: bytes = field(default=b"", repr=False)
    stretches: tuple[Stretch, ...] = ()

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

    @property
    def watched_outputs(self) -> Mapping[str, BinCounts]:
        """The outputs that are watched: of the two probabilities of two classes the second alone.

        The first says the same once more, however their bins came out.
        """
        if tuple(self.outputs) != _TWO:
            return self.outputs
        return {_TWO[1]: self.outputs[_TWO[1]]}

    def watched(self) -> list[Bins]:
        """Return the bins of the columns that are watched: of the fields, then of the outputs."""
        return [counted.bins for counted in (*self.fields.values(), *self.watched_outputs.values())]

    def places(
        self,
        columns: Mapping[str, NDArray[Any]],
        outputs: Mapping[str, ArrayLike],
        only: Sequence[int] | None = None,
    ) -> list[NDArray[np.intp]]:
        """Return the bin of each value of other rows, of the columns that are watched or ``only`` of some."""
        answers = _output_columns(outputs)
        series = [(each.bins, columns, name) for name, each in self.fields.items()]
        series += [(each.bins, answers, name) for name, each in self.watched_outputs.items()]
        wanted = series if only is None else [series[place] for place in only]
        return [bins.places(given[name]) for bins, given, name in wanted]

    @property
    def sampled(self) -> Rows:
        """The rows of ``sample``, uint8 of shape ``(rows, columns)``: the columns that ``taken`` names."""
        return np.frombuffer(self.sample, np.uint8).reshape(-1, max(len(taken(self.watched())), 1))

    def to_json(self) -> str:
        """Return canonical JSON; ``PackError`` if it would be larger than a reader accepts."""
        document: dict[str, Any] = {
            "kind": _KIND,
            "rows": self.rows,
            "fields": [self._document("input", name, counts) for name, counts in self.fields.items()],
            "outputs": [self._document("output", name, counts) for name, counts in self.outputs.items()],
        }
        if self.planes:
            document["planes"] = [plane_document(name, plane) for name, plane in self.planes.items()]
        if self.holdout is not None:
            document["holdout"] = self.holdout
        if self.sample:
            document["sample"] = binned.written(self.sampled)
        if self.stretches:
            document["stretches"] = [asdict(stretch) for stretch in self.stretches]
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
        """Return this, if rows of ``schema`` have its columns and its vectors; else ``Corrupt``."""
        sizes = {field.name: field.size for field in schema.fields if field.kind == "vector"}
        for name, plane in self.planes.items():
            if sizes.get(name) != plane.size:
                raise corrupt(_WHAT, f"it tells of vectors {name[:64]!a} that rows do not have")
        kinds = {field.name: field.kind for field in schema.fields}
        for name, counted in self.fields.items():
            derived = name not in kinds and any(name.startswith(f"{known}.") for known in kinds)
            wanted = _make("number" if derived else kinds.get(name))
            if not isinstance(counted.bins, wanted):
                raise corrupt(_WHAT, f"it tells of a column {name[:64]!a} that rows do not have")
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
    once = {name: int(came_once(columns[name]).sum()) for name, bins in fields.items() if _lists_all(bins)}
    return Baseline(
        rows.pop(),
        {name: bins.count(columns[name]) for name, bins in fields.items()},
        {name: _bins("number", column).count(column) for name, column in given.items()},
        planes=MappingProxyType(dict(planes or {})),
        once={name: count for name, count in once.items() if count},
    )


def _lists_all(bins: Bins) -> bool:
    return isinstance(bins, ValueBins) and bins.complete


def came_once(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows hold a value that no other holds, shape ``(rows,)``; missing is no value."""
    values = column.tolist()
    times = Counter(values)
    return np.array([value is not None and times[value] == 1 for value in values], np.bool_)


def _sample(document: dict[str, str], told: Baseline) -> bytes:
    """Return a sample of the columns that are watched; bundles packed earlier may hold one more."""
    if tuple(told.outputs) != _TWO or _mirrored(told.outputs):
        return binned.read(document, told.watched(), told.rows)
    bins = [counted.bins for counted in (*told.fields.values(), *told.outputs.values())]
    return binned.read_without(document, bins, told.rows, len(told.fields))


def _mirrored(outputs: Mapping[str, BinCounts]) -> bool:
    """Whether the bins of one probability are one minus those of the other: once both were watched if not.

    Near 0 float32 tells more apart than near 1, so that bins of the same rows may differ there.
    """
    first, second = (np.array(getattr(outputs[name].bins, "edges", ()), np.float64) for name in _TWO)
    return len(first) == len(second) and bool(np.allclose(first + second[::-1], 1, rtol=0, atol=1e-5))


def _make(kind: Kind | None) -> type[Bins] | tuple[()]:
    """Return the bins of a field of this kind; none of what is no field."""
    if kind in {"number", "flag"}:  # flags are 1 and 0
        return NumberBins
    if kind in {"instant", "wallclock"}:
        return HourOfWeekBins
    return () if kind is None or kind in _WHOLE else ValueBins


def _bins(kind: Kind, column: NDArray[Any]) -> Bins:
    make = _make(kind)
    if make is NumberBins:
        return NumberBins(tuple(numeric_edges(column).tolist()))
    return HourOfWeekBins() if make is HourOfWeekBins else ValueBins.of(column)


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


class _First(Strict):
    kind: Literal["baseline@1"]
    rows: Count
    fields: Annotated[list[Annotated[Number | Value | HourOfWeek, Field(discriminator="kind")]], *FEW]
    outputs: Annotated[list[Number], *FEW]

    def baseline(self) -> Baseline:
        return _baseline(self.rows, self.fields, self.outputs)


class _Second(Strict):
    kind: Literal["baseline@2"]
    rows: Count
    fields: Annotated[list[Annotated[Number2 | Value2 | HourOfWeek2, Field(discriminator="kind")]], *FEW]
    outputs: Annotated[list[Number2], *FEW]

    def baseline(self) -> Baseline:
        return _restless(self.rows, self.fields, self.outputs)


class _Document(Strict):
    kind: Literal["baseline@3"]
    rows: Count
    fields: Annotated[list[Annotated[Number2 | Value3 | HourOfWeek2, Field(discriminator="kind")]], *FEW]
    outputs: Annotated[list[Number2], *FEW]
    planes: Planes | None = None
    holdout: HoldoutDocument | None = None
    sample: Annotated[dict[str, str], Field(max_length=2)] | None = None
    stretches: (
        Annotated[list[StretchDocument], Field(min_length=1, max_length=MOST_LENGTHS), Field(fail_fast=True)]
        | None
    ) = None

    def baseline(self) -> Baseline:
        planes = {plane.name: plane.plane() for plane in self.planes or ()}
        if len(planes) != len(self.planes or ()):
            raise ValueError("two planes have one name")
        found = replace(
            _restless(self.rows, self.fields, self.outputs),
            planes=planes,
            holdout=None if self.holdout is None else self.holdout.model_dump(),
            once={each.name: each.once for each in self.fields if isinstance(each, Value3) and each.once},
        )
        if self.sample is None:
            if self.stretches is not None:
                raise ValueError("stretches without a sample")
            return found
        sample, stretches = _sample(self.sample, found), read_stretches(self.stretches or (), self.rows)
        return replace(found, sample=sample, stretches=stretches if sample else ())


def _restless(
    rows: int, fields: Sequence[Number2 | Value2 | HourOfWeek2], outputs: Sequence[Number2]
) -> Baseline:
    told: dict[tuple[Role, str], Unrest] = {}
    for each in fields:
        told["input", each.name] = (each.unrest[0], each.unrest[1], each.unrest[2])
    for output in outputs:
        told["output", output.name] = (output.unrest[0], output.unrest[1], output.unrest[2])
    unrest = {key: parts for key, parts in told.items() if any(parts)}
    return replace(_baseline(rows, fields, outputs), unrest=unrest)


def _baseline(
    rows: int, fields: Sequence[Number | Value | HourOfWeek], outputs: Sequence[Number]
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
    known = {_KIND, _SECOND, _FIRST, PLANE, binned.KIND, *HOLDOUT_KINDS}
    known |= {NumberBins.kind, ValueBins.kind, HourOfWeekBins.kind}
    planes = document.get("planes")
    parts = (*document.get("fields", []), *(planes if isinstance(planes, list) else ()))
    for part in (document, document.get("sample"), document.get("holdout"), *parts):
        kind = part.get("kind") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in known:
            raise Unsupported(
                f"the baseline holds kind {kind[:64]!a}; this release knows {', '.join(sorted(known))}. "
                "Upgrade inprocml to at least the release that packed it."
            )
