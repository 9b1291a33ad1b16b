"""ln(1 + x) with the same bits on every machine, for one number and for an array.

numpy's logarithms differ from the C library's, and from themselves on another processor, in the last bit of
a few values in a hundred. Here only ``frexp``, ``+ - * /`` and comparisons are used, which IEEE 754 defines
to the bit, in one order for scalars and arrays alike.

The method is the one set out in the comments of fdlibm's e_log.c and s_log1p.c (Sun Microsystems, 1993),
written from the mathematics. With 1 + x = 2**k * (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), and s = f / (2 + f),

    ln(1 + f) = 2 artanh(s) = 2s + s * R,  R = (2/3) s**2 + (2/5) s**4 + ...
              = f - (f**2/2 - s * (f**2/2 + R))       which loses no low bits of f
    ln(1 + x) = k ln 2 + ln(1 + f) + c / (1 + x),     c what rounding took from 1 + x

As |s| < 0.1716, the series may stop after s**22: the next term is below 2**-59 of the first.
Error: at most 1 ulp wherever it was compared with ``math.log1p``.
"""

from __future__ import annotations

from math import frexp
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["log1p_array", "log1p_float"]

Real = TypeVar("Real", float, NDArray[np.float64])

_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # 33 bits of ln 2: k times it is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")  # the next 53
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
# Where x itself can serve as f, with k = 0, no bit of it is lost in 1 + x.
_NEAR_LOW, _NEAR_HIGH = -0.29, 0.41
_C3, _C5, _C7, _C9, _C11, _C13 = 2 / 3, 2 / 5, 2 / 7, 2 / 9, 2 / 11, 2 / 13
_C15, _C17, _C19, _C21, _C23 = 2 / 15, 2 / 17, 2 / 19, 2 / 21, 2 / 23


def log1p_float(x: float) -> float:
    """Return ln(1 + x) for a finite float above -1, bit for bit what ``log1p_array`` gives."""
    if _NEAR_LOW < x < _NEAR_HIGH:
        k, f, c = 0.0, x, 0.0
    else:
        u = 1.0 + x
        c = (1.0 - (u - x) if x > 1.0 else x - (u - 1.0)) / u
        m, e = frexp(u)
        if m < _SQRT_HALF:
            m, e = m * 2.0, e - 1
        k, f = float(e), m - 1.0
    return _joined(k, f, c)


def log1p_array(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(1 + x) for finite float64 above -1, bit for bit what ``log1p_float`` gives."""
    near = (x > _NEAR_LOW) & (x < _NEAR_HIGH)
    u = 1.0 + x
    c = np.where(near, 0.0, np.where(x > 1.0, 1.0 - (u - x), x - (u - 1.0)) / u)
    m, e = np.frexp(u)
    low = m < _SQRT_HALF
    k = np.where(near, 0.0, e - low.astype(np.float64))
    f = np.where(near, x, np.where(low, m * 2.0, m) - 1.0)
    return _joined(k, f, c)


def _joined(k: Real, f: Real, c: Real) -> Real:
    """Return k ln 2 + ln(1 + f) + c: one expression for numbers and arrays, so that neither can drift."""
    s = f / (2.0 + f)
    z = s * s
    r = _C17 + z * (_C19 + z * (_C21 + z * _C23))
    r = _C7 + z * (_C9 + z * (_C11 + z * (_C13 + z * (_C15 + z * r))))
    r = z * (_C3 + z * (_C5 + z * r))
    h = 0.5 * f * f
    return k * _LN2_HIGH - ((h - (s * (h + r) + (k * _LN2_LOW + c))) - f)
