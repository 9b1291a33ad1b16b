"""How far rows depend on one another, learnt from the first blocks: the design effect.

Rows that come in clusters, or resemble the row before, tell less than as many independent rows. How much
less shows in how far means of neighbouring blocks lie apart: n rows are worth n / deff. Differences of
neighbours, not distances from one mean: a slow daily wave is no dependence (von Neumann, Annals of
Mathematical Statistics 12 (1941), 367-395; Kish, "Survey Sampling" (1965), 8.2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.evidence import Tables
from inprocml.monitoring.alarm.folding import MISSING

__all__ = ["BLOCKS", "UNKNOWN", "Dependence"]

BLOCKS = 500
"""After so many blocks it is known, and no longer learnt: drift must not pass for dependence."""

UNKNOWN = 30.0
"""What rows are taken to depend on one another until it is known; clusters of ten give 14, AR(1) 0.9 23."""

_SOON = 16  # pairs of windows that tell enough to go on with

_LEVELS = 5  # windows of 1, 2, 4, 8 and 16 blocks
_CHANNELS = 3  # location, scale, missing
_CAUTION = 1.15

_Floats = NDArray[np.float64]


class Dependence:
    """Sums of squared differences of neighbouring windows; float32, shape ``(levels, channels, series)``."""

    def __init__(self, series: int) -> None:
        shape = (_LEVELS, _CHANNELS, series)
        self.means, self.weights = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.squares, self.pairs = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.within = np.zeros((2, _CHANNELS, series), np.float32)
        self.blocks = 0

    @property
    def known(self) -> bool:
        """Whether enough blocks were seen."""
        return self.blocks >= BLOCKS

    def learn(self, counts: NDArray[np.int64], tables: Tables) -> None:
        """Take in one block of shape ``(series, 16)``."""
        mean, variance, weight = _channels(counts.astype(np.float64), tables)
        self.within[0] += weight * variance
        self.within[1] += weight
        for level in range(_LEVELS):
            if not self.blocks >> level & 1:  # the first of a pair
                self.means[level], self.weights[level] = mean, weight
                break
            mean, weight = self._pair(level, mean, weight)
        self.blocks += 1

    def _pair(self, level: int, mean: _Floats, weight: _Floats) -> tuple[_Floats, _Floats]:
        other, others = self.means[level].astype(np.float64), self.weights[level].astype(np.float64)
        both = (weight > 0) & (others > 0)
        noise = 1 / np.maximum(weight, 1) + 1 / np.maximum(others, 1)
        self.squares[level] += np.where(both, (mean - other) ** 2 / noise, 0)
        self.pairs[level] += both
        total = weight + others
        return (mean * weight + other * others) / np.maximum(total, 1), total

    def effect(self, weekly: NDArray[np.bool_]) -> _Floats:
        """Return deff, shape ``(series,)``: at least 1, and ``UNKNOWN`` until it is known.

        Of ``weekly`` columns, which hold times, neighbours are alike and weeks are not: missing counts alone.

        The largest over sizes and channels. Of each two standard errors are taken off, or the largest of
        fifteen noisy figures would be large where rows are independent; 15 % are put on.
        """
        if not self.known:
            return np.full(self.means.shape[2], UNKNOWN)
        ratio, pairs = self._ratios(weekly)
        sure = ratio * np.maximum(1 - 2 * np.sqrt(2 / pairs), 0)
        result: _Floats = np.maximum(1.0, _CAUTION * sure.max(axis=(0, 1)))
        return result

    def so_far(self, weekly: NDArray[np.bool_]) -> _Floats:
        """Return what deff is at most, as far as windows tell that came 16 times; on the safe side."""
        ratio, pairs = self._ratios(weekly)
        told = (pairs >= _SOON) & (self.blocks >= 4 * _SOON)
        most = np.where(told, ratio * (1 + 2 * np.sqrt(2 / pairs)), 0).max(axis=(0, 1))
        result: _Floats = np.where(most > 0, np.clip(_CAUTION * most, 1, UNKNOWN), UNKNOWN)
        return result

    def _ratios(self, weekly: NDArray[np.bool_]) -> tuple[_Floats, _Floats]:
        within = self.within[0] / np.maximum(self.within[1], 1)
        pairs = np.maximum(self.pairs, 1).astype(np.float64)
        ratio = np.where(within > 0, self.squares / pairs / np.where(within > 0, within, 1), 1)
        ratio[:, :2, weekly] = 1
        return ratio, pairs


def _channels(counts: _Floats, tables: Tables) -> tuple[_Floats, _Floats, _Floats]:
    """Return mean, variance within the block, and rows of each channel."""
    values = counts * tables.valued
    rows, known = counts.sum(axis=1), values.sum(axis=1)
    scored = [(values * scores).sum(axis=1) / np.maximum(known, 1) for scores in tables.scores]
    squared = [(values * scores**2).sum(axis=1) / np.maximum(known, 1) for scores in tables.scores]
    missing = counts[:, MISSING] / np.maximum(rows, 1)
    mean = np.stack([*scored, missing])
    variance = np.stack([*squared, missing]) - mean**2
    return mean, np.maximum(variance, 0), np.stack([known, known, rows])
