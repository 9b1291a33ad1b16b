"""What an exported transform reads: the tensors of each field, and how a table becomes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Field
from inprocml.schema.zones import local
from inprocml.transform.derived import DerivedStep
from inprocml.transform.plan import Plan
from inprocml.transform.timestamp import TimestampStep

__all__ = ["Input", "columns_as_inputs", "inputs_of", "missing_name", "wall_name"]

_EPOCH = "microseconds since 1970-01-01T00:00:00"


@dataclass(frozen=True)
class Input:
    """One input tensor, shape ``(rows, size)``: what it holds of which field."""

    name: str
    field: Field
    holds: Literal["value", "wall", "missing"]
    dtype: np.dtype[Any]
    meaning: str
    size: int = 1

    def of(self, column: NDArray[Any]) -> NDArray[Any]:
        """Return the tensor of a canonical column."""
        kind, absent = self.field.kind, _absent(column)
        if self.holds == "missing":
            tensor: NDArray[Any] = absent
        elif kind in {"instant", "wallclock"}:
            ticks = np.where(absent, 0, column.view(np.int64))
            tensor = local(ticks, self.field.zone) if self.holds == "wall" else ticks
        elif kind == "flag":
            tensor = column == 1.0
        elif kind in {"category", "text"}:
            tensor = np.where(absent, 0 if self.dtype.kind == "i" else "", column)
        else:
            tensor = column
        return np.ascontiguousarray(tensor.astype(self.dtype).reshape(len(column), self.size))


def missing_name(field: Field) -> str:
    """Return the name of the input that tells whether a value is missing."""
    return f"{field.name}?missing"


def wall_name(field: Field) -> str:
    """Return the name of the input that holds an instant as the clock on the wall shows it."""
    return f"{field.name}?wall"


def inputs_of(plan: Plan) -> tuple[Input, ...]:
    """Return the inputs, field by field; ``TransformError`` where two would have one name."""
    walls, ticks = _clocks(plan)
    inputs = [one for field in plan.schema.fields for one in _of_field(field, walls, ticks)]
    names = [one.name for one in inputs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TransformError(f"to_onnx: two inputs would be called {twice!r}. Rename a field.")
    return tuple(inputs)


def columns_as_inputs(plan: Plan, columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the tensors of canonical columns, by the names of the inputs."""
    return {one.name: one.of(columns[one.field.name]) for one in inputs_of(plan)}


def _clocks(plan: Plan) -> tuple[set[str], set[str]]:
    """The names of the points in time that are read off the wall, and of those that are counted from."""
    walls, ticks = set(), set()
    for entry in plan.entries:
        for field in entry.fields:
            if isinstance(entry, DerivedStep) or (
                isinstance(entry, TimestampStep) and entry.since is not None
            ):
                ticks.add(field.name)
            if isinstance(entry, TimestampStep) and entry.tables:
                walls.add(field.name)
    return walls, ticks


def _of_field(field: Field, walls: set[str], ticks: set[str]) -> Iterator[Input]:
    name = field.name
    if field.kind == "number":
        yield Input(name, field, "value", np.dtype(np.float64), _told("number", field, "NaN"))
        return
    if field.kind == "vector":
        meaning = _told(f"{field.size} numbers", field, "all NaN")
        yield Input(name, field, "value", np.dtype(np.float64), meaning, field.size)
        return
    if field.kind == "instant":
        if name in ticks:
            yield Input(name, field, "value", np.dtype(np.int64), f"{_EPOCH} UTC")
        if name in walls:
            meaning = f"{_EPOCH} on the wall clock of {field.timezone}"
            yield Input(wall_name(field), field, "wall", np.dtype(np.int64), meaning)
    elif field.kind == "wallclock":
        yield Input(name, field, "value", np.dtype(np.int64), f"{_EPOCH} on the same clock")
    elif field.kind == "flag":
        yield Input(name, field, "value", np.dtype(np.bool_), "true or false")
    elif field.dtype == "int":
        yield Input(name, field, "value", np.dtype(np.int64), "integer")
    else:
        yield Input(name, field, "value", np.dtype(np.object_), _form(field))
    if not field.required:
        meaning = f"true where {name} is missing; the rest of what is given for it is not read then"
        yield Input(missing_name(field), field, "missing", np.dtype(np.bool_), meaning)


def _told(what: str, field: Field, missing: str) -> str:
    low, high = field.limits
    mark = "may not be missing" if field.required else f"{missing} where missing"
    return f"{what} from {low!r} to {high!r}; {mark}"


def _form(field: Field) -> str:
    """The graph cannot bring strings into the form in which they were learnt: the caller must."""
    steps = ["Unicode normal form C"]
    steps += ["stripped of white space at both ends"] if field.strip else []
    steps += ["case-folded, then in normal form C again"] if field.casefold else []
    return f"string in {', '.join(steps)}"


def _absent(column: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype.kind == "M":
        nowhen: NDArray[np.bool_] = np.isnat(column)
        return nowhen
    if column.dtype.kind == "O":
        return np.array([value is None for value in column.tolist()], dtype=np.bool_)
    absent: NDArray[np.bool_] = np.isnan(column.reshape(len(column), -1)[:, 0])
    return absent
