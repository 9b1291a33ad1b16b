"""What happens to a number before it is scaled or binned: clip, then logarithm or power.

Written three times over: for a float, for an array, and as source for the generated row path. Tests hold all
three to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.number import LARGEST
from inprocml.schema.once import once
from inprocml.transform.elementary import expm1_array, expm1_float, log_float
from inprocml.transform.logarithm import log1p_array, log1p_float
from inprocml.transform.rowcode import RowCode
from inprocml.transform.specs import Numeric

__all__ = ["Curve", "fit_exponent"]

_ABOVE_MINUS_ONE = math.nextafter(-1.0, 0.0)
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_MOST_BENT = 2.0**500
_MOST_POINTS = 5_000  # of the sorted values, evenly spread, judge an exponent


@dataclass(frozen=True)
class Curve:
    """A rising function of a float64 (but for "square", which rises with the distance from zero)."""

    clip: tuple[float, float] | None = None
    log: bool = False
    power: str | None = None
    exponent: float = 1.0

    @classmethod
    def of(cls, spec: Numeric, exponent: float = 1.0) -> Curve:
        """Return the curve that was declared."""
        return cls(spec.clip, spec.log, spec.power, exponent)

    @property
    def domain(self) -> tuple[float, float]:
        """Values that it has an answer for, both inclusive."""
        if self.clip is not None:
            return (-LARGEST, LARGEST)
        if self.log:
            return (_ABOVE_MINUS_ONE, LARGEST)
        return (0.0 if self.power == "sqrt" else -LARGEST, LARGEST)

    @property
    def ends(self) -> tuple[float, float]:
        """Values between which every value of the domain is mapped to what lies between their images."""
        return self.clip or self.domain

    @once
    def one(self) -> Callable[[float], float]:
        """The function of one float within the domain."""
        low, high = self.clip or (0.0, 0.0)
        clipped, bend = self.clip is not None, self._bend()

        def one(x: float) -> float:
            if clipped:
                x = low if x < low else high if x > high else x  # noqa: FURB136 - as np.where does it
            return x if bend is None else bend(x)

        return one

    def many(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what ``one`` gives for each element, bit for bit."""
        if self.clip is not None:
            low, high = self.clip
            x = np.where(x < low, low, np.where(x > high, high, x))
        if self.log:
            return log1p_array(x)
        if self.power == "sqrt":
            root: NDArray[np.float64] = np.sqrt(x)
            return root
        if self.power == "square":
            return x * x
        return yeo_johnson_many(x, self.exponent) if self.power else x

    def source(self, code: RowCode, x: str) -> str:
        """Return an expression of what ``one`` gives for the number that the variable ``x`` holds.

        An int will do as well as a float: all that is done to it converts it exactly.
        """
        if self.clip is not None:
            low, high = self.clip
            clipped = f"({low!r} if {x} < {low!r} else {high!r} if {x} > {high!r} else {x})"
        else:
            clipped = x
        bend = self._bend()
        return clipped if bend is None else f"{code.bind(bend)}({clipped})"

    def undone(self, y: float) -> float:
        """Return about where the curve, but for its clip, reaches ``y``; no exact inverse, and inf beyond."""
        if self.log:
            return expm1_float(y)
        if self.power == "sqrt":
            return y * y
        if self.power == "square":
            return math.sqrt(abs(y))
        return _yeo_johnson_undone(y, self.exponent) if self.power else y

    @property
    def straight(self) -> bool:
        """Whether it changes nothing but by clipping."""
        return not self.log and self.power is None

    def _bend(self) -> Callable[[float], float] | None:
        if self.log:
            return log1p_float
        if self.power == "sqrt":
            return math.sqrt
        if self.power == "square":
            return _square
        exponent = self.exponent
        return (lambda x: yeo_johnson(x, exponent)) if self.power else None


def _square(x: float) -> float:
    return x * x


def yeo_johnson(x: float, exponent: float) -> float:
    """Return Yeo and Johnson's power transform (Biometrika 87, 2000) of a finite float, inf if too large."""
    grown = log1p_float(abs(x))
    rate = exponent if x >= 0.0 else 2.0 - exponent
    bent = grown if rate == 0.0 else expm1_float(rate * grown) / rate
    return bent if x >= 0.0 else -bent


def _yeo_johnson_undone(y: float, exponent: float) -> float:
    rate = exponent if y >= 0.0 else 2.0 - exponent
    bent = rate * abs(y)
    if bent <= -1.0:  # the curve ends before it is there
        return math.copysign(math.inf, y)
    grown = abs(y) if rate == 0.0 else log1p_float(bent) / rate if math.isfinite(bent) else math.inf
    return math.copysign(expm1_float(grown), y)


def yeo_johnson_many(x: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Return what ``yeo_johnson`` gives for each element, bit for bit."""
    grown, right = log1p_array(np.abs(x)), x >= 0.0
    rates = (exponent, 2.0 - exponent)
    sides = [grown if rate == 0.0 else expm1_array(rate * grown) / rate for rate in rates]
    return np.where(right, sides[0], -sides[1])


def fit_exponent(x: NDArray[np.float64]) -> float:
    """Return the exponent for which the bent values look most like a normal distribution.

    The maximum of Yeo and Johnson's likelihood within [-5, 5], by golden section: sums are exact, and at most
    5,000 of the sorted values are asked, so neither the order of rows nor the machine makes a difference.
    """
    ordered = np.sort(x)
    if len(ordered) > _MOST_POINTS:
        ordered = ordered[np.arange(_MOST_POINTS) * (len(ordered) - 1) // (_MOST_POINTS - 1)]
    if ordered[0] == ordered[-1]:
        return 1.0
    stretch = math.fsum(np.where(ordered >= 0.0, 1.0, -1.0) * log1p_array(np.abs(ordered)))
    low, high = -5.0, 5.0
    for _ in range(60):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if _likelihood(ordered, left, stretch) < _likelihood(ordered, right, stretch):
            low = left
        else:
            high = right
    return (low + high) / 2.0


def _likelihood(x: NDArray[np.float64], exponent: float, stretch: float) -> float:
    bent = yeo_johnson_many(x, exponent)
    # squares and sums must stay within float64 as well
    if not (np.abs(bent) < _MOST_BENT).all():
        return -math.inf
    count = len(bent)
    mean = math.fsum(bent.tolist()) / count
    centred = bent - mean
    variance = math.fsum((centred * centred).tolist()) / count
    if not 0.0 < variance < math.inf:
        return -math.inf
    return -count / 2.0 * log_float(variance) + (exponent - 1.0) * stretch
