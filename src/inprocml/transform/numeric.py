"""Numbers: fill, clip, bend, scale; float64 throughout, in one order for rows and columns."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Canonical, Field
from inprocml.schema.number import LARGEST
from inprocml.schema.once import once
from inprocml.transform.curve import Curve, fit_exponent
from inprocml.transform.edges import quantile
from inprocml.transform.limits import OVERFLOW, limit_where
from inprocml.transform.rowcode import RowCode
from inprocml.transform.specs import Numeric

__all__ = ["NumericStep", "fit_numeric", "learnt", "number_test", "spread_of"]

_DOWN = 2.0**-64
_EXACT = 2**53


@dataclass(frozen=True)
class NumericStep:
    """``(curve(x) - offset) / divisor``, each part only where the spec asks for it, then the flag if any."""

    name: str
    spec: Numeric
    fill: float | None = None
    offset: float = 0.0
    divisor: float = 1.0
    exponent: float = 1.0
    unseen = None

    def __post_init__(self) -> None:
        if not (self.divisor > 0 and math.isfinite(self.divisor) and math.isfinite(self.offset)):
            raise ValueError("a scale needs a finite offset and a positive divisor")
        if (self.fill is None) != (self.spec.missing is None):
            raise ValueError("a fill belongs to an optional field, and only to one")
        if not abs(self.exponent) <= 5.0:
            raise ValueError("an exponent lies between -5 and 5")
        if not all(self._fits(value) for value in self._ordinary()):
            raise ValueError("the scale turns ordinary values into ones that float32 cannot hold")

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def field(self) -> Field:
        """Limits are where the feature would leave float32, so that no row is ever encoded as infinity."""
        (low, high), good = self.curve.domain, self._ordinary()[0]
        above = self.curve.undone(self.offset + OVERFLOW * self.divisor)
        below = -above if self._even else self.curve.undone(self.offset - OVERFLOW * self.divisor)
        limits = (limit_where(self._fits, good, low, below), limit_where(self._fits, good, high, above))
        return Field(
            self.spec.field or self.name, "number", required=self.spec.missing is None, limits=limits
        )

    @once
    def curve(self) -> Curve:
        """What happens to a value before it is scaled."""
        return Curve.of(self.spec, self.exponent)

    @once
    def encode(self) -> Callable[[float], float]:
        """The arithmetic for one value that is there."""
        bend, scaled = self.curve.one, self.spec.scale != "none"
        offset, divisor = self.offset, self.divisor
        return lambda x: (bend(x) - offset) / divisor if scaled else bend(x)

    @property
    def flagged(self) -> bool:
        """Whether a second feature tells that the value was missing."""
        return self.spec.missing == "flag"

    @property
    def width(self) -> int:
        """The number of features."""
        return 2 if self.flagged else 1

    def names(self) -> list[str]:
        """Return the name of each feature."""
        return [self.name, f"{self.name}=?missing"] if self.flagged else [self.name]

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32."""
        value: Any = values[0]
        filled: Any = self.fill if value is None else value
        assert filled is not None  # a required value is there, an optional one has a fill
        x = self.encode(filled)
        return struct.pack("=2f", x, value is None) if self.flagged else struct.pack("=f", x)

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``."""
        out[:, 0] = self.encode_column(columns[0])
        if self.flagged:
            out[:, 1] = np.isnan(columns[0])

    def encode_column(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        """``encode`` for a column, missing filled: the same float64 bits before either is rounded."""
        x = column
        if self.fill is not None:
            absent = np.isnan(column)
            x = np.where(absent, self.fill, column) if absent.any() else column
        x = self.curve.many(x)
        return (x - self.offset) / self.divisor if self.spec.scale != "none" else x

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        z = self.emit_value(code, raws[0])
        code.scalar(z)
        if self.flagged:
            code.scalar(f"{z}m")

    def emit_value(self, code: RowCode, raw: str) -> str:
        """Add lines that judge ``raw``; return the variable that will hold the feature in float64.

        With a flag, the variable of the same name and an ``m`` holds that.
        """
        z = code.variable()
        expression = self.curve.source(code, raw)
        if self.spec.scale != "none":
            expression = f"({expression} - {self.offset!r}) / {self.divisor!r}"
        flagged = self.flagged
        code.line(f"if {number_test(raw, self.field)}:")
        code.line(f"    {z} = {expression}" + (f"; {z}m = 0.0" if flagged else ""))
        if self.fill is not None:
            code.line(f"elif {raw} is None:")
            code.line(f"    {z} = {self.encode(self.fill)!r}" + (f"; {z}m = 1.0" if flagged else ""))
        code.line("else:")
        code.line(f"    {z}{f', {z}m' if flagged else ''} = {code.bind(self._odd())}({raw})")
        return z

    def _odd(self) -> Callable[[object], Any]:
        """The same for values of unusual types, and for those that are refused."""
        judge, encode, fill, flagged = self.field.judge, self.encode, self.fill, self.flagged

        def odd(value: object) -> Any:
            number = judge(value)
            filled: Any = fill if number is None else number
            x = encode(filled)
            return (x, float(number is None)) if flagged else x

        return odd

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "numeric@1",
            "name": self.name,
            "field": spec.field,
            "missing": spec.missing,
            "scale": spec.scale,
            "log": spec.log,
            "power": spec.power,
            "clip": None if spec.clip is None else list(spec.clip),
            "fill": self.fill,
            "offset": self.offset,
            "divisor": self.divisor,
            "exponent": self.exponent,
        }

    @property
    def _even(self) -> bool:
        """Whether the curve falls before it rises."""
        return self.spec.power == "square"

    def _ordinary(self) -> list[float]:
        """Values that must be encodable: what is narrower than that is no scale for requests to come."""
        ordinary = [] if self.fill is None else [self.fill]
        if self.spec.clip is not None:
            ordinary += [end for end in self.spec.clip if abs(end) < LARGEST]  # one side may have no limit
        elif self.spec.log:
            ordinary += self.curve.domain
        if self._even:  # where it turns: with that, all between values that fit do so as well
            low, high = self.curve.ends
            ordinary.insert(0, min(max(0.0, low), high))
        return ordinary or [0.0 if self.spec.power else self.offset]

    def _fits(self, x: float) -> bool:
        low, high = self.curve.domain
        return low <= x <= high and abs(self.encode(x)) < OVERFLOW


def number_test(raw: str, field: Field) -> str:
    """Return a condition, for generated code, that is true only of numbers the field accepts."""
    low, high = field.limits
    test = f"type({raw}) is float and {low!r} <= {raw} <= {high!r}"
    first, last = max(low, -float(_EXACT)), min(high, float(_EXACT))
    if first > last:
        return test
    return f"{test} or type({raw}) is int and {math.ceil(first)} <= {raw} <= {math.floor(last)}"


def fit_numeric(name: str, spec: Numeric, column: NDArray[np.float64]) -> NumericStep:
    """Learn fill, exponent, offset and divisor; sums are exact, so the order of rows is no matter."""
    known, fill = learnt(name, spec, column)
    try:
        x = known if fill is None else np.where(np.isnan(column), fill, column)
        exponent = 1.0
        if spec.power == "yeo-johnson":
            exponent = fit_exponent(Curve(clip=spec.clip).many(x))
        offset, divisor = _scale(spec, Curve.of(spec, exponent).many(x))
        return NumericStep(name, spec, fill, offset, divisor, exponent)
    except (ValueError, ArithmeticError):
        raise TransformError(
            f"{name}: the values are too far apart or too close to scale in float32. Use clip or log."
        ) from None


def learnt(name: str, spec: Numeric, column: NDArray[np.float64]) -> tuple[NDArray[np.float64], float | None]:
    """Return the values that are there, and what stands in for the others."""
    known = column[~np.isnan(column)]
    if not len(known):
        raise TransformError(
            f"{name}: there is no value to learn from. Leave the field out, or mend the table."
        )
    if spec.missing in {"median", "flag"}:
        ordered = np.sort(known)
        low, high = float(ordered[(len(ordered) - 1) // 2]), float(ordered[len(ordered) // 2])
        return known, low if low == high else low / 2 + high / 2
    if spec.missing == "mean":
        return known, mean_of(known)
    assert not isinstance(spec.missing, str)
    return known, spec.missing


def mean_of(x: NDArray[np.float64]) -> float:
    """Return the mean, from an exact sum."""
    low, high = float(x.min()), float(x.max())
    try:
        mean = math.fsum(x.tolist()) / len(x)
    except OverflowError:  # the sum left float64, the mean did not; what scaling loses is below its bits
        mean = math.fsum((x * _DOWN).tolist()) / len(x) / _DOWN
    # rounding may leave the range by a bit: a spread of zero would blow that up, a logarithm have no value
    return min(max(mean, low), high)


def spread_of(x: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and population standard deviation, 1 for a constant column, from exact sums."""
    mean = mean_of(x)
    furthest = max(float(x.max()) - mean, mean - float(x.min()))
    if furthest == 0.0:
        return mean, 1.0
    unit = math.ldexp(1.0, math.frexp(furthest)[1])  # a power of two: squares neither overflow nor vanish
    squares = ((x - mean) / unit) * ((x - mean) / unit)
    return mean, unit * math.sqrt(math.fsum(squares.tolist()) / len(x))


def _scale(spec: Numeric, x: NDArray[np.float64]) -> tuple[float, float]:
    if spec.scale == "none":
        return 0.0, 1.0
    if spec.scale == "minmax":
        low, high = float(x.min()), float(x.max())
        return low, (high - low) or 1.0
    if spec.scale == "robust":
        ordered = np.sort(x)
        return quantile(ordered, 0.5), (quantile(ordered, 0.75) - quantile(ordered, 0.25)) or 1.0
    return spread_of(x)
