"""Two sets of counts on the same bins, checked: what every statistic starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.statistics.result import Undefined

__all__ = ["Floats", "Pair", "paired"]

Floats = NDArray[np.float64]

_WHOLE = 2.0**53  # beyond it float64 no longer holds every integer


@dataclass(frozen=True, slots=True)
class Pair:
    """Counts of the reference (``m`` rows) and of now (``n`` rows), float64, shape ``(bins,)``; m, n > 0."""

    reference: Floats
    current: Floats
    m: float
    n: float

    def shares(self) -> tuple[Floats, Floats]:
        """Return p and q: the shares of the rows in each bin. Equal ratios are equal to the bit."""
        return self.reference / self.m, self.current / self.n

    def occupied(self) -> Pair:
        """Return the pair less the bins that are empty on both sides."""
        kept = (self.reference + self.current) > 0
        return Pair(self.reference[kept], self.current[kept], self.m, self.n)

    @property
    def noise(self) -> float:
        """1/n + 1/m: what sampling adds, in units of what each bin adds."""
        return 1.0 / self.n + 1.0 / self.m


def paired(reference: ArrayLike, current: ArrayLike) -> Pair | Undefined:
    """Return the checked pair, or ``Undefined`` where a side holds no rows.

    Both have shape ``(bins,)`` and hold whole numbers from 0 on. Raises ``ValueError`` for anything else.
    """
    sides = _counts(reference, "reference"), _counts(current, "current")
    if len(sides[0]) != len(sides[1]):
        raise ValueError(
            f"reference has {len(sides[0])} bins and current has {len(sides[1])}: both must be counted on "
            "the same bins."
        )
    m, n = float(sides[0].sum()), float(sides[1].sum())
    for rows, name in ((m, "reference"), (n, "current")):
        if rows == 0:
            return Undefined(f"{name} holds no rows")
        if rows > _WHOLE:
            raise ValueError(
                f"{name} holds more than 2**53 rows: no count is that high. Look at what was summed."
            )
    return Pair(*sides, m, n)


def _counts(given: ArrayLike, name: str) -> Floats:
    found = np.asarray(given)
    if found.ndim != 1:
        raise ValueError(f"{name} must be one list of counts, not an array of shape {found.shape}.")
    if found.size and found.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold counts, not values of type {found.dtype}.")
    counts = found.astype(np.float64)
    if not np.isfinite(counts).all() or (counts != np.floor(counts)).any():
        raise ValueError(f"{name} must hold whole numbers; pass counts, not shares.")
    if (counts < 0).any():
        raise ValueError(f"{name} holds a negative count, in bin {int(np.argmin(counts))}.")
    return counts
