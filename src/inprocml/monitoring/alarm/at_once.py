"""Rows of a table against training, at once: one window, no time, and no second look."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from inprocml.monitoring.alarm.blocks import Window
from inprocml.monitoring.alarm.evidence import TESTS, Tables
from inprocml.monitoring.alarm.findings import ORDER, measures_of, words_of
from inprocml.monitoring.alarm.folding import Folding
from inprocml.monitoring.alarm.judging import Floors, Look, Past, Terms, judge
from inprocml.monitoring.alarm.memory import Memory
from inprocml.monitoring.alarm.shown import Sight, test_of
from inprocml.monitoring.series import Counts, Layout
from inprocml.monitoring.verdict import Finding, Reference, State

__all__ = ["CHANCE", "judge_at_once"]

CHANCE = 0.01
"""How likely one look at rows of the training distribution says drift of any column."""

_SIDES = 2


def judge_at_once(
    layout: Layout, counts: Counts, *, floors: Floors | None = None
) -> tuple[State, tuple[Finding, ...]]:
    """Return the state of rows that were counted, and a finding for each column, the most telling first.

    The tests of the alarm, each at ``CHANCE / (columns * tests * sides)`` (Bonferroni). Rows are taken to be
    independent of one another; a column with fewer than 50 on either side is insufficient. Times of the
    week are judged by what is missing alone: nobody knows whether these are whole weeks.
    """
    folding = Folding(layout)
    unrest = np.array([each.unrest for each in layout.series], np.float64).reshape(-1, 3)
    tables = Tables(folding, folding.reference, unrest=unrest)
    window = Window(0.0, 1, folding.fold(counts))
    if not layout.series:
        return State.INSUFFICIENT, ()
    past, limit = Past([window], None, []), _limit(len(layout.series))
    look = judge(past, tables, _terms(folding, limit, floors or Floors()))
    state = _state(look, limit)
    series = len(layout.series)
    sight = Sight(
        folding,
        Memory.of(layout),
        Reference.TRAIN,
        state,
        limit,
        look,
        past,
        tables,
        np.zeros(0, np.int64),
        deff=np.ones(series),
        still=np.zeros(series, np.bool_),
    )
    parts = layout.parts(counts)
    found = [_finding(sight, place, part) for place, part in enumerate(parts)]
    return state, tuple(sorted(found, key=lambda each: (ORDER.index(each.state), -each.value)))


def _limit(columns: int) -> float:
    return NormalDist().inv_cdf(1 - CHANCE / (columns * len(TESTS) * _SIDES))


def _terms(folding: Folding, limit: float, floors: Floors) -> Terms:
    series = len(folding.kinds)
    never = np.zeros(series, np.bool_)
    return Terms(
        limit,
        floors,
        deff=np.ones(series),
        day_variance=np.zeros(series),
        seasonal=never,
        weekly=np.array(folding.kinds) == "time",
        left=never,
        since=np.full(series, -np.inf),
        warming=False,
        learning=None,
        settled=True,
    )


def _state(look: Look, limit: float) -> State:
    if not look.tested.any():
        return State.INSUFFICIENT
    states = {_of(look, place, limit) for place in range(len(look.tested))}
    return next(state for state in ORDER if state in states)


def _of(look: Look, place: int, limit: float) -> State:
    if not look.tested[place]:
        return State.INSUFFICIENT
    if look.strong[place] > limit:
        return State.DRIFT
    return State.WATCH if look.near[place] > limit else State.OK


def _finding(sight: Sight, place: int, counts: Counts) -> Finding:
    look, series = sight.look, sight.folding.layout.series[place]
    assert look is not None
    state = _of(look, place, sight.limit)
    told = state is not State.INSUFFICIENT and look.z[place] > 0
    test, cells = test_of(sight, place) if told else None, sight.past.suffixes[0].counts[place]
    effect = float(look.effect[place]) if told else 0.0
    moved = test is not None and state in {State.DRIFT, State.WATCH}
    return Finding(
        name=series.name,
        role=series.role,
        state=state,
        value=float(look.value[place]) if told else 0.0,
        threshold=sight.limit,
        test=test,
        effect=effect,
        since=None,
        rows=int(counts.sum()),
        labels=series.labels(),
        reference=series.reference.counts,
        current=tuple(counts.tolist()),
        measures=measures_of(sight, place, cells),
        why=words_of(sight, place, cells, test, effect, None) if moved and test is not None else "",
    )
