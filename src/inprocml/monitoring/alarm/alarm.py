"""The alarm of one version: counts and time go in, episodes of drift come out. Pure; time is an argument."""

from __future__ import annotations

import math
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm import keeping, telling
from inprocml.monitoring.alarm.budget import DAYS, threshold
from inprocml.monitoring.alarm.evidence import Tables
from inprocml.monitoring.alarm.findings import findings_of, moments_of
from inprocml.monitoring.alarm.folding import Folding
from inprocml.monitoring.alarm.history import End, Over
from inprocml.monitoring.alarm.judging import Floors, Look, Past, Terms, judge
from inprocml.monitoring.alarm.memory import Memory, kept_whole
from inprocml.monitoring.alarm.onset import onsets
from inprocml.monitoring.alarm.progress import progress_of
from inprocml.monitoring.alarm.season import between_days, hours_differ, left_yesterday
from inprocml.monitoring.alarm.shown import Sight
from inprocml.monitoring.alarm.slots import DAY, HOUR
from inprocml.monitoring.series import Counts, Layout
from inprocml.monitoring.verdict import Action, DriftEvent, Finding, Moment, Progress, Reference, State

__all__ = ["Alarm"]

_LAG = 64  # blocks: a step must not pass for a season before it was noticed
_OLDEST_BLOCK = 512


class Alarm:
    """Decides whether the rows of now differ from those of training, and from those of before.

    ``budget`` is how many false alerts a model may give in 90 days; both references share it. What moves less
    than ``floors`` is no drift, however certain it is. A block is closed when it has ``block_rows`` rows and
    ``block_seconds`` seconds; no rows for ``stale_seconds`` is ``stale``. Not thread-safe.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        model: str,
        version: str,
        budget: float = 0.5,
        floors: Floors | None = None,
        block_rows: int = 100,
        block_seconds: float = 60.0,
        stale_seconds: float = HOUR,
    ) -> None:
        self._folding = Folding(layout)
        self._model, self._version = model, version
        self._floors = floors or Floors()
        self._block_rows, self._block_seconds, self._stale = block_rows, block_seconds, stale_seconds
        # both references are asked at every block: half of the budget each
        blocks = DAYS * DAY / block_seconds
        self._limit = threshold(len(layout.series), budget / len(Reference), blocks)
        self._weekly = np.array(self._folding.kinds) == "time"
        self._whole = kept_whole(layout)
        unrest = np.array([each.unrest for each in layout.series], np.float64).reshape(-1, 3)
        trained = Tables(self._folding, self._folding.reference, unrest=unrest)
        self._tables = {Reference.TRAIN: trained}
        self._use(Memory.of(layout))

    @property
    def threshold(self) -> float:
        """The z that a column must exceed."""
        return self._limit

    @property
    def effect(self) -> float:
        """How many rows say no more than one, of the column that depends most; 1 before that is known."""
        return float(self._deff.max(initial=1.0)) if self._memory.dependence.known else 1.0

    def add(self, counts: Counts, rows: int, now: float) -> list[DriftEvent]:
        """Take in what was counted since the last call: the sum over all workers.

        May be called at any time, as often as one likes. ``ValueError`` if counts are not of the layout.
        """
        cells = self._folding.fold(counts)
        if rows < 0 or counts.min(initial=0) < 0:
            raise ValueError(
                f"{rows} rows: counts and rows must not be negative. Pass what came since the last call."
            )
        clock, passed = self._memory.clock, self._pass(now)
        silent = self._idle()
        if not rows and not counts.any():
            return silent
        if not clock.open_rows:
            clock.open_since, clock.open_seconds = clock.last - passed, 0.0
            self._begin_day()
        clock.heard = clock.last
        clock.open_rows += rows
        clock.open_seconds += passed
        self._memory.open += cells
        self._add_whole(counts, rows)
        if clock.open_rows < self._block_rows or clock.open_seconds < self._block_seconds:
            return silent
        return silent + self._close_block()

    def look(self, now: float) -> list[DriftEvent]:
        """Let time pass without rows: an episode ends when nothing was heard for a day."""
        self._pass(now)
        return self._idle()

    def retire(self, now: float) -> list[DriftEvent]:
        """End the episodes that are on: the version no longer serves. The events say so."""
        self._pass(now)
        return self._end_all(End.RETIRED)

    def progress(self, reference: Reference, now: float) -> Progress | None:
        """Return how far learning is that a verdict waits for, and the time left; ``None`` if done."""
        if not self._folding.layout.series:
            return None
        return progress_of(self._memory, reference, now, self._block_rows, self._block_seconds)

    def state(self, reference: Reference, now: float) -> State:
        """Return what can be said against one reference."""
        clock = self._memory.clock
        if self._memory.episodes[reference].open:
            return State.DRIFT
        if clock.heard < 0:
            return State.INSUFFICIENT
        if now - clock.heard > self._stale:
            return State.STALE
        look = self._look(reference)
        if look is None or not look.tested.any():
            few = not (self._tables[Reference.TRAIN].rows >= 50).any()
            return State.INSUFFICIENT if self._memory.dependence.known or few else State.WARMING
        if (look.near > self._limit).any():
            return State.WATCH
        return State.OK if self._memory.dependence.known else State.WARMING

    def findings(self, reference: Reference, now: float) -> tuple[Finding, ...]:
        """Return a finding for each column, the most telling first."""
        look = self._look(reference)
        sight = Sight(
            self._folding,
            self._memory,
            reference,
            self.state(reference, now),
            self._limit,
            look,
            self._past(),
            self._tables.get(reference),
            self._memory.recent(self._whole),
            self._deff,
            self._still(),
            now,
        )
        return findings_of(sight)

    def since(self, reference: Reference) -> float | None:
        """Return when the drift began that is on; it stays the same while the episode lasts."""
        return self._memory.episodes[reference].on_since

    def episodes(self) -> tuple[DriftEvent, ...]:
        """Return the episodes that are on, as the events that opened them; their findings as of now."""
        return tuple(
            self._opened(reference, episode.at)
            for reference, episode in self._memory.episodes.items()
            if episode.open
        )

    def ended(self, now: float) -> tuple[DriftEvent, ...]:
        """Return the last 8 episodes that are over, the oldest first; their findings as of ``now``."""
        return tuple(self._closed(over, now) for over in self._memory.history.all())

    def timeline(self) -> tuple[Moment, ...]:
        """Return the last hours that held rows, against training; the present one is the last."""
        trained = self._tables[Reference.TRAIN]
        return moments_of(self._folding, self._memory.slots, trained, self._deff, self._still())

    def dump(self) -> bytes:
        """Return the state as bytes: at most 4 KB a series and 4 KB for all."""
        return keeping.dump(self._memory)

    @classmethod
    def load(
        cls,
        layout: Layout,
        stored: bytes,
        *,
        model: str,
        version: str,
        budget: float = 0.5,
        floors: Floors | None = None,
        block_rows: int = 100,
        block_seconds: float = 60.0,
        stale_seconds: float = HOUR,
    ) -> Self:
        """Return an alarm that goes on where ``dump`` was called; ``ValueError`` for anything damaged."""
        alarm = cls(
            layout,
            model=model,
            version=version,
            budget=budget,
            floors=floors,
            block_rows=block_rows,
            block_seconds=block_seconds,
            stale_seconds=stale_seconds,
        )
        alarm._use(keeping.load(layout, stored))
        return alarm

    def _use(self, memory: Memory) -> None:
        self._memory = memory
        self._looks: dict[Reference, Look | None] = {}
        self._windows: Past | None = None
        self._deff = memory.dependence.effect(self._weekly)
        self._learn_live()
        self._days()

    def _days(self) -> None:
        stamps, days = self._memory.slots.complete_days()
        self._day_variance = between_days(days, stamps, self._tables[Reference.TRAIN])

    def _learn_live(self) -> None:
        if self._memory.clock.live_blocks:
            self._tables[Reference.LIVE] = Tables(self._folding, self._memory.live, self._deff)

    def _pass(self, now: float) -> float:
        """Return the seconds since the last call: none, where the clock stepped back or tells no time."""
        clock = self._memory.clock
        if not math.isfinite(now) or not 0 <= now < 1e12:
            return 0.0
        passed = max(0.0, now - clock.last) if clock.last >= 0 else 0.0
        self._memory.no_later(now)
        clock.last = now
        return passed

    def _idle(self) -> list[DriftEvent]:
        clock = self._memory.clock
        return self._end_all(End.SILENT) if clock.last - clock.heard > DAY else []

    def _end_all(self, end: End) -> list[DriftEvent]:
        over, last, ill = [], self._memory.clock.last, self._memory.clock.last
        for episode in self._memory.episodes.values():
            if episode.open:
                ill = min(ill, episode.earliest)
                episode.close()
                over.append(self._memory.history.push(episode, last, end))
        events = [self._closed(each, last) for each in over]
        if over:  # rows of an episode that is over would open the same one again
            self._memory.blocks.forget(0)
            self._begin_anew(ill, last)
        return events

    def _begin_day(self) -> None:
        """Count on all bins anew with a block, a day after the last time."""
        clock = self._memory.clock
        if not clock.full_rows or abs(clock.open_since - clock.full_since) > DAY:
            self._memory.full = np.zeros_like(self._memory.full)
            clock.full_since, clock.full_rows = clock.open_since, 0.0

    def _add_whole(self, counts: Counts, rows: int) -> None:
        clock = self._memory.clock
        kept = self._memory.full.astype(np.int64) + counts[self._whole]
        self._memory.full = np.minimum(kept, np.iinfo(np.uint32).max).astype(np.uint32)
        clock.full_rows += rows

    def _close_block(self) -> list[DriftEvent]:
        memory, clock = self._memory, self._memory.clock
        cells, start = memory.open, clock.open_since
        dropped = memory.blocks.push(cells, start)
        if dropped is not None and not memory.episodes[Reference.LIVE].open:
            memory.remember(dropped, _OLDEST_BLOCK, memory.blocks.oldest())
            self._learn_live()
        known = memory.dependence.known
        if not known:
            memory.dependence.learn(cells, self._tables[Reference.TRAIN])
            self._deff = memory.dependence.effect(self._weekly)
        hour = memory.slots.hour
        turned = memory.slots.turn(start)
        memory.slots.add(cells)
        if memory.slots.hour != hour or known != memory.dependence.known:
            self._turn(turned)
        memory.open = np.zeros_like(cells)
        clock.open_rows = clock.open_seconds = 0.0
        self._looks.clear()
        self._windows = None
        return [event for reference in Reference for event in self._step(reference)]

    def _turn(self, turned: tuple[NDArray[np.int64], NDArray[np.int64]] | None) -> None:
        """See, as an hour is over, whether there is a season, and whether it left yesterday's."""
        memory, tables = self._memory, self._tables[Reference.TRAIN]
        known = memory.dependence.known
        before = memory.blocks.start_of(_LAG) if known else np.inf
        stamps, hours = memory.slots.complete_hours(before)
        hours = hours[self._well(stamps * HOUR)]
        memory.flags[0] = hours_differ(hours, tables, self._deff)
        memory.clock.settled = float(
            (hours.sum(axis=2).max(axis=1, initial=0) >= 50 * self._deff.max(initial=1)).sum() >= 2
        )
        memory.flags[1] = False
        yesterday = np.array([(memory.slots.hour - 25) * HOUR])
        if turned and known and self._well(yesterday).all():
            memory.flags[1] = left_yesterday(*turned, tables, self._deff, self._limit)
        self._days()

    def _well(self, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which hours lie outside the last episode that is over."""
        clock = self._memory.clock
        well: NDArray[np.bool_] = (starts + HOUR <= clock.ill) | (starts >= clock.anew)
        return well

    def _step(self, reference: Reference) -> list[DriftEvent]:
        look = self._look(reference)
        if look is None:
            return []
        episode = self._memory.episodes[reference]
        drifting = episode.drifting.copy()
        past, now = self._past(), self._memory.clock.last
        starts = np.array([window.since for window in past.windows()])
        began = partial(onsets, self._memory, past, look, self._tables[reference], self._deff)
        action = episode.step(look, starts, self._limit, now, began)
        if action is None:
            return []
        if action is not Action.CLOSED:
            tell = self._opened if action is Action.OPENED else self._joined
            return [tell(reference, now)]
        over = self._memory.history.push(episode, now, End.CALM)
        event = self._closed(over, now)
        self._start_anew(look, drifting, episode.earliest)
        return [event]

    def _start_anew(self, look: Look, drifting: NDArray[np.bool_], ill: float) -> None:
        """Forget what lies before the calm: it would open the same episode again."""
        suffixes = self._past().suffixes
        blocks = [suffixes[place].blocks for place in look.clearing[drifting] if place < len(suffixes)]
        self._memory.blocks.forget(max(blocks, default=1))
        self._begin_anew(ill, self._memory.blocks.oldest())

    def _begin_anew(self, ill: float, anew: float) -> None:
        self._memory.clock.ill, self._memory.clock.anew = ill, anew
        self._memory.flags[1] = False
        self._looks.clear()
        self._windows = None

    def _opened(self, reference: Reference, at: float) -> DriftEvent:
        episode, found = self._memory.episodes[reference], self.findings(reference, self._memory.clock.last)
        return telling.opened(self._folding, episode, found, self._model, self._version, at)

    def _joined(self, reference: Reference, at: float) -> DriftEvent:
        episode, found = self._memory.episodes[reference], self.findings(reference, at)
        places = np.flatnonzero(episode.take_untold(at)).tolist()
        return telling.joined(self._folding, episode, found, places, self._model, self._version, at)

    def _closed(self, over: Over, now: float) -> DriftEvent:
        found = self.findings(over.reference, now)
        return telling.closed(self._folding, over, found, self._model, self._version, now)

    def _past(self) -> Past:
        if self._windows is None:
            slots, anew = self._memory.slots, self._memory.clock.anew
            hour = slots.last_hour()
            days = [(span, window) for span, window in slots.whole_days() if window.since >= anew]
            fresh = hour if hour and hour.since >= anew else None
            self._windows = Past(self._memory.blocks.suffixes(), fresh, days)
        return self._windows

    def _look(self, reference: Reference) -> Look | None:
        """Return what the closed blocks show, kept until the next one closes; ``None`` without them."""
        if reference not in self._looks:
            past, tables = self._past(), self._tables.get(reference)
            known = tables is not None and past.suffixes and self._folding.layout.series
            self._looks[reference] = judge(past, tables, self._terms(reference)) if tables and known else None
        return self._looks[reference]

    def _terms(self, reference: Reference) -> Terms:
        memory, clock = self._memory, self._memory.clock
        seasonal, left = memory.flags
        episode = memory.episodes[reference]
        drifting = episode.drifting  # what has been said already is said on
        seasonal, weekly = seasonal & ~drifting, self._weekly
        if reference is Reference.LIVE and clock.live_until - clock.live_since < 2 * DAY:
            weekly = weekly | seasonal  # part of a day is no reference for what goes by the hour
        return Terms(
            self._limit,
            self._floors,
            self._deff,
            self._day_variance,
            seasonal,
            weekly,
            left,
            np.where(drifting, episode.since, -np.inf),
            not memory.dependence.known,
            None if memory.dependence.known else memory.dependence.so_far(self._weekly),
            bool(clock.settled),
        )

    def _still(self) -> NDArray[np.bool_]:
        """Return of which columns blocks and hours tell nothing but shares."""
        memory = self._memory
        unsettled = not memory.dependence.known and not memory.clock.settled
        still: NDArray[np.bool_] = memory.flags[0] | self._weekly | unsettled
        return still
