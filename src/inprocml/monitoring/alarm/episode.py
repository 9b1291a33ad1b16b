"""An episode of drift: it opens on the second block in a row, and closes when all its columns were calm."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.judging import Look
from inprocml.monitoring.verdict import Action, Reference

__all__ = ["Episode"]

_CONFIRMED = 2.5  # the block before must be within this of the threshold

_CALM = 3

_Floats = NDArray[np.float64]


class Episode:
    """Whether drift against one reference is on, and of which columns."""

    def __init__(self, series: int, reference: Reference) -> None:
        self.reference = reference
        self.before = np.zeros(
            series, np.float64
        )  # the largest z of the last block, effect within the floor's half
        self.drifting = np.zeros(series, np.bool_)
        self.calm = np.zeros(series, np.uint8)  # blocks in a row
        self.since = np.zeros(series, np.float64)
        self.opened = 0  # how many ever
        self.at = 0.0
        self.open = False

    def step(self, look: Look, starts: _Floats, limit: float, at: float) -> Action | None:
        """Take in one block; ``starts`` are when each window began.

        Calm counts only in a window that began after the drift did: a longer one is calm because it is old.
        """
        fresh = (look.strong > limit) & (self.before > limit - _CONFIRMED) & ~self.drifting
        self.before = look.near
        self.drifting |= fresh
        self.since = np.where(fresh, starts[look.window], self.since)
        calm = look.calm & self.drifting & ~fresh & (starts[look.clearing] > self.since)
        self.calm = np.where(calm, np.minimum(self.calm + 1, _CALM), 0).astype(np.uint8)
        self.drifting &= self.calm < _CALM
        if not self.open and self.drifting.any():
            self.opened += 1
            self.at, self.open = at, True
            return Action.OPENED
        return self.close() if self.open and not self.drifting.any() else None

    def close(self) -> Action:
        """End it."""
        self.open = False
        self.drifting[:] = False
        self.calm[:] = 0
        self.before[:] = 0
        return Action.CLOSED

    def name(self, model: str, version: str) -> str:
        """Return the id of the last episode: the same when it opens and closes, and in every process."""
        told = "\n".join([model, version, self.reference, str(self.opened), repr(self.at)])
        return hashlib.sha256(told.encode()).hexdigest()[:16]
