"""e**x, e**x - 1 and ln x with the same bits on every machine, for one number and for an array.

Like ``logarithm``: only + - * /, comparisons, ``floor`` and scaling by powers of two, which IEEE 754 defines
to the bit, in one expression for scalars and arrays. Method (fdlibm's e_exp.c and s_expm1.c set it out,
Sun Microsystems, 1993; written here from the mathematics): with x = k ln 2 + r, |r| <= ln 2 / 2,

    z coth z = 1 + z**2/3 - z**4/45 + ... = sum of B(2i) (2z)**2i / (2i)!, with z = r / 2, so that
    c = r - (r**2/6 - r**4/360 + r**6/15120 - ...)
    e**r - 1 = r + r c / (2 - c)
    e**x - 1 = 2**k ((1 - 2**-k) + (e**r - 1))

The first term left out is below 2**-60 of the result. Error: at most 2 ulp wherever compared with ``math``.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inprocml.transform.logarithm import log1p_array, log1p_float

__all__ = ["exp_array", "exp_float", "expm1_array", "expm1_float", "log_array", "log_float"]

Real = TypeVar("Real", float, NDArray[np.float64])

_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # 33 bits of ln 2: k times it is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")  # the next 53
_INVERSE_LN2 = float.fromhex("0x1.71547652b82fep+0")
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
# Beyond these the result is infinity, 0 or -1 whatever x is; within them k stays within the range of 2**k.
_LARGE, _SMALL, _SMALL_MINUS_ONE = 710.0, -746.0, -50.0
_P1, _P2, _P3, _P4 = 1 / 6, -1 / 360, 1 / 15120, -1 / 604800
_P5, _P6, _P7 = 1 / 23950080, -691 / 653837184000, 1 / 37362124800


def exp_float(x: float) -> float:
    """Return e**x, bit for bit what ``exp_array`` gives; inf where too large, NaN for NaN."""
    if x != x:  # noqa: PLR0124 - NaN is the only value unequal to itself
        return x
    x = max(min(x, _LARGE), _SMALL)
    k = math.floor(x * _INVERSE_LN2 + 0.5)
    half = k // 2
    return (1.0 + _reduced(x, float(k))) * math.ldexp(1.0, half) * math.ldexp(1.0, k - half)


def exp_array(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return e**x of float64, bit for bit what ``exp_float`` gives."""
    with np.errstate(all="ignore"):
        y = _bounded(x, _SMALL)
        k = np.floor(y * _INVERSE_LN2 + 0.5)
        first, second = _scales(k)
        return np.where(np.isnan(x), x, (1.0 + _reduced(y, k)) * first * second)


def expm1_float(x: float) -> float:
    """Return e**x - 1, bit for bit what ``expm1_array`` gives: inf where too large, NaN for NaN."""
    if x != x:  # noqa: PLR0124 - NaN
        return x
    x = max(min(x, _LARGE), _SMALL_MINUS_ONE)
    k = math.floor(x * _INVERSE_LN2 + 0.5)
    half = k // 2
    rest = (1.0 - math.ldexp(1.0, -k)) + _reduced(x, float(k))
    return rest * math.ldexp(1.0, half) * math.ldexp(1.0, k - half)


def expm1_array(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return e**x - 1 of float64, bit for bit what ``expm1_float`` gives."""
    with np.errstate(all="ignore"):
        y = _bounded(x, _SMALL_MINUS_ONE)
        k = np.floor(y * _INVERSE_LN2 + 0.5)
        first, second = _scales(k)
        rest = (1.0 - np.ldexp(1.0, (-k).astype(np.int32))) + _reduced(y, k)
        return np.where(np.isnan(x), x, rest * first * second)


def log_float(x: float) -> float:
    """Return ln x for a finite float above 0, bit for bit what ``log_array`` gives."""
    m, e = math.frexp(x)
    if m < _SQRT_HALF:
        m, e = m * 2.0, e - 1
    return e * _LN2_HIGH + (e * _LN2_LOW + log1p_float(m - 1.0))


def log_array(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln x for finite float64 above 0, bit for bit what ``log_float`` gives."""
    m, e = np.frexp(x)
    low = m < _SQRT_HALF
    k = e - low.astype(np.float64)
    return k * _LN2_HIGH + (k * _LN2_LOW + log1p_array(np.where(low, m * 2.0, m) - 1.0))


def _reduced(x: Real, k: Real) -> Real:
    """Return e**(x - k ln 2) - 1: one expression for numbers and arrays, so that neither can drift."""
    high, low = x - k * _LN2_HIGH, k * _LN2_LOW
    r = high - low
    z = r * r
    c = r - z * (_P1 + z * (_P2 + z * (_P3 + z * (_P4 + z * (_P5 + z * (_P6 + z * _P7))))))
    return high - (low - r * c / (2.0 - c))


def _bounded(x: NDArray[np.float64], low: float) -> NDArray[np.float64]:
    """Return ``x`` within the bounds, 0 for NaN."""
    return np.where(x > _LARGE, _LARGE, np.where(x < low, low, np.where(np.isnan(x), 0.0, x)))


def _scales(k: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two powers of two whose product is 2**k: that alone may be beyond float64."""
    half = np.floor(k * 0.5)
    return np.ldexp(1.0, half.astype(np.int32)), np.ldexp(1.0, (k - half).astype(np.int32))
