"""Numbers: fill, clip, logarithm, scale; float64 throughout, in one order for rows and columns."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Field
from inprocml.schema.number import LARGEST
from inprocml.schema.once import once
from inprocml.transform.logarithm import log1p_array, log1p_float
from inprocml.transform.specs import Numeric
from inprocml.transform.step import Sink, Writer

__all__ = ["NumericStep", "fit_numeric", "limits_unscaled"]

# The first float64 that rounds to no finite float32: halfway between the last one and what would follow.
_OVERFLOW = float.fromhex("0x1.ffffffp+127")
_DOWN = 2.0**-64
_ABOVE_MINUS_ONE = math.nextafter(-1.0, 0.0)


@dataclass(frozen=True)
class NumericStep:
    """``(ln(1 + clipped) - offset) / divisor``, each part only where the spec asks for it."""

    name: str
    spec: Numeric
    fill: float | None = None
    offset: float = 0.0
    divisor: float = 1.0
    width = 1
    unseen = None

    def __post_init__(self) -> None:
        if not (self.divisor > 0 and math.isfinite(self.divisor) and math.isfinite(self.offset)):
            raise ValueError("a scale needs a finite offset and a positive divisor")
        if (self.fill is None) != (self.spec.missing is None):
            raise ValueError("a fill belongs to an optional field, and only to one")
        for end in self._ends():
            if not abs(self.encode(end)) < _OVERFLOW:
                raise ValueError("the scale turns ordinary values into ones that float32 cannot hold")

    @once
    def field(self) -> Field:
        """Limits are where the feature would leave float32, so that no row is ever encoded as infinity."""
        limits = limits_unscaled(self.spec)
        if self.spec.clip is None and not self.spec.log:
            limits = (self._limit(-LARGEST), self._limit(LARGEST))
        return Field(self.name, "number", required=self.spec.missing is None, limits=limits)

    @once
    def encode(self) -> Callable[[float], float]:
        """The arithmetic for one value that is there."""
        low, high = self.spec.clip or (-math.inf, math.inf)
        clip, log, scaled = self.spec.clip is not None, self.spec.log, self.spec.scale != "none"
        offset, divisor = self.offset, self.divisor

        def encode(x: float) -> float:
            if clip:
                x = low if x < low else high if x > high else x  # noqa: FURB136 - as np.where does it
            if log:
                x = log1p_float(x)
            return (x - offset) / divisor if scaled else x

        return encode

    def names(self) -> list[str]:
        """Return the name of each feature."""
        return [self.name]

    def writer(self, start: int) -> Writer:
        """Return the row path, bound to the position of the first feature."""
        encode, check = self.encode, self.field.judge
        low, high = self.field.limits
        missing = 0.0 if self.fill is None else encode(self.fill)

        def write(value: object, out: Sink) -> None:
            if type(value) is float and low <= value <= high:
                out[start] = encode(value)
            else:
                number = check(value)
                out[start] = missing if number is None else encode(number)

        return write

    def write(self, column: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write a canonical column; ``out`` is zeros of shape ``(rows, width)``."""
        out[:, 0] = self.encode_column(column)

    def encode_column(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        """``encode`` for a column, missing filled: the same float64 bits before either is rounded."""
        x = column if self.fill is None else np.where(np.isnan(column), self.fill, column)
        x = prepare(self.spec, x)
        return (x - self.offset) / self.divisor if self.spec.scale != "none" else x

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this step, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "numeric@1",
            "name": self.name,
            "missing": spec.missing,
            "scale": spec.scale,
            "log": spec.log,
            "clip": None if spec.clip is None else list(spec.clip),
            "fill": self.fill,
            "offset": self.offset,
            "divisor": self.divisor,
        }

    def _ends(self) -> list[float]:
        """Values between which every accepted value is encoded: all but the last step are monotone."""
        ends = [] if self.fill is None else [self.fill]
        if self.spec.clip is not None:
            return [*ends, *self.spec.clip]
        return [*ends, _ABOVE_MINUS_ONE, LARGEST] if self.spec.log else [*ends, self.offset]

    def _limit(self, end: float) -> float:
        """The value furthest from the offset, towards ``end``, whose feature float32 holds, by bisection."""
        if abs(self.encode(end)) < _OVERFLOW:
            return end
        good, bad = _ordinal(self.offset), _ordinal(end)
        while abs(good - bad) > 1:
            middle = (good + bad) // 2
            if abs(self.encode(_number(middle))) < _OVERFLOW:
                good = middle
            else:
                bad = middle
        return _number(good)


def limits_unscaled(spec: Numeric) -> tuple[float, float]:
    """What a value must lie within before any scale is known: training rows are held to it too."""
    return (_ABOVE_MINUS_ONE if spec.log and spec.clip is None else -LARGEST, LARGEST)


def prepare(spec: Numeric, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clip and take the logarithm of a column without missing values."""
    if spec.clip is not None:
        low, high = spec.clip
        x = np.where(x < low, low, np.where(x > high, high, x))
    return log1p_array(x) if spec.log else x


def fit_numeric(name: str, spec: Numeric, column: NDArray[np.float64]) -> NumericStep:
    """Learn fill, offset and divisor; sums are exact (``math.fsum``), so the order of rows is no matter."""
    known = column[~np.isnan(column)]
    if not len(known):
        raise TransformError(
            f"{name}: there is no value to learn from. Leave the field out, or mend the table."
        )
    try:
        fill = _fill(spec, known)
        x = prepare(spec, known if fill is None else np.where(np.isnan(column), fill, column))
        offset, divisor = _scale(spec, x)
        return NumericStep(name, spec, fill, offset, divisor)
    except (ValueError, ArithmeticError):
        raise TransformError(
            f"{name}: the values are too far apart or too close to scale in float32. Use clip or log."
        ) from None


def _fill(spec: Numeric, known: NDArray[np.float64]) -> float | None:
    if spec.missing == "median":
        ordered = np.sort(known)
        low, high = float(ordered[(len(ordered) - 1) // 2]), float(ordered[len(ordered) // 2])
        return low if low == high else low / 2 + high / 2
    return _mean(known) if spec.missing == "mean" else spec.missing


def _mean(x: NDArray[np.float64]) -> float:
    low, high = float(x.min()), float(x.max())
    try:
        mean = math.fsum(x.tolist()) / len(x)
    except OverflowError:  # the sum left float64, the mean did not; what scaling loses is below its bits
        mean = math.fsum((x * _DOWN).tolist()) / len(x) / _DOWN
    # rounding may leave the range by a bit: a spread of zero would blow that up, a logarithm have no value
    return min(max(mean, low), high)


def _scale(spec: Numeric, x: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(x.min()), float(x.max())
    if spec.scale == "none":
        return 0.0, 1.0
    if spec.scale == "minmax":
        return low, (high - low) or 1.0
    mean = _mean(x)
    furthest = max(high - mean, mean - low)
    if furthest == 0.0:
        return mean, 1.0
    unit = math.ldexp(1.0, math.frexp(furthest)[1])  # a power of two: squares neither overflow nor vanish
    squares = ((x - mean) / unit) * ((x - mean) / unit)
    return mean, unit * math.sqrt(math.fsum(squares.tolist()) / len(x))


def _ordinal(number: float) -> int:
    """The position of a float64 among all of them, zero at zero."""
    bits: int = struct.unpack("<q", struct.pack("<d", abs(number)))[0]
    return -bits if number < 0 else bits


def _number(ordinal: int) -> float:
    number: float = struct.unpack("<d", struct.pack("<q", abs(ordinal)))[0]
    return -number if ordinal < 0 else number
