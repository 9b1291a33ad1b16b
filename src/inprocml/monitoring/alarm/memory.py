"""All that an alarm remembers: of constant size, and what is written when it is put to disk."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.blocks import Blocks
from inprocml.monitoring.alarm.dependence import Dependence
from inprocml.monitoring.alarm.episode import Episode
from inprocml.monitoring.alarm.folding import CELLS
from inprocml.monitoring.alarm.history import History
from inprocml.monitoring.alarm.slots import Slots
from inprocml.monitoring.bins import HourOfWeekBins
from inprocml.monitoring.series import Layout
from inprocml.monitoring.verdict import Reference

__all__ = ["Clock", "Memory"]

_OLD = 2**14  # blocks in the live reference, from which on it ages


@dataclass(slots=True)
class Clock:
    """Times in seconds since 1970, and numbers of rows and blocks."""

    last: float = -1.0  # of the last call; negative: none
    heard: float = -1.0  # when rows last came
    open_since: float = 0.0
    open_rows: float = 0.0
    open_seconds: float = 0.0
    full_since: float = 0.0
    full_rows: float = 0.0
    live_since: float = 0.0
    live_until: float = 0.0
    live_blocks: float = 0.0
    settled: float = 0.0  # whether hours enough were seen to tell a wave from a step
    ill: float = 0.0  # when the last episode that is over began
    anew: float = 0.0  # no window reaches back beyond this

    @property
    def closed(self) -> float:
        """When the last block was closed."""
        return self.open_since if self.open_rows else self.heard

    def values(self) -> list[float]:
        """Return all, in their order."""
        return [getattr(self, each.name) for each in fields(self)]


@dataclass(slots=True)
class Memory:
    """The state of one alarm."""

    layout: Layout
    blocks: Blocks
    slots: Slots
    dependence: Dependence
    episodes: dict[Reference, Episode]
    history: History
    open: NDArray[np.int64]
    live: NDArray[np.int64]
    full: NDArray[np.uint32]
    flags: NDArray[np.bool_]  # seasonal, left yesterday's hour
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def of(cls, layout: Layout) -> Memory:
        """Return an empty one."""
        series = len(layout.series)
        return cls(
            layout,
            Blocks(series),
            Slots(series),
            Dependence(series),
            {reference: Episode(series, reference) for reference in Reference},
            History(series),
            np.zeros((series, CELLS), np.int64),
            np.zeros((series, CELLS), np.int64),
            np.zeros(int(kept_whole(layout).sum()), np.uint32),
            np.zeros((2, series), np.bool_),
        )

    def remember(self, dropped: NDArray[np.int64], blocks: int, until: float) -> None:
        """Add to the live reference what is older than all windows; half of it fades when it grows old."""
        if not self.clock.live_blocks:
            self.clock.live_since = until
        self.live += dropped
        self.clock.live_until = until
        self.clock.live_blocks += blocks
        if self.clock.live_blocks > _OLD:
            self.live //= 2
            self.clock.live_blocks //= 2

    def no_later(self, now: float) -> None:
        """Forget what lies in the future, where a clock has stepped back: it was never there."""
        self.clock.heard, self.clock.anew = min(self.clock.heard, now), min(self.clock.anew, now)
        for episode in self.episodes.values():
            episode.began, episode.since = min(episode.began, now), np.minimum(episode.since, now)

    def recent(self, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the counts of the last day on all bins; 0 of those that are not ``kept``."""
        whole = np.zeros(len(kept), np.int64)
        whole[kept] = self.full
        return whole

    def arrays(self) -> list[tuple[object, str]]:
        """Return the owner and the name of every array, in the order of the file."""
        owned: list[tuple[object, tuple[str, ...]]] = [
            (self, ("open", "live", "full", "flags")),
            (self.blocks, ("counts", "levels", "orders", "starts")),
            (self.slots, ("hours", "days", "present", "hour_stamps", "day_stamps")),
            (self.dependence, ("means", "weights", "squares", "pairs", "within")),
            *(
                (episode, ("before", "drifting", "calm", "since", "joined", "untold"))
                for episode in self.episodes.values()
            ),
            (self.history, ("numbers", "joined")),
        ]
        return [(owner, name) for owner, names in owned for name in names]

    def numbers(self) -> list[tuple[object, str]]:
        """Return the owner and the name of every number."""
        owned: list[tuple[object, tuple[str, ...]]] = [
            (self.clock, tuple(each.name for each in fields(self.clock))),
            (self.blocks, ("pushed",)),
            (self.slots, ("hour",)),
            (self.dependence, ("blocks",)),
            *((episode, ("opened", "at", "began", "open", "told")) for episode in self.episodes.values()),
        ]
        return [(owner, name) for owner, names in owned for name in names]


def kept_whole(layout: Layout) -> NDArray[np.bool_]:
    """Return which bins of the vector are kept in full: all but hours of the week, which are too many."""
    parts = [np.full(each.bins.size, not isinstance(each.bins, HourOfWeekBins)) for each in layout.series]
    return np.concatenate([np.zeros(0, np.bool_), *parts])
