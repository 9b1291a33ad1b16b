"""Numbers made from other fields: computed in float64 first, then encoded as any number is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Canonical, Field, Kind, Refused
from inprocml.schema.once import once
from inprocml.schema.zones import microseconds
from inprocml.transform.binned import BinnedStep, fit_binned
from inprocml.transform.numeric import NumericStep, fit_numeric
from inprocml.transform.rowcode import RowCode
from inprocml.transform.specs_derived import Derived

__all__ = ["DerivedStep", "derived_fields", "fit_derived"]

_DAY = 86_400.0 * 10**6  # microseconds


def derived_fields(spec: Derived) -> tuple[Field, ...]:
    """Return the fields that are read; they may be missing where what is derived may be."""
    kind: Kind = "number"
    if spec.operation == "days_between":
        kind = "wallclock" if spec.timezone is None else "instant"
    required = spec.then.missing is None and spec.operation != "is_missing"
    names = (spec.first,) if spec.second is None else dict.fromkeys((spec.first, spec.second))
    return tuple(Field(name, kind, required=required, timezone=spec.timezone) for name in names)


@dataclass(frozen=True)
class DerivedStep:
    """``inner`` encodes what ``spec.operation`` makes of the fields."""

    name: str
    spec: Derived
    inner: NumericStep | BinnedStep
    unseen = None

    @once
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return derived_fields(self.spec)

    @property
    def width(self) -> int:
        """The number of features."""
        return self.inner.width

    def names(self) -> list[str]:
        """Return the name of each feature."""
        return self.inner.names()

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32; may raise ``Refused``."""
        try:
            return self.inner.block([self.inner.field.check(_one(self.spec.operation, values))])
        except Refused as refused:
            raise self._refused(refused) from None

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``; may raise ``Refused``."""
        try:
            self.inner.write([self.inner.field.check_column(derive_column(self.spec, columns))], out)
        except Refused as refused:
            raise self._refused(refused) from None

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        value = code.variable()
        code.line(f"{value} = {code.bind(self._of_raws())}({', '.join(raws)})")
        self.inner.emit(code, [value])

    def _of_raws(self) -> Callable[..., float | None]:
        judges, operation = [field.judge for field in self.fields], self.spec.operation
        return lambda *raws: _one(operation, [judge(raw) for judge, raw in zip(judges, raws, strict=True)])

    def _refused(self, refused: Refused) -> Refused:
        spec = self.spec
        if refused.reason == "is missing":  # the fields are there, so it is the division
            refused.reason = f"must not give 0 to divide by: {self.name} is a {spec.operation}"
        else:
            refused.reason = f"gives a {spec.operation}, {self.name}, that {refused.reason}"
        return refused

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "derived@1",
            "name": self.name,
            "operation": spec.operation,
            "first": spec.first,
            "second": spec.second,
            "timezone": spec.timezone,
            "then": self.inner.document(),
        }


def fit_derived(name: str, spec: Derived, columns: Sequence[NDArray[Any]]) -> DerivedStep:
    """Learn what encodes the number from those of the training rows."""
    fit = fit_numeric if spec.then.bins is None else fit_binned
    return DerivedStep(name, spec, fit(name, spec.then, derive_column(spec, columns)))


def _one(operation: str, values: Sequence[Any]) -> float | None:
    first, second = values[0], values[-1]  # one field may be both
    if operation == "is_missing":
        return float(first is None)
    if first is None or second is None:
        return None
    if operation == "difference":
        return float(first - second)
    if operation == "product":
        return float(first * second)
    if operation == "days_between":
        return float(microseconds(second) - microseconds(first)) / _DAY
    return float(first / second) if second != 0.0 else None


def derive_column(spec: Derived, columns: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Return what is derived for canonical columns, NaN where it is missing."""
    first, second = columns[0], columns[-1]
    if spec.operation == "is_missing":
        gone: NDArray[np.float64] = np.isnan(first).astype(np.float64)
        return gone
    if spec.operation == "days_between":
        absent = np.isnat(first) | np.isnat(second)
        days = (second.view(np.int64) - first.view(np.int64)).astype(np.float64) / _DAY
        return np.where(absent, np.nan, days)
    found: NDArray[np.float64]
    if spec.operation == "ratio":
        found = first / np.where(second == 0.0, np.nan, second)
    else:
        found = first - second if spec.operation == "difference" else first * second
    return found
