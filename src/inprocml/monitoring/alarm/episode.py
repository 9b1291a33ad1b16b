"""An episode of drift: it opens on the second block in a row, and closes when all its columns were calm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.judging import Look
from inprocml.monitoring.verdict import Action, Reference

__all__ = ["Episode", "code", "name_of"]

_CONFIRMED = 2.5  # the block before must be within this of the threshold

_CALM = 3

_APART = 3600.0  # seconds from one event of an episode to the next, however many columns join

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
        self.joined = np.zeros(series, np.int8)  # by which test it first drifted in the episode, see ``code``
        self.untold = np.zeros(series, np.bool_)  # joined since the last event
        self.told = 0.0  # when that was
        self.opened = 0  # how many ever
        self.at = self.began = 0.0
        self.open = False

    @property
    def on_since(self) -> float | None:
        """When the drift began that is on."""
        return self.began if self.open else None

    @property
    def earliest(self) -> float:
        """Since when the first of its columns drifted, be it one that joined late."""
        return float(self.since[self.joined != 0].min(initial=self.began))

    def step(
        self, look: Look, starts: _Floats, limit: float, at: float, onsets: Callable[[], _Floats]
    ) -> Action | None:
        """Take in one block; ``starts`` are when each window began, ``onsets`` what each column shows.

        Calm counts only in a window that began after the drift did: a longer one is calm because it is old.
        ``began`` is what it is when the episode opens, whoever joins later.
        """
        if not self.open:
            self.joined, self.began = np.zeros_like(self.joined), at
        fresh = (look.strong > limit) & (self.before > limit - _CONFIRMED) & ~self.drifting
        self.before = look.near
        self.drifting |= fresh
        if fresh.any():
            self.since = np.where(fresh, np.minimum(onsets(), at), self.since)
        if not self.open:
            self.began = float(self.since[fresh].min(initial=at))
        self.untold |= fresh & (self.joined == 0)
        self.joined = np.where(fresh & (self.joined == 0), code(look), self.joined).astype(np.int8)
        calm = look.calm & self.drifting & ~fresh & (starts[look.clearing] > self.since)
        self.calm = np.where(calm, np.minimum(self.calm + 1, _CALM), 0).astype(np.uint8)
        self.drifting &= self.calm < _CALM
        self.calm[~self.drifting] = 0
        if not self.open and self.drifting.any():
            self.opened += 1
            self.at, self.open = at, True
            self._tell(at)
            return Action.OPENED
        if self.open and not self.drifting.any():
            return self.close()
        due = at - self.told >= _APART and (self.untold & self.drifting).any()
        return Action.JOINED if due else None

    def take_untold(self, at: float) -> NDArray[np.bool_]:
        """Return the columns that joined since the last event; they are told now."""
        untold = self.untold & self.drifting  # the others are calm again; they are told when it closes
        self._tell(at)
        return untold

    def _tell(self, at: float) -> None:
        self.untold[:] = False
        self.told = at

    def close(self) -> Action:
        """End it."""
        self.open = False
        self.drifting[:] = False
        self.calm[:] = 0
        self.before[:] = 0
        self.untold[:] = False
        return Action.CLOSED


def code(look: Look) -> NDArray[np.int8]:
    """Return the place of the test that tells most, from 1 on, negative where there is less of something."""
    return ((look.test + 1) * np.where(look.effect < 0, -1, 1)).astype(np.int8)


def name_of(model: str, version: str, reference: Reference, opened: int, at: float) -> str:
    """Return the id of an episode: the same when it opens and closes, and in every process."""
    told = "\n".join([model, version, reference, str(opened), repr(at)])
    return hashlib.sha256(told.encode()).hexdigest()[:16]
