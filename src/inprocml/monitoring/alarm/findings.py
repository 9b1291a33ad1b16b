"""What is said of each column: numbers, counts and words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.blocks import Window
from inprocml.monitoring.alarm.evidence import TESTS, Tables
from inprocml.monitoring.alarm.folding import MISSING, Folding
from inprocml.monitoring.alarm.judging import Look, Past
from inprocml.monitoring.alarm.memory import Memory
from inprocml.monitoring.alarm.slots import HOUR, Slots
from inprocml.monitoring.alarm.words import clock, why
from inprocml.monitoring.statistics import shift, widening
from inprocml.monitoring.verdict import Finding, Measures, Moment, Reference, State, Test

__all__ = ["ORDER", "Sight", "findings_of", "measures_of", "moments_of", "test_of", "words_of"]

ORDER = [State.DRIFT, State.WATCH, State.OK, State.WARMING, State.INSUFFICIENT, State.STALE]
_ENOUGH = 50


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
    recent: NDArray[np.int64]


def findings_of(sight: Sight, now: float) -> tuple[Finding, ...]:
    """Return a finding for each column, the most telling first."""
    found = [_finding(sight, place, now) for place in range(len(sight.folding.layout.series))]
    return tuple(sorted(found, key=lambda each: (ORDER.index(each.state), -each.value)))


def _state(sight: Sight, place: int) -> State:
    episode = sight.memory.episodes[sight.reference]
    if episode.open and episode.drifting[place]:
        return State.DRIFT
    if sight.look is None or not sight.look.tested[place]:
        return State.WARMING if sight.state is State.WARMING else State.INSUFFICIENT
    if sight.state is State.STALE:
        return State.STALE
    if sight.look.near[place] > sight.limit:
        return State.WATCH
    return State.OK if sight.memory.dependence.known else State.WARMING


def _finding(sight: Sight, place: int, now: float) -> Finding:
    series, state = sight.folding.layout.series[place], _state(sight, place)
    labels, reference, current, since = _counts(sight, place, state)
    told = _told(sight, place)
    test, value, effect, words = None, 0.0, 0.0, ""
    if sight.look is not None and told is not None and sight.look.z[place] > 0:
        look, test = sight.look, test_of(sight, place)
        value = float(look.strong[place] or look.z[place])
        effect = float(look.effect[place])
        if state in {State.DRIFT, State.WATCH}:
            began = clock(since if since is not None else told.since, now)
            words = words_of(sight, place, told, test, began)
    return Finding(
        series.name,
        series.role,
        state,
        value,
        sight.limit,
        test,
        effect,
        since,
        sum(current),
        labels,
        reference,
        current,
        measures_of(sight, place, told),
        why=words,
    )


def test_of(sight: Sight, place: int) -> Test:
    """Return the test that says most of a column."""
    assert sight.look is not None
    test = TESTS[int(sight.look.test[place])]
    unordered = sight.folding.kinds[place] != "number"
    return Test.UNSEEN if test is Test.OUT_OF_RANGE and unordered else test


def _told(sight: Sight, place: int) -> Window | None:
    """Return the window that tells most."""
    windows = sight.past.windows()
    if sight.look is None or not windows:
        return None
    return windows[int(sight.look.window[place])]


def _counts(
    sight: Sight, place: int, state: State
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...], float | None]:
    """Return labels, reference, current and since: of the telling window where there is drift.

    Else of the last day on all bins where those are kept, or of the longest window.
    """
    names = sight.folding.names[place]
    cells = [cell for cell, _ in names]
    labels = tuple(label for _, label in names)
    episode = sight.memory.episodes[sight.reference]
    against = sight.tables.counts[place] if sight.tables else np.zeros(MISSING + 1)
    then = tuple(int(against[cell]) for cell in cells)
    if state in {State.DRIFT, State.WATCH}:
        window = _told(sight, place)
        since = float(episode.since[place]) if state is State.DRIFT else (window.since if window else None)
    else:
        series, clock_ = sight.folding.layout.series[place], sight.memory.clock
        kept = sight.reference is Reference.TRAIN and sight.folding.kinds[place] != "time"
        if kept and clock_.full_rows >= _ENOUGH:
            whole = sight.folding.layout.parts(sight.recent)[place]
            return (
                tuple(series.bins.labels()),
                series.reference.counts,
                tuple(whole.tolist()),
                clock_.full_since,
            )
        window = sight.past.suffixes[-1] if sight.past.suffixes else None
        since = window.since if window else None
    now = window.counts[place] if window else np.zeros(MISSING + 1, np.int64)
    return labels, then, tuple(int(now[cell]) for cell in cells), since


def measures_of(sight: Sight, place: int, window: Window | None) -> Measures:
    """Return what the tests measured in the telling window; other distances are computed from the counts."""
    tables = sight.tables
    if tables is None or window is None or not window.counts[place].sum():
        return Measures()
    counts = window.counts[place].astype(np.float64)
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


def words_of(sight: Sight, place: int, window: Window, test: Test, since: str | None) -> str:
    """Say in a sentence what a column shows in a window."""
    tables, kind = sight.tables, sight.folding.kinds[place]
    assert tables is not None
    counts, then = window.counts[place].astype(np.float64), tables.counts[place]
    rows, before = max(counts.sum(), 1.0), max(then.sum(), 1.0)
    mask = np.eye(MISSING + 1)[MISSING] if test is Test.MISSING else tables.outside[place]
    shares = (float((counts * mask).sum() / rows), float((then * mask).sum() / before))
    cells = [
        (label, float(counts[cell] / rows), float(then[cell] / before))
        for cell, label in sight.folding.names[place]
    ]
    assert sight.look is not None
    effect, name = float(sight.look.effect[place]), sight.folding.layout.series[place].name
    return why(name, test, effect, shares, cells, kind == "number", sight.reference, since)


def moments_of(
    folding: Folding, slots: Slots, tables: Tables, deff: NDArray[np.float64]
) -> tuple[Moment, ...]:
    """Return the hours kept that held rows, and the present one."""
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
    return tuple(
        Moment(
            float((stamp + 1) * HOUR),
            int(rows[at].max()),
            {name: float(found.effect[2, place, at]) for place, name in enumerate(names) if told[place, at]},
        )
        for at, stamp in enumerate(stamps.tolist())
        if rows[at].any()
    )
