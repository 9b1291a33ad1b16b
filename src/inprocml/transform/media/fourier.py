"""The power spectrum of real frames, with the same bits on every machine and however frames are grouped.

FFT libraries choose their order of operations by processor and size. Here it is fixed: elementwise + - * of
float64 over all frames at once, never a matrix product, with twiddle factors that are correctly rounded.
The real transform of n points is made of a complex one of n/2 (Stockham's self-sorting radix 2, decimation in
frequency) and one pass that separates even from odd.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inprocml.transform.turns import cosine, sine

__all__ = ["power_spectrum"]

Reals = NDArray[np.float64]


def power_spectrum(frames: Reals) -> Reals:
    """Return the squared magnitudes of the discrete Fourier transform of each frame.

    ``frames``: float64 of shape ``(n, count)``, n a power of two from 4 on, one frame a *column*. The result
    has shape ``(n // 2 + 1, count)``.
    """
    n = len(frames)
    real, imaginary = _complex_transform(frames[0::2], frames[1::2])
    cosines, sines = _turn(n)
    # Z[n/2] is Z[0]; reading backwards gives Z[n/2 - k]
    zr, zi = np.concatenate([real, real[:1]]), np.concatenate([imaginary, imaginary[:1]])
    back_r, back_i = zr[::-1], zi[::-1]
    even_r, even_i = (zr + back_r) * 0.5, (zi - back_i) * 0.5
    odd_r, odd_i = (zi + back_i) * 0.5, (back_r - zr) * 0.5
    sum_r = even_r + (cosines * odd_r + sines * odd_i)
    sum_i = even_i + (cosines * odd_i - sines * odd_r)
    power: Reals = sum_r * sum_r + sum_i * sum_i
    return power


def _complex_transform(real: Reals, imaginary: Reals) -> tuple[Reals, Reals]:
    """Return the complex transform along the first axis, in natural order."""
    n, count = real.shape
    stride = 1
    real, imaginary = real.reshape(n, 1, count), imaginary.reshape(n, 1, count)
    while n > 1:
        half = n // 2
        a_r, b_r, a_i, b_i = real[:half], real[half:], imaginary[:half], imaginary[half:]
        next_r = np.empty((half, 2, stride, count))
        next_i = np.empty((half, 2, stride, count))
        np.add(a_r, b_r, out=next_r[:, 0])
        np.add(a_i, b_i, out=next_i[:, 0])
        d_r, d_i = a_r - b_r, a_i - b_i
        cosines, sines = (part[:half, None] for part in _turn(n))
        # (d_r + i d_i) (cos - i sin)
        np.add(cosines * d_r, sines * d_i, out=next_r[:, 1])
        np.subtract(cosines * d_i, sines * d_r, out=next_i[:, 1])
        n, stride = half, stride * 2
        real, imaginary = next_r.reshape(n, stride, count), next_i.reshape(n, stride, count)
    return real.reshape(stride, count), imaginary.reshape(stride, count)


@lru_cache(maxsize=32)
def _turn(n: int) -> tuple[Reals, Reals]:
    """Return cosines and sines of 0 to n/2 n-ths of a turn, each of shape ``(n // 2 + 1, 1)``."""
    steps = range(n // 2 + 1)
    parts = np.array([[cosine(k, n) for k in steps], [sine(k, n) for k in steps]])
    parts.flags.writeable = False
    return parts[0][:, None], parts[1][:, None]
