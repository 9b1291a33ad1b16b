"""The last episodes that are over: which columns drifted in them and how, when, and how they ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.episode import Episode
from inprocml.monitoring.alarm.evidence import TESTS
from inprocml.monitoring.verdict import Reference

__all__ = ["KEPT", "End", "History", "Over"]

KEPT = 8
"""Episodes that are remembered, of both references together."""

_REFERENCES = tuple(Reference)


class End(IntEnum):
    """How an episode ended: all was calm, no rows came for a day, the version was swapped away."""

    CALM = 0
    SILENT = 1
    RETIRED = 2


@dataclass(frozen=True, slots=True)
class Over:
    """One of them: the number of its kind, when it was said and when that ended, since when drift was on."""

    reference: Reference
    opened: int
    at: float
    since: float
    until: float
    end: End
    joined: NDArray[np.int8]


class History:
    """Arrays of fixed size, the newest last; a row of ``numbers`` without an episode is 0."""

    def __init__(self, series: int) -> None:
        self.numbers = np.zeros((KEPT, 6), np.float64)
        self.joined = np.zeros((KEPT, series), np.int8)

    def push(self, episode: Episode, until: float, end: End) -> Over:
        """Remember an episode that ended, and return it; the oldest is forgotten."""
        self.numbers, self.joined = np.roll(self.numbers, -1, axis=0), np.roll(self.joined, -1, axis=0)
        place = _REFERENCES.index(episode.reference)
        self.numbers[-1] = (place, episode.opened, episode.at, episode.began, until, end)
        self.joined[-1] = episode.joined
        return self.all()[-1]

    def all(self) -> list[Over]:
        """Return all that are remembered, the oldest first."""
        return [
            Over(_REFERENCES[int(place)], int(opened), at, since, until, End(int(end)), joined.copy())
            for (place, opened, at, since, until, end), joined in zip(
                self.numbers.tolist(), self.joined, strict=True
            )
            if opened > 0
        ]

    @property
    def sound(self) -> bool:
        """Whether the numbers can be those of episodes."""
        kinds, ends = self.numbers[:, 0], self.numbers[:, 5]
        known = np.isin(kinds, range(len(_REFERENCES))) & np.isin(ends, [end.value for end in End])
        return bool(known.all() and (np.abs(self.joined.astype(np.int64)) <= len(TESTS)).all())
