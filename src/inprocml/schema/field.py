"""One field of a row: its name, its kind, and the judge that the kind builds once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

from inprocml.schema.columns import as_column
from inprocml.schema.moment import moment_check, moment_column, zone_named
from inprocml.schema.number import LARGEST, number_check, number_column
from inprocml.schema.once import once
from inprocml.schema.refusal import Check
from inprocml.schema.text import integer_check, text_check, value_column

__all__ = ["Canonical", "Field", "Kind"]

Kind: TypeAlias = Literal["number", "category", "text", "instant", "wallclock"]
Canonical: TypeAlias = float | int | str | datetime | None
"""A value that passed: ``None`` is missing."""


@dataclass(frozen=True)
class Field:
    """What one field accepts.

    ``required`` fields may not be missing. Categories hold ``dtype`` "str" or "int". An "instant" is read in
    the IANA zone ``timezone``; a "wallclock" time has none. Numbers lie within ``limits``, both inclusive.
    """

    name: str
    kind: Kind
    required: bool = True
    dtype: Literal["str", "int"] = "str"
    timezone: str | None = None
    limits: tuple[float, float] = (-LARGEST, LARGEST)

    def __post_init__(self) -> None:
        if (self.timezone is not None) != (self.kind == "instant"):
            raise ValueError("an instant has a time zone, and nothing else has")

    def check(self, value: object) -> Canonical:
        """Return the canonical value, ``None`` for missing; raises ``Refused``."""
        canonical: Canonical = self.judge(value)
        return canonical

    def check_column(self, values: object) -> NDArray[Any]:
        """Return the canonical column, shape ``(rows,)``; accepts what ``check`` accepts, element-wise.

        Numbers: float64, NaN for missing. Others: objects, ``None`` for missing. Raises ``Refused`` with the
        position of the first bad value.
        """
        column = as_column(values)
        if self.kind == "number":
            return number_column(column, self.judge, *self.limits, required=self.required)
        if self.kind in {"instant", "wallclock"}:
            return moment_column(column, self.judge, self._zone)
        return value_column(column, self.judge, int if self.dtype == "int" else str)

    def render(self, canonical: Canonical) -> float | int | str | None:
        """Return a JSON-able value that passes ``check`` and means the same: ISO 8601 for points in time."""
        if isinstance(canonical, datetime):
            return canonical.isoformat()
        if canonical is None or canonical != canonical:  # noqa: PLR0124 - NaN marks missing in columns
            return None
        return float(canonical) if self.kind == "number" else canonical

    @once
    def judge(self) -> Check[Any]:
        """The bare function behind ``check``, for callers that bind it once."""
        if self.kind == "number":
            return number_check(*self.limits, required=self.required)
        if self.kind in {"instant", "wallclock"}:
            return moment_check(self._zone, required=self.required)
        if self.dtype == "int":
            return integer_check(required=self.required)
        return text_check(required=self.required)

    @once
    def _zone(self) -> Any:
        return None if self.timezone is None else zone_named(self.timezone)
