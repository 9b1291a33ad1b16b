"""How often rows of a score are positive, learnt from counts: isotonic regression on the bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.quality.tally import BINS, UNIT, ClassTally

__all__ = ["Calibration", "calibrate", "pool"]


@dataclass(frozen=True)
class Calibration:
    """For each of the 100 bins of score: the share of positives in the reference.

    ``shares`` never fall from bin to bin; ``blocks`` says which bins were made one because they would have,
    ``block_rows`` and ``block_positives`` are what the reference had in each block. A bin that the reference
    left empty is of block -1, its share lies between its neighbours'.
    """

    shares: NDArray[np.float64]
    blocks: NDArray[np.int64]
    block_rows: NDArray[np.int64]
    block_positives: NDArray[np.int64]


def pool(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return, for each value, the block it is pooled into so that weighted means rise from block to block.

    Shapes ``(n,)``; weights above 0. Pool adjacent violators: M. Ayer et al., An empirical distribution
    function for sampling with incomplete information, Ann. Math. Stat. 26 (1955).
    """
    totals: list[tuple[float, float, int]] = []  # sum, weight, how many values
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        total, heavy, count = value * weight, weight, 1
        while totals and totals[-1][0] * heavy >= total * totals[-1][1]:
            before = totals.pop()
            total, heavy, count = total + before[0], heavy + before[1], count + before[2]
        totals.append((total, heavy, count))
    return np.repeat(np.arange(len(totals)), [count for _, _, count in totals])


def calibrate(reference: ClassTally) -> Calibration | None:
    """Learn from labelled rows that the model was not trained on; None where there is none."""
    held = np.flatnonzero(reference.rows)
    if not len(held):
        return None
    rows, positives = reference.rows[held], reference.positives[held]
    pooled = pool(positives / rows, rows.astype(np.float64))
    block_rows = np.bincount(pooled, rows).astype(np.int64)
    block_positives = np.bincount(pooled, positives).astype(np.int64)
    known = (block_positives / block_rows)[pooled]
    where = (reference.sums[held] / UNIT) / rows
    shares = np.interp((np.arange(BINS) + 0.5) / BINS, where, known)
    shares[held] = known
    blocks = np.full(BINS, -1)
    blocks[held] = pooled
    return Calibration(shares, blocks, block_rows, block_positives)
