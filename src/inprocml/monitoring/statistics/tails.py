"""Tails of the chi-square and the normal distribution, without SciPy; also where they underflow.

For whole degrees of freedom the upper tail of chi-square is a finite sum of positive terms (Abramowitz and
Stegun 26.4.4 and 26.4.5), so nothing cancels. All works on logarithms: a z of 40 has a p of 10**-350, which
no float64 holds.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "chi_square_isf",
    "chi_square_log_sf",
    "chi_square_sf",
    "normal_isf",
    "normal_isf_log",
    "normal_log_sf",
    "normal_sf",
]

Floats = NDArray[np.float64]

_FAR = 30.0  # from here on the asymptotic series is exact to float64; erfc holds up to 37
_LOG_ROOT_TWO_PI = 0.5 * math.log(2 * math.pi)
_LOG_SMALL = -650.0
_STEPS = 100
_erfc = np.frompyfunc(math.erfc, 1, 1)
_inverse = np.frompyfunc(NormalDist().inv_cdf, 1, 1)


def normal_sf(z: ArrayLike) -> Floats:
    """Return P(Z >= z) of the standard normal; 0 where float64 ends, at z = 38.

    >>> round(float(normal_sf(1.959963984540054)), 12)
    0.025
    """
    return np.exp(normal_log_sf(z))


def normal_log_sf(z: ArrayLike) -> Floats:
    """Return ln P(Z >= z); relative error below 1e-13. DLMF 7.12.1 beyond 30, ``math.erfc`` before.

    >>> round(float(normal_log_sf(40.0)), 4)
    -804.6084
    """
    given = np.asarray(z, dtype=np.float64)
    smaller = 0.5 * np.asarray(_erfc(np.minimum(np.abs(given), _FAR) / math.sqrt(2)), dtype=np.float64)
    near = np.where(given < 0, np.log1p(-smaller), np.log(smaller))
    far = np.maximum(given, _FAR)
    square = far * far
    series = 1 - (1 - (3 - (15 - 105 / square) / square) / square) / square
    tail = -0.5 * square - _LOG_ROOT_TWO_PI - np.log(far) + np.log(series)
    return np.where(given < _FAR, near, tail)


def normal_isf(p: ArrayLike) -> Floats:
    """Return the z with P(Z >= z) = p, for p from 0 to 1. Wichura's AS 241, in the standard library.

    >>> round(float(normal_isf(0.025)), 6)
    1.959964
    """
    with np.errstate(divide="ignore"):
        return normal_isf_log(np.log(np.asarray(p, dtype=np.float64)))


def normal_isf_log(log_p: ArrayLike) -> Floats:
    """Return the z with ln P(Z >= z) = ``log_p``, for any that is at most 0; relative error below 1e-10.

    Raises ``ValueError`` for what is no logarithm of a probability.

    >>> round(float(normal_isf_log(-804.6084420137539)), 9)
    40.0
    """
    given = np.asarray(log_p, dtype=np.float64)
    if np.isnan(given).any() or (given > 0).any():
        raise ValueError("a probability must lie between 0 and 1, and its logarithm must not be above 0.")
    p = np.exp(np.maximum(given, _LOG_SMALL))
    near = -np.asarray(_inverse(np.minimum(p, 1 - 2.0**-53)), dtype=np.float64)
    beyond = np.clip(given, -1e300, _LOG_SMALL)
    far = np.sqrt(-2 * beyond)
    for _ in range(6):  # Newton; beyond 35 the slope is z + 1/z but for a millionth
        far = far + (normal_log_sf(far) - beyond) / (far + 1 / far)
    found = np.where(given > _LOG_SMALL, near, far)
    found = np.where(given == -np.inf, np.inf, found)
    return np.where(given == 0, -np.inf, found)


def chi_square_sf(statistic: ArrayLike, dof: ArrayLike) -> Floats:
    """Return P(X >= statistic) of chi-square; 1 for 0 degrees of freedom, where there is nothing to differ.

    >>> round(float(chi_square_sf(16.918977604620448, 9)), 12)
    0.05
    """
    return np.exp(chi_square_log_sf(statistic, dof))


def chi_square_log_sf(statistic: ArrayLike, dof: ArrayLike) -> Floats:
    """Return ln P(X >= statistic); broadcasts; ``dof`` whole, from 0 on. Error below 1e-12 up to 1000 dof.

    Raises ``ValueError`` for NaN, and for degrees of freedom that are negative or no whole numbers.

    >>> round(float(chi_square_log_sf(2000.0, 15)), 3)
    -962.627
    """
    given, free = np.broadcast_arrays(np.asarray(statistic, dtype=np.float64), np.asarray(dof))
    if free.dtype.kind not in "iu" or (free < 0).any() or np.isnan(given).any():
        raise ValueError("chi-square needs a number and whole degrees of freedom, from 0 on.")
    if not given.size:
        return np.zeros(given.shape)
    half = np.clip(given / 2, np.finfo(np.float64).tiny, 1e300)[..., None]
    steps = np.arange(max(int(free.max()) // 2, 1))
    twice = free[..., None] - 2 * steps  # the term's power of ``half``, twice, plus 2
    power = twice / 2 - 1
    gammas = _log_gammas(int(free.max()) + 1)[np.maximum(twice, 1)]
    terms = np.where(twice >= 2, power * np.log(half) - gammas - half, -np.inf)
    odd = np.where(free % 2 == 1, math.log(2) + normal_log_sf(np.sqrt(2 * half[..., 0])), -np.inf)
    summed = np.logaddexp(np.logaddexp.reduce(terms, axis=-1), odd)
    found = np.where((given <= 0) | (free == 0), 0.0, np.minimum(summed, 0.0))
    return np.where((given == np.inf) & (free > 0), -np.inf, found)


def chi_square_isf(p: float, dof: int) -> float:
    """Return the x with P(X >= x) = p, for 0 < p <= 1 and ``dof`` from 1 on. Newton on the logarithm.

    Raises ``ValueError`` for anything else.

    >>> round(chi_square_isf(0.05, 9), 6)
    16.918978
    """
    if not 0 < p <= 1 or dof < 1:
        raise ValueError("chi-square's quantile needs 0 < p <= 1 and at least 1 degree of freedom.")
    if p == 1:
        return 0.0
    if dof == 1:
        return float(normal_isf(p / 2)) ** 2
    if dof == 2:
        return -2 * math.log(p)
    spread = 2 / (9 * dof)  # Wilson and Hilferty 1931: the cube root is nearly normal
    x = max(dof * (1 - spread + float(normal_isf(p)) * math.sqrt(spread)) ** 3, 1e-3)
    for _ in range(_STEPS):
        log_sf = float(chi_square_log_sf(x, dof))
        log_density = (dof / 2 - 1) * math.log(x / 2) - x / 2 - math.lgamma(dof / 2) - math.log(2)
        # The tail is log-concave from 2 degrees of freedom on: after one step Newton comes from the right.
        step = (log_sf - math.log(p)) * math.exp(log_sf - log_density)
        x = max(x + step, x / 8)
        if abs(step) <= 1e-14 * x:
            break
    return x


@lru_cache(maxsize=16)
def _log_gammas(most: int) -> Floats:
    """Return ln Gamma(k / 2) for k up to ``most``; the first is never used."""
    return np.array([0.0, *(math.lgamma(k / 2) for k in range(1, most + 1))])
