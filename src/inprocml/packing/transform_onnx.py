"""A fitted transform as an ONNX graph, for runtimes that no Python reaches.

float64 and int64 inside, one cast to float32 at the end, and only operators whose result IEEE 754 or integer
arithmetic defines: so the features are those of ``Transform.transform`` byte for byte, logarithms and powers
included. The graph cannot refuse a row. Where the transform would refuse a number or a time, every feature
that reads it is NaN, and never a number that looks right.

Sources: ONNX operators, onnx.ai/onnx/operators (opset 18, ai.onnx.ml 3); com.microsoft.MurmurHash3 of ONNX
Runtime for ``Hashed``; months and days from days, Howard Hinnant, "chrono-compatible low-level date
algorithms".
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from inprocml.errors import TransformError
from inprocml.packing.traced import Graph, Traced, one_hot
from inprocml.packing.transform_inputs import (
    Input,
    columns_as_inputs,
    inputs_of,
    missing_name,
    wall_name,
)
from inprocml.schema import Field
from inprocml.schema.zones import FIRST, LAST
from inprocml.transform import Transform, document
from inprocml.transform.binned import BinnedStep
from inprocml.transform.category import CategoryStep, IndexStep
from inprocml.transform.derived import DerivedStep, derive_column
from inprocml.transform.flag import FlagStep
from inprocml.transform.hashed import HashedStep
from inprocml.transform.numeric import NumericStep
from inprocml.transform.plan import Plan
from inprocml.transform.timestamp import TimestampStep
from inprocml.transform.vector import VectorStep
from inprocml.values import FEATURES, Table

__all__ = ["onnx_inputs", "transform_to_onnx"]

OPSET, ML_OPSET, IR = 18, 3, 8
"""As for exported models: ONNX Runtime 1.14 and all later ones read these."""

_MINUTE, _HOUR, _DAY = 60 * 10**6, 3600 * 10**6, 86_400 * 10**6  # microseconds
_ERA = 146_097  # days in 400 years


def transform_to_onnx(transform: Transform) -> bytes:
    """Return the fitted transform as an ONNX model that gives the same features, byte for byte.

    Inputs, rows first: number and vector float64 ``(rows, 1)`` or ``(rows, size)``, NaN for missing; flag
    bool; category string or int64; point in time int64 microseconds; and for optional fields of those kinds
    a bool ``<field>?missing``. Output ``features`` float32 ``(rows, width)``, and for each ``Category`` with
    encoding "index" ``<entry>=index``, int64 ``(rows,)``. The model's metadata say what each input holds.
    Raises ``TransformError`` where the transform is not fitted, has entries that ONNX cannot express (all are
    named), or the ``onnx`` package is missing.
    """
    plan = document.read(transform.to_json())
    _check_expressible(plan)
    inputs = inputs_of(plan)
    outputs = [FEATURES] if plan.steps else []
    outputs += [f"{other.name}=index" for other in plan.others]
    clash = {one.name for one in inputs} & set(outputs)
    if clash:
        raise TransformError(
            f"to_onnx: an output is called {min(clash)!r}, so no input may be. Rename the field."
        )
    try:
        import onnx
    except ImportError as missing:
        raise TransformError(
            "to_onnx needs the onnx package, which is not installed: pip install 'inprocml[reference]'"
        ) from missing
    model = _Export(plan, inputs, outputs).model()
    for key, value in {
        "inprocml.transform": transform.digest,
        "inprocml.inputs": json.dumps({one.name: one.meaning for one in inputs}, ensure_ascii=False),
    }.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def onnx_inputs(transform: Transform, table: Table) -> dict[str, Any]:
    """Return the input tensors that the exported ``transform`` takes for ``table``, by name.

    For tests of the other side: what to feed there, beside ``transform.transform(table)``, what must come
    out. Raises ``InvalidRow`` and, where there is no export, ``TransformError``.
    """
    plan = document.read(transform.to_json())
    _check_expressible(plan)
    return columns_as_inputs(plan, plan.schema.check_table(table))


@dataclass(frozen=True)
class _Number:
    """A number of each row: NaN where missing, and where the transform would refuse the row."""

    x: Any
    absent: Any
    bad: Any


class _Export:
    """One export: fields are read once, whichever entries use them."""

    def __init__(self, plan: Plan, inputs: tuple[Input, ...], outputs: list[str]) -> None:
        self.plan, self.inputs, self.outputs = plan, inputs, outputs
        self.graph = Graph({one.name for one in inputs} | set(outputs))
        self.values = {one.name: self.graph.value(one.name, one.dtype) for one in inputs}
        self.fields = {field.name: field for field in plan.schema.fields}  # what all entries together accept

    def model(self) -> Any:
        """Return the whole model."""
        from onnx import TensorProto
        from onnx import helper as build

        if self.plan.steps:
            self._output(FEATURES, "Concat", [self._block(step) for step in self.plan.steps], axis=1)
        for other in self.plan.others:
            flat = self.graph.constant([-1], np.int64)
            self._output(f"{other.name}=index", "Reshape", [self._slots(other), flat])
        outputs = [
            build.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["rows", self.plan.width])
            if name == FEATURES
            else build.make_tensor_value_info(name, TensorProto.INT64, ["rows"])
            for name in self.outputs
        ]
        graph = build.make_graph(
            self.graph.nodes, "transform", [_value_info(one) for one in self.inputs], outputs,
            self.graph.constants,
        )  # fmt: skip
        versions = {"": OPSET, "ai.onnx.ml": ML_OPSET, "com.microsoft": 1}
        used = {"", *(node.domain for node in self.graph.nodes)}
        return build.make_model(
            graph,
            opset_imports=[
                build.make_opsetid(domain, versions[domain]) for domain in versions if domain in used
            ],
            ir_version=IR,
            producer_name="inprocml",
        )

    def _output(self, name: str, kind: str, inputs: list[Traced], **attributes: Any) -> None:
        from onnx import helper as build

        self.graph.nodes.append(build.make_node(kind, [one.name for one in inputs], [name], **attributes))

    def _block(self, step: Any) -> Traced:
        blocks: dict[type, Callable[[Any], Traced]] = {
            NumericStep: self._numeric,
            BinnedStep: self._binned,
            CategoryStep: self._category,
            HashedStep: self._hashed,
            FlagStep: self._flag,
            VectorStep: self._vector,
            TimestampStep: self._timestamp,
            DerivedStep: self._derived,
        }
        return blocks[type(step)](step)

    def _beside(self, *blocks: Any) -> Any:
        return blocks[0] if len(blocks) == 1 else self.graph.node("Concat", *blocks, dtype=np.float32, axis=1)

    def _unless(self, bad: Any, block: Any) -> Any:
        # a product, not a choice, which may cost minus zero its sign: see traced.py
        factor: Any = np.where(bad, math.nan, 1.0)
        return block * factor.astype(np.float32)

    def _absent(self, field: Field, of: Traced) -> Any:
        """Whether a value is missing, bool ``(rows, 1)``: never, where another entry requires the field."""
        if not self.fields[field.name].required:
            return self.values[missing_name(field)]
        rows = self.graph.node("Shape", of, dtype=np.int64)
        return self.graph.node("Expand", self.graph.constant([[False]], np.bool_), rows, dtype=np.bool_)

    # numbers

    def _number(self, field: Field) -> _Number:
        return _judged(self.values[field.name], self.fields[field.name])

    def _numeric(self, step: NumericStep) -> Any:
        return self._encoded(step, self._number(step.field))

    def _binned(self, step: BinnedStep) -> Any:
        return self._encoded(step, self._number(step.field))

    def _encoded(self, step: NumericStep | BinnedStep, number: _Number) -> Any:
        if isinstance(step, BinnedStep):
            return self._unless(number.bad, self._in_bins(step, number))
        encoded: Any = step.encode_column(number.x)
        blocks = [encoded.astype(np.float32)]
        blocks += [number.absent.astype(np.float32)] if step.flagged else []
        return self._unless(number.bad, self._beside(*blocks))

    def _in_bins(self, step: BinnedStep, number: _Number) -> Any:
        x = number.x if step.fill is None else np.where(number.absent, step.fill, number.x)
        place = self._count(x >= np.array(step.edges))
        if step.slot:
            place = np.where(number.absent, step.bins - 1, place)
        return one_hot(place, step.bins) if step.spec.encoding == "onehot" else place.astype(np.float32)

    def _count(self, marks: Any) -> Any:
        """Return how many of each row's marks are set, int64 ``(rows, 1)``."""
        along = self.graph.constant([1], np.int64)
        return self.graph.node("ReduceSum", marks.astype(np.int64), along, dtype=np.int64, keepdims=1)

    def _derived(self, step: DerivedStep) -> Any:
        if step.spec.operation == "days_between":
            first, second = (self._ticks(field, self.values[field.name]) for field in _both(step.fields))
            days: Any = (second.x - first.x).astype(np.float64) / float(_DAY)
            parts = [first, second]
            x = np.where(first.absent | second.absent, math.nan, days)
        else:
            parts = [self._number(field) for field in step.fields]
            traced: Any = [part.x for part in parts]
            x = derive_column(step.spec, traced)
        number = _judged(x, step.inner.field)
        bad = parts[0].bad | parts[-1].bad | number.bad
        return self._encoded(step.inner, _Number(number.x, number.absent, bad))

    def _vector(self, step: VectorStep) -> Any:
        field = self.fields[step.field.name]
        x: Any = self.values[field.name]
        absent: Any = self._count(np.isnan(x)) >= step.spec.size  # some are no missing vector
        low, high = field.limits
        outside: Any = ~((x >= low) & (x <= high))
        bad = self._count(outside) > 0
        bad = bad if field.required else bad & ~absent
        scaled = (x - np.array(step.offsets)) / np.array(step.divisors) if step.offsets else x
        block: Any = scaled.astype(np.float32)
        if step.spec.missing is not None:
            block = self._beside(np.where(absent, np.float32(0.0), block), absent.astype(np.float32))
        return self._unless(bad, block)

    # words and flags

    def _slots(self, step: Any) -> Any:
        field = step.field
        x = self.values[field.name]
        kind = "int64s" if step.dtype == "int" else "strings"
        keys = {f"keys_{kind}": list(step.categories), "values_int64s": list(range(len(step.categories)))}
        place: Any = self.graph.node(
            "LabelEncoder",
            x,
            dtype=np.int64,
            domain="ai.onnx.ml",
            default_int64=len(step.categories),
            **keys,
        )
        if step.spec.missing is None:
            return place
        return np.where(self._absent(field, x), len(step.categories) + 1, place)

    def _category(self, step: CategoryStep) -> Any:
        place = self._slots(step)
        return place.astype(np.float32) if step.ordinal else one_hot(place, step.size)

    def _hashed(self, step: HashedStep) -> Any:
        x = self.values[step.field.name]
        hashed = self.graph.node("MurmurHash3", x, dtype=np.int32, domain="com.microsoft", positive=0, seed=0)
        place: Any = abs(hashed.astype(np.int64)) % step.spec.buckets
        if step.spec.missing is not None:
            place = np.where(self._absent(step.field, x), step.spec.buckets, place)
        return one_hot(place, step.width)

    def _flag(self, step: FlagStep) -> Any:
        x: Any = self.values[step.field.name]
        if step.spec.missing is None:
            return x.astype(np.float32)
        absent = self._absent(step.field, x)
        return self._beside((x & ~absent).astype(np.float32), absent.astype(np.float32))

    # points in time

    def _ticks(self, field: Field, x: Any) -> _Number:
        absent = self._absent(field, x)
        return _Number(x, absent, ((x < FIRST) | (x > LAST)) & ~absent)

    def _timestamp(self, step: TimestampStep) -> Any:
        field = step.field
        blocks, clocks = [], []
        if step.tables:
            name = field.name if field.timezone is None else wall_name(field)
            clocks.append(self._ticks(field, self.values[name]))
            for part, _, rows in step.tables:
                table = self.graph.constant(rows, np.float32)
                place = _part(part, clocks[0].x)
                blocks.append(self.graph.node("GatherND", table, place, dtype=np.float32))
        if step.since is not None:
            clocks.append(self._ticks(field, self.values[field.name]))
            days = (clocks[-1].x - step.since).astype(np.float64) / float(_DAY)
            blocks.append(days.astype(np.float32))
        block = self._beside(*blocks)
        absent = clocks[0].absent
        if step.spec.missing is not None:
            block = self._beside(np.where(absent, np.float32(0.0), block), absent.astype(np.float32))
        return self._unless(clocks[0].bad | clocks[-1].bad, block)


def _check_expressible(plan: Plan) -> None:
    known = (
        NumericStep,
        BinnedStep,
        CategoryStep,
        IndexStep,
        HashedStep,
        FlagStep,
        VectorStep,
        TimestampStep,
    )
    unknown = [entry for entry in plan.entries if not isinstance(entry, (*known, DerivedStep))]
    if unknown:
        listed = ", ".join(f"{entry.name} ({type(entry.spec).__name__})" for entry in unknown)
        raise TransformError(
            f"to_onnx cannot express {listed}: ONNX has no operators that give the same features. Export a "
            "transform without these entries and make their features where it runs."
        )


def _judged(x: Any, field: Field) -> _Number:
    low, high = field.limits
    absent = np.isnan(x)
    fine = (x >= low) & (x <= high)
    return _Number(x, absent, ~fine if field.required else ~(fine | absent))


def _both(fields: tuple[Field, ...]) -> tuple[Field, Field]:
    return fields[0], fields[-1]  # one field may be both


def _part(part: str, wall: Any) -> Any:
    """Return a part's value, counted from its first, int64 ``(rows, 1)``."""
    if part == "hour":
        return wall // _HOUR % 24
    if part == "minute":
        return wall // _MINUTE % 60
    days = wall // _DAY
    if part in {"weekday", "weekend"}:
        weekday = (days + 3) % 7  # 1970 began on a Thursday
        return weekday if part == "weekday" else (weekday >= 5).astype(np.int64)
    # years from March on, so that the leap day is the last: Hinnant's civil_from_days
    day = (days + 719_468) % _ERA
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    of_year = day - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    return (month + 2) % 12 if part == "month" else of_year - (153 * month + 2) // 5


def _value_info(one: Input) -> Any:
    from onnx import TensorProto
    from onnx import helper as build

    types = {"f": TensorProto.DOUBLE, "i": TensorProto.INT64, "b": TensorProto.BOOL, "O": TensorProto.STRING}
    return build.make_tensor_value_info(one.name, types[one.dtype.kind], ["rows", one.size], one.meaning)
