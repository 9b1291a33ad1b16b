"""Which window is shown of each column: all numbers of a finding are of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.blocks import Window
from inprocml.monitoring.alarm.evidence import LEAST, TESTS, Tables
from inprocml.monitoring.alarm.folding import CELLS, Folding
from inprocml.monitoring.alarm.judging import Look, Past
from inprocml.monitoring.alarm.memory import Memory
from inprocml.monitoring.verdict import Reference, State, Test

__all__ = ["Shown", "Sight", "named", "shown_of", "test_of"]

_Floats = NDArray[np.float64]

_MOVED = {State.DRIFT, State.WATCH}


@dataclass(frozen=True, slots=True)
class Sight:
    """What findings are made of, against one reference at one moment."""

    folding: Folding
    memory: Memory
    reference: Reference
    state: State
    limit: float
    look: Look | None
    past: Past
    tables: Tables | None
    recent: NDArray[np.int64]  # counts of the last day on all bins
    deff: NDArray[np.float64]
    still: NDArray[np.bool_]  # columns of which blocks and hours tell nothing but shares: those with a season
    now: float = 0.0

    def judged(self, place: int) -> bool:
        """Whether there are rows enough to say anything of a column."""
        return self.look is not None and bool(self.look.tested[place])


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a column, all of one window, from ``begins`` to ``ends``."""

    labels: tuple[str, ...]
    reference: tuple[int, ...]
    current: tuple[int, ...]
    cells: NDArray[np.int64]
    begins: float | None
    ends: float | None
    test: Test | None
    value: float
    effect: float
    folded: tuple[int, ...] = ()


def shown_of(sight: Sight, states: Sequence[State]) -> list[Shown]:
    """Return each column's window: the one that tells most, where it moved; else the last day, or most."""
    day = Window(sight.memory.clock.full_since, 0, sight.folding.fold(sight.recent), sight.memory.clock.heard)
    chosen = [_chosen(sight, place, state, day) for place, state in enumerate(states)]
    z, effect = _tested(sight, chosen)
    shown = []
    for place, (state, window) in enumerate(zip(states, chosen, strict=True)):
        numbers = _best(sight, place, z[:, place], effect[:, place])
        if sight.look is not None and state in _MOVED:  # as it was decided
            look = sight.look
            numbers = test_of(sight, place), float(look.value[place]), float(look.effect[place])
        shown.append(_shown(sight, place, window, numbers, whole=window is day))
    return shown


def test_of(sight: Sight, place: int) -> Test:
    """Return the test that says most of a column."""
    assert sight.look is not None
    return named(sight.folding, place, int(sight.look.test[place]))


def named(folding: Folding, place: int, test: int) -> Test:
    """Return the test of a column by its place in ``TESTS``."""
    found = TESTS[test]
    return Test.UNSEEN if found is Test.OUT_OF_RANGE and folding.kinds[place] != "number" else found


def _chosen(sight: Sight, place: int, state: State, day: Window) -> Window | None:
    """Return the window that is shown: the last day on all bins where it has rows enough for a verdict."""
    windows = sight.past.windows()
    if sight.look is not None and state in _MOVED and windows:
        return windows[int(sight.look.window[place])]
    if sight.still[place] and sight.past.days:
        return sight.past.days[0][1]
    kept = sight.reference is Reference.TRAIN and sight.folding.kinds[place] != "time"
    least = LEAST * sight.deff[place] if sight.judged(place) else LEAST
    if kept and sight.memory.clock.full_rows >= least:
        return day
    return sight.past.suffixes[-1] if sight.past.suffixes else None


def _tested(sight: Sight, windows: Sequence[Window | None]) -> tuple[_Floats, _Floats]:
    """Return z and effect of each column in its window, shapes ``(tests, series)``."""
    nothing = np.zeros((len(TESTS), len(windows)))
    if sight.tables is None or not windows:
        return nothing, nothing
    cells = [_cells(window, place) for place, window in enumerate(windows)]
    found = sight.tables.evidence(np.stack(cells)[:, None], sight.deff[:, None])
    z, effect = found.z[:, :, 0], found.effect[:, :, 0]
    whole_days = [window for _, window in sight.past.days]
    short = [not any(window is day for day in whole_days) for window in windows]
    z[:3, sight.still & np.array(short)] = 0
    return z, effect


def _best(sight: Sight, place: int, z: _Floats, effect: _Floats) -> tuple[Test | None, float, float]:
    best = int(z.argmax())
    if not z[best] > 0:
        return None, 0.0, 0.0
    return named(sight.folding, place, best), float(z[best]), float(effect[best])


def _cells(window: Window | None, place: int) -> NDArray[np.int64]:
    return np.zeros(CELLS, np.int64) if window is None else window.counts[place].astype(np.int64)


def _shown(
    sight: Sight,
    place: int,
    window: Window | None,
    numbers: tuple[Test | None, float, float],
    *,
    whole: bool,
) -> Shown:
    cells, series, names = (
        _cells(window, place),
        sight.folding.layout.series[place],
        sight.folding.names[place],
    )
    begins, ends = (None, None) if window is None else (window.since, window.until)
    if window is not None and ends is None:
        ends = sight.memory.clock.closed
    if whole:
        current = tuple(sight.folding.layout.parts(sight.recent)[place].tolist())
        labels = series.labels()
        return Shown(labels, series.reference.counts, current, cells, begins, ends, *numbers)
    against = sight.tables.counts[place] if sight.tables else np.zeros(CELLS)
    labels = tuple(label for _, label in names)
    then, now = (tuple(int(side[cell]) for cell, _ in names) for side in (against, cells))
    return Shown(labels, then, now, cells, begins, ends, *numbers, sight.folding.places[place])
