"""Cosine and sine of fractions of a turn, correctly rounded, by integer arithmetic alone.

No C library promises the last bit of ``cos``, and pi times a fraction is already rounded before it is asked.
Here the angle stays the exact fraction ``k / n`` of a turn: symmetry folds it into an eighth of a turn, and
the Taylor series runs in fixed point with Python's integers. Should the error bound leave the rounding in
doubt, the series runs again with twice the bits. It ends: by Niven's theorem the only rational values are
0, 1/2 and 1, which are told apart beforehand, so no other value lies on a float64 or halfway between two.

For tables: made once, then looked up.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["cosine", "sine", "table"]

_BITS = 256
_GUARD = 12  # bits: fewer than 2**12 truncations, each below one unit, add up in a series


def cosine(k: int, n: int) -> float:
    """Return cos(2 pi k / n) as the nearest float64; ``ValueError`` unless ``n`` is positive."""
    return _folded(4 * k, _positive(n))


def sine(k: int, n: int) -> float:
    """Return sin(2 pi k / n) as the nearest float64; ``ValueError`` unless ``n`` is positive."""
    return _folded(4 * k - _positive(n), n)


def table(n: int) -> tuple[tuple[float, float], ...]:
    """Return ``n`` pairs ``(sine, cosine)``, one for every n-th of a turn from 0 on."""
    return tuple((sine(k, n), cosine(k, n)) for k in range(_positive(n)))


def _positive(n: int) -> int:
    if n < 1:
        raise ValueError("n must be positive: a turn has at least one part")
    return n


def _folded(p: int, n: int) -> float:
    """Return the cosine of ``p / (4 n)`` turns."""
    p %= 4 * n
    if p > 2 * n:  # cos(-a) = cos a
        p = 4 * n - p
    sign = 1.0
    if p > n:  # cos(pi - a) = -cos a
        sign, p = -1.0, 2 * n - p
    if 2 * p > n:  # cos(pi/2 - a) = sin a
        return sign * _eighth(n - p, 4 * n, odd=True)
    return sign * _eighth(p, 4 * n, odd=False)


@lru_cache(maxsize=8192)
def _eighth(p: int, q: int, *, odd: bool) -> float:
    """Return the sine (``odd``) or the cosine of ``p / q`` turns, at most an eighth of a turn."""
    if p == 0:
        return 0.0 if odd else 1.0
    if odd and 12 * p == q:
        return 0.5
    bits = _BITS
    while True:
        value, error, one = _series(p, q, bits, odd=odd), 1 << _GUARD, 1 << bits
        # the division of two integers is correctly rounded, so equal ends mean that all between are equal
        low, high = (value - error) / one, (value + error) / one
        if low == high:
            return low
        bits *= 2


def _series(p: int, q: int, bits: int, *, odd: bool) -> int:
    """Return the Taylor series in units of ``2**-bits``."""
    x = 2 * _pi(bits) * p // q
    square = x * x >> bits
    term, step = (x, 1) if odd else (1 << bits, 0)
    total = 0
    while term:
        total += term
        term = -(term * square >> bits) // ((step + 1) * (step + 2))
        step += 2
    return total


@lru_cache(maxsize=8)
def _pi(bits: int) -> int:
    """Return pi in units of ``2**-bits``, by Machin's formula: 16 arctan(1/5) - 4 arctan(1/239)."""
    spare = bits + 32
    return (16 * _arctan_of_inverse(5, spare) - 4 * _arctan_of_inverse(239, spare)) >> 32


def _arctan_of_inverse(x: int, bits: int) -> int:
    power = (1 << bits) // x
    total, step = 0, 1
    while power:
        total += power // step if step % 4 == 1 else -(power // step)
        power //= x * x
        step += 2
    return total
