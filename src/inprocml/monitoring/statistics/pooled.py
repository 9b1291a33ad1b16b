"""Rows of two sides put together, for statistics that look at several columns at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.statistics.pair import Floats
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["MOST_ROWS", "Pool", "pooled"]

MOST_ROWS = 2000
FEWEST_ROWS = 20

Pool = tuple[Floats, NDArray[np.bool_]]
"""All rows, shape ``(rows, columns)``, and which of them are current, shape ``(rows,)``."""


def pooled(reference: ArrayLike, current: ArrayLike, seed: int) -> Pool | Undefined:
    """Return both sides' rows, at most 2000 of each, drawn by ``seed``; ``Undefined`` below 20 of a side.

    Both have shape ``(rows, columns)``, NaN where a value is missing. Raises ``ValueError`` for other shapes.
    """
    sides = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    shapes = [side.shape for side in sides]
    if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1] or not shapes[0][1]:
        raise ValueError(
            f"both sides must have shape (rows, columns) with the same columns, at least one: the reference "
            f"has {shapes[0]}, current has {shapes[1]}."
        )
    for side, name in zip(sides, ("reference", "current"), strict=True):
        if len(side) < FEWEST_ROWS:
            return Undefined(f"{name} holds {len(side)} rows, and {FEWEST_ROWS} are the fewest")
    draw = np.random.default_rng(seed)
    drawn = [
        side if len(side) <= MOST_ROWS else side[np.sort(draw.permutation(len(side))[:MOST_ROWS])]
        for side in sides
    ]
    is_current = np.arange(len(drawn[0]) + len(drawn[1])) >= len(drawn[0])
    return np.concatenate(drawn), is_current
