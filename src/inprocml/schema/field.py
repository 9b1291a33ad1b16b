"""One field of a row: its name, its kind, and the judge that the kind builds once."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.columns import as_column
from inprocml.schema.content import content_check, content_column
from inprocml.schema.flag import flag_check, flag_column
from inprocml.schema.moment import moment_check, moment_column, moment_of, zone_named
from inprocml.schema.number import LARGEST, number_check, number_column
from inprocml.schema.once import once
from inprocml.schema.refusal import Check
from inprocml.schema.text import LONGEST, integer_check, text_check, value_column
from inprocml.schema.vector import vector_check, vector_column

__all__ = ["Canonical", "Field", "Kind", "merged"]

Kind: TypeAlias = Literal[
    "number", "category", "text", "instant", "wallclock", "flag", "vector", "content", "signal"
]
Canonical: TypeAlias = float | int | str | bool | datetime | tuple[float, ...] | bytes | None
"""A value that passed: ``None`` is missing."""


@dataclass(frozen=True)
class Field:
    """What one field accepts.

    ``required`` fields may not be missing. Categories hold ``dtype`` "str" or "int". An "instant" is read in
    the IANA zone ``timezone``; a "wallclock" time has none. Numbers, and those of a "vector" of ``size``, lie
    within ``limits``, both inclusive. Strings of a "category" or a "text" have at most ``longest`` characters
    and are read after ``strip`` and ``casefold``. "content" is bytes or base64, at most ``longest`` bytes;
    a "signal" is that, or a list of numbers.
    """

    name: str
    kind: Kind
    required: bool = True
    dtype: Literal["str", "int"] = "str"
    timezone: str | None = None
    limits: tuple[float, float] = (-LARGEST, LARGEST)
    size: int = 0
    longest: int = LONGEST
    strip: bool = False
    casefold: bool = False

    def __post_init__(self) -> None:
        if (self.timezone is not None) != (self.kind == "instant"):
            raise ValueError("an instant has a time zone, and nothing else has")
        if (self.size > 0) != (self.kind == "vector"):
            raise ValueError("a vector has a size, and nothing else has")

    def check(self, value: object) -> Canonical:
        """Return the canonical value, ``None`` for missing; raises ``Refused``."""
        canonical: Canonical = self.judge(value)
        return canonical

    def check_column(self, values: object) -> NDArray[Any]:
        """Return the canonical column, shape ``(rows,)``; accepts what ``check`` accepts, element-wise.

        Numbers and flags: float64, NaN for missing; vectors the same, of shape ``(rows, size)``. Points in
        time: ``datetime64[us]``, an instant in UTC, NaT for missing. Others: objects, ``None`` for missing.
        Raises ``Refused`` with the position of the first bad value.
        """
        column = as_column(values)
        if self.kind == "number":
            return number_column(column, self.judge, *self.limits, required=self.required)
        if self.kind in {"instant", "wallclock"}:
            return moment_column(column, self.judge, self.zone, required=self.required)
        if self.kind == "flag":
            return flag_column(column, self.judge, required=self.required)
        if self.kind == "vector":
            return vector_column(column, self.judge, self.size, self.limits)
        if self.kind in {"content", "signal"}:
            return content_column(column, self.judge)
        return value_column(column, self.judge, int if self.dtype == "int" else str)

    def render(self, canonical: Any) -> Any:
        """Return a JSON-able value that passes ``check`` and means the same.

        ``canonical`` is what ``check`` returned, or an element of a column that ``check_column`` returned.
        ISO 8601 for points in time, base64 for content.
        """
        if self.kind in {"instant", "wallclock"}:
            return self._rendered_moment(canonical)
        if self.kind in {"vector", "content", "signal"}:
            return _rendered_whole(canonical)
        if canonical is None or canonical != canonical:  # noqa: PLR0124 - NaN marks missing in columns
            return None
        if self.kind == "flag":
            return bool(canonical)
        return float(canonical) if self.kind == "number" else canonical

    @once
    def judge(self) -> Check[Any]:
        """The bare function behind ``check``, for callers that bind it once."""
        required = self.required
        match self.kind:
            case "number":
                judge: Check[Any] = number_check(*self.limits, required=required)
            case "instant" | "wallclock":
                judge = moment_check(self.zone, required=required)
            case "flag":
                judge = flag_check(required=required)
            case "vector":
                judge = vector_check(self.size, *self.limits, required=required)
            case "content" | "signal":
                judge = content_check(self.longest, required=required, signal=self.kind == "signal")
            case _ if self.dtype == "int":
                judge = integer_check(required=required)
            case _:
                rules = {"strip": self.strip, "casefold": self.casefold}
                judge = text_check(required=required, longest=self.longest, **rules)
        return judge

    @once
    def zone(self) -> Any:
        """The ``ZoneInfo`` of ``timezone``, ``None`` without."""
        return None if self.timezone is None else zone_named(self.timezone)

    def _rendered_moment(self, canonical: Any) -> str | None:
        if canonical is None or (isinstance(canonical, np.datetime64) and np.isnat(canonical)):
            return None
        moment = moment_of(canonical, self.zone) if isinstance(canonical, np.datetime64) else canonical
        text: str = moment.isoformat()
        return text


def merged(one: Field, other: Field) -> Field:
    """Return the field that accepts what both accept; ``ValueError`` if they read it in different ways."""
    if {one.kind, other.kind} == {"category", "text"} and one.dtype == other.dtype:
        one, other = replace(one, kind="category"), replace(other, kind="category")  # both are strings
    limits = (max(one.limits[0], other.limits[0]), min(one.limits[1], other.limits[1]))
    shared = {
        "required": one.required or other.required,
        "limits": limits,
        "longest": min(one.longest, other.longest),
    }
    if replace(one, **shared) != replace(other, **shared):  # type: ignore[arg-type]
        raise ValueError(
            f"field {one.name!r} is read in two ways that exclude each other ({one.kind} and {other.kind}): "
            "entries that share a field must read it as the same kind, dtype and time zone"
        )
    if limits[0] > limits[1]:
        raise ValueError(
            f"field {one.name!r} is read by entries that accept no value in common: what one can scale, the "
            "other cannot"
        )
    return replace(one, **shared)  # type: ignore[arg-type]


def _rendered_whole(canonical: Any) -> Any:
    if isinstance(canonical, bytes):
        return b64encode(canonical).decode("ascii")
    if canonical is None:
        return None
    numbers = np.asarray(canonical, dtype=np.float64).tolist()
    return None if numbers and numbers[0] != numbers[0] else numbers
