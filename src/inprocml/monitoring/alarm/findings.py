"""What is said of each column: numbers, counts and words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.evidence import LEAST, Tables
from inprocml.monitoring.alarm.folding import MISSING, Folding
from inprocml.monitoring.alarm.onset import onsets
from inprocml.monitoring.alarm.shown import Shown, Sight, shown_of
from inprocml.monitoring.alarm.slots import HOUR, Slots
from inprocml.monitoring.alarm.words import clock, why
from inprocml.monitoring.statistics import shift, widening
from inprocml.monitoring.verdict import Finding, Measures, Moment, Reference, State, Test

__all__ = ["ORDER", "findings_of", "measures_of", "moments_of", "words_of"]

ORDER = [State.DRIFT, State.WATCH, State.OK, State.WARMING, State.INSUFFICIENT, State.STALE]


def findings_of(sight: Sight) -> tuple[Finding, ...]:
    """Return a finding for each column, the most telling first."""
    states = [_state(sight, place) for place in range(len(sight.folding.layout.series))]
    since = _since(sight, states)
    found = [
        _finding(sight, place, shown, state, float(since[place]))
        for place, (state, shown) in enumerate(zip(states, shown_of(sight, states), strict=True))
    ]
    return tuple(sorted(found, key=lambda each: (ORDER.index(each.state), -each.value)))


def _state(sight: Sight, place: int) -> State:
    episode = sight.memory.episodes[sight.reference]
    if episode.open and episode.drifting[place]:
        return State.DRIFT
    if sight.look is None or not sight.judged(place):
        return State.WARMING if sight.state is State.WARMING else State.INSUFFICIENT
    if sight.state is State.STALE:
        return State.STALE
    if sight.look.near[place] > sight.limit:
        return State.WATCH
    return State.OK if sight.memory.dependence.known else State.WARMING


def _since(sight: Sight, states: Sequence[State]) -> NDArray[np.float64]:
    """Return since when: of what drifts as it was told, of what is watched as it looks now."""
    since = sight.memory.episodes[sight.reference].since
    if State.WATCH not in states or sight.look is None or sight.tables is None:
        return since
    now = onsets(sight.memory, sight.past, sight.look, sight.tables, sight.deff)
    watched = np.array([state is State.WATCH for state in states])
    return np.where(watched, now, since)


def _finding(sight: Sight, place: int, shown: Shown, state: State, began: float) -> Finding:
    series = sight.folding.layout.series[place]
    words, since = _wanting(sight, place, state), None
    if state in {State.DRIFT, State.WATCH} and shown.test is not None:
        since = began
        words = words_of(sight, place, shown.cells, shown.test, shown.effect, clock(since, sight.now))
    return Finding(
        series.name,
        series.role,
        state,
        shown.value,
        sight.limit,
        shown.test,
        shown.effect,
        since,
        sum(shown.current),
        shown.labels,
        shown.reference,
        shown.current,
        measures_of(sight, place, shown.cells),
        why=words,
        begins=shown.begins,
        ends=shown.ends,
        folded=shown.folded,
    )


def _wanting(sight: Sight, place: int, state: State) -> str:
    """Say what is wanting for a verdict, if none can be given."""
    if state not in {State.WARMING, State.INSUFFICIENT} or sight.judged(place):
        return ""
    name, rival = sight.folding.layout.series[place].name, sight.tables
    if rival is None:
        return f"{name}: nothing to compare with yet"
    if sight.look is None:
        return f"{name}: rows are judged by blocks, and the first one is not full"
    if rival.rows[place] < LEAST:
        where = "training" if sight.reference is Reference.TRAIN else "the time before"
        return f"{name}: {where} has {int(rival.rows[place]):,} rows, {LEAST} are needed"
    rows = [int(window.counts[place].sum()) for window in sight.past.windows()]
    has = max(rows, default=int(sight.memory.clock.full_rows))
    return f"{name}: needs {math.ceil(LEAST * sight.deff[place]):,} rows, has {has:,}"


def measures_of(sight: Sight, place: int, cells: NDArray[np.int64]) -> Measures:
    """Return what the tests measure of a column's cells; other distances are computed from the counts."""
    tables = sight.tables
    if tables is None or not cells.sum():
        return Measures()
    counts = cells.astype(np.float64)
    values, rows = counts * tables.valued[place], counts.sum()
    known = values.sum() > 0 and tables.values[place] > 0
    outside = float((counts * tables.outside[place]).sum() / rows)
    number = sight.folding.kinds[place] == "number"
    return Measures(
        location=float(shift(tables.scores[0, place], values)) if known else None,
        scale=float(widening(tables.scores[1, place], values)) if known else None,
        missing=float(counts[MISSING] / rows),
        unseen=None if number else outside,
        out_of_range=outside if number else None,
    )


def words_of(
    sight: Sight, place: int, now: NDArray[np.int64], test: Test, effect: float, since: str | None
) -> str:
    """Say in a sentence what a column's cells show."""
    tables, kind = sight.tables, sight.folding.kinds[place]
    assert tables is not None
    counts, then = now.astype(np.float64), tables.counts[place]
    rows, before = max(counts.sum(), 1.0), max(then.sum(), 1.0)
    mask = np.eye(MISSING + 1)[MISSING] if test is Test.MISSING else tables.outside[place]
    shares = (float((counts * mask).sum() / rows), float((then * mask).sum() / before))
    cells = [
        (label, float(counts[cell] / rows), float(then[cell] / before))
        for cell, label in sight.folding.names[place]
    ]
    name = sight.folding.layout.series[place].name
    return why(name, test, effect, shares, cells, kind == "number", sight.reference, since)


def moments_of(
    folding: Folding,
    slots: Slots,
    tables: Tables,
    deff: NDArray[np.float64],
    still: NDArray[np.bool_],
) -> tuple[Moment, ...]:
    """Return the hours kept that held rows, and the present one; of ``still`` columns shares alone."""
    stamps, hours = slots.complete_hours(np.inf)
    if slots.hour >= 0:
        stamps = np.append(stamps, slots.hour)
        hours = np.concatenate([hours, slots.present.astype(np.int64)[None]])
    if not len(stamps) or not len(folding.layout.series):
        return ()
    found = tables.evidence(hours.transpose(1, 0, 2), np.repeat(deff[:, None], len(stamps), axis=1))
    names, rows = [each.name for each in folding.layout.series], hours.sum(axis=2)
    told = found.z[2] != 0  # where there were too few rows, nothing is said
    told[np.array(folding.kinds) == "time"] = False  # one hour is far from the hours of any week
    found.z[:3, still] = 0
    z = found.z.max(axis=0)
    return tuple(
        Moment(
            float((stamp + 1) * HOUR),
            int(rows[at].max()),
            {name: float(found.effect[2, place, at]) for place, name in enumerate(names) if told[place, at]},
            {name: float(z[place, at]) for place, name in enumerate(names) if z[place, at] > 0},
        )
        for at, stamp in enumerate(stamps.tolist())
        if rows[at].any()
    )
