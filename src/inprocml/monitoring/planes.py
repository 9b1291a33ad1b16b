"""In which few directions the vectors of training lie, so that one which points elsewhere is noticed.

Principal components of the vectors over their norms (Pearson, Philosophical Magazine 1901; for drift, the
reconstruction error of NannyML). What is learnt is rounded to float32 before it is used: training rows are
measured with what travels, and served ones with the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.once import once

__all__ = ["LARGEST", "MOST_COMPONENTS", "MOST_PLANES", "Plane", "learnt"]

LARGEST = 2_048
"""Numbers of a vector, beyond which none is learnt."""

MOST_COMPONENTS = 8

MOST_PLANES = 32
"""Fields of one model that have one: 72 KB of float32 each at most, 96 as text."""

_MOST_ROWS = 10_000
_MOST_NUMBERS = 2**23  # that components are learnt from: some seconds
_SPARE = 0.1  # standard deviations that training rows may lie nearer than others do
_ROUNDED = 1e-6  # that float32 leaves of vectors which are all alike
_SOUND = 1e-3  # how far components may be from orthonormal: float32 is a thousand times nearer

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """The mean and up to 8 orthonormal components of vectors of length 1, each of ``size`` numbers.

    ``content`` holds them one after the other, as little-endian float32. ``ValueError`` for what cannot be.
    """

    size: int
    content: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not 2 <= self.size <= LARGEST:
            raise ValueError(f"a plane lies among vectors of 2 to {LARGEST} numbers")
        rows, left = divmod(len(self.content), 4 * self.size)
        if left or not 1 <= rows <= 1 + min(MOST_COMPONENTS, self.size // 2):
            raise ValueError(
                "a plane has a mean and a few components, each of as many numbers as its vectors"
            )
        mean, components = self.parts
        if not np.isfinite(mean).all() or not (mean**2).sum() <= 1 + _SOUND:
            raise ValueError("the mean of vectors of length 1 is no longer than these")
        if not np.isfinite(components).all() or not (np.abs(components) <= 2).all():
            raise ValueError("components have ordinary finite numbers")
        if not np.allclose(components @ components.T, np.eye(len(components)), rtol=0, atol=_SOUND):
            raise ValueError("components are of length 1 and at right angles")

    @once
    def parts(self) -> tuple[_Floats, _Floats]:
        """The mean, shape ``(size,)``, and the components, ``(k, size)``; read-only."""
        numbers = np.frombuffer(self.content, dtype="<f4").astype(np.float64).reshape(-1, self.size)
        numbers.flags.writeable = False
        return numbers[0], numbers[1:]

    def distances(self, units: _Floats) -> _Floats:
        """Return how far vectors of length 1, C-contiguous ``(rows, size)``, lie from the plane; NaN for NaN.

        From 0 to 2. A row alone gives the bits that it gives beside others: so sums, and no matrix product.
        """
        mean, components = self.parts
        left = units - mean
        centred = left.copy()
        for component in components:
            left -= (centred * component).sum(axis=1)[:, None] * component
        distances: _Floats = np.sqrt((left**2).sum(axis=1))
        return distances


def learnt(units: _Floats) -> Plane | None:
    """Learn from vectors of length 1, shape ``(rows, size)``; ``None`` where there is nothing to learn.

    From at most 10,000 rows, evenly chosen. A component is kept if it explains more than its even share of
    the variance (Kaiser, Educational and Psychological Measurement 1960), and only as many as hold for rows
    that they were not learnt from: learnt from every second row, they must leave the others no further from
    the plane, by a tenth of the standard deviation. Else the rows of training would seem to fit better than
    any that is served; where not even the mean holds, as of vectors that point anywhere, nothing is learnt.
    """
    size = units.shape[1]
    known = units[~np.isnan(units[:, 0])]
    if not len(known) or not 2 <= size <= LARGEST:
        return None
    most = min(len(known), _MOST_ROWS, max(2, _MOST_NUMBERS // size))
    chosen = np.ascontiguousarray(known[np.linspace(0, len(known) - 1, most).round().astype(np.intp)])
    half = _plane(chosen[::2], MOST_COMPONENTS)
    kept = len(half.parts[1])
    while kept >= 0 and not _holds(_plane_of(half, kept), chosen):
        kept -= 1
    return _plane(chosen, kept) if kept >= 0 else None


def _plane(units: _Floats, most: int) -> Plane:
    size = units.shape[1]
    mean = units.mean(axis=0)
    centred = units - mean
    values, vectors = np.linalg.eigh(centred.T @ centred)
    telling = int((values > max(values.sum() / size, 1e-12 * len(units))).sum())
    kept = vectors.T[::-1][: min(telling, most, MOST_COMPONENTS, size // 2)]
    return Plane(size, np.concatenate([mean[None], kept]).astype("<f4").tobytes())


def _plane_of(plane: Plane, kept: int) -> Plane:
    """The same with the first components alone."""
    return Plane(plane.size, plane.content[: 4 * plane.size * (1 + kept)])


def _holds(plane: Plane, units: _Floats) -> bool:
    """Whether every second row, of which it was learnt, lies as near as the others."""
    if len(units) < 2:
        return False
    distances = plane.distances(units)
    mine, others = distances[::2], distances[1::2]
    return bool(others.mean() - mine.mean() <= _SPARE * mine.std() + _ROUNDED)
