"""What the alarm notices and how soon, what it leaves alone, and what it says."""

from __future__ import annotations

import numpy as np
import pytest
from tests.monitoring.alarm.columns import MIDNIGHT, Stream, category, normal, numbers, shifted

from inprocml.monitoring.alarm import Floors
from inprocml.monitoring.verdict import Action, Reference, State, Test

CARRIERS = {"UA": 50, "AA": 30, "B6": 18, "HA": 2}


def stream(**options):
    columns = [normal(f"x{place}", seed=place) for place in range(6)]
    return Stream(*columns, normal("delay", missing=0.02), category("carrier", CARRIERS), **options)


def healthy(**options):
    """A stream that has learnt how far rows depend on one another."""
    learnt = stream(**options)
    assert learnt.blocks(520) == []
    return learnt


def holed(share):
    def values(rng, rows):
        column = rng.normal(size=rows)
        column[rng.random(rows) < share] = np.nan
        return column

    return values


def drawn(values, chances):
    return lambda rng, rows: rng.choice(np.array(values, object), rows, p=chances)


def spiked(rng, rows):
    return np.where(rng.random(rows) < 0.05, 40.0, rng.normal(size=rows))


def two_bells(rng, rows):
    return rng.choice([-0.9, 0.9], rows) + rng.normal(0, np.sqrt(1 - 0.81), rows)


@pytest.mark.parametrize(
    ("column", "values", "most", "tests"),
    [
        ("x1", shifted(0.5), 6, {Test.LOCATION}),
        ("x1", shifted(-0.25), 20, {Test.LOCATION}),
        ("x1", shifted(0, 1.5), 6, {Test.SCALE, Test.OUT_OF_RANGE}),
        ("x1", shifted(0, 0.5), 6, {Test.SCALE, Test.SHAPE}),
        ("x1", two_bells, 6, {Test.SHAPE, Test.SCALE}),
        ("delay", holed(0.12), 8, {Test.MISSING}),
        ("delay", holed(1.0), 3, {Test.MISSING}),
        ("carrier", drawn(["UA", "AA", "B6", "WN"], [0.49, 0.3, 0.18, 0.03]), 8, {Test.UNSEEN}),
        ("carrier", drawn(["UA", "AA", "B6", "HA"], [0.2, 0.3, 0.48, 0.02]), 8, {Test.SHAPE, Test.LOCATION}),
        ("x1", spiked, 5, {Test.OUT_OF_RANGE}),
        ("x1", lambda _, rows: np.full(rows, -np.inf), 3, {Test.OUT_OF_RANGE}),
    ],
)  # fmt: skip
def test_a_change_is_noticed_and_the_column_named(column, values, most, tests):
    watched = healthy()
    assert watched.until_event(most, **{column: values}) is not None
    event = watched.events[0]
    assert (event.action, event.reference) == (Action.OPENED, Reference.TRAIN)
    assert (event.model, event.version, event.at) == ("late", "7", watched.now)
    assert [each.name for each in event.findings] == [column]
    found = event.findings[0]
    assert found.test in tests
    assert found.state is State.DRIFT
    assert found.value > found.threshold == watched.alarm.threshold
    assert found.why.startswith(f"{column}: ")
    assert watched.alarm.state(Reference.TRAIN, watched.now) is State.DRIFT
    assert event.since <= event.at


def test_missing_values_that_are_gone_are_a_change():
    watched = Stream(normal("delay", missing=0.3))
    watched.blocks(520)
    assert watched.until_event(10, delay=holed(0.0))
    found = watched.events[0].findings[0]
    assert (found.test, found.why) == (
        Test.MISSING,
        f"delay: 0 % missing, 29.8 % in training, since {clock(found.since)}",
    )


def clock(at):
    minutes = int(at - MIDNIGHT) // 60
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def test_a_flag_that_was_hardly_ever_set_and_now_often_is():
    flags = numbers("flag", [1] * 20 + [0] * 19_980)
    watched = Stream(flags, normal("x"))
    watched.blocks(520)
    assert watched.until_event(4, flag=lambda rng, rows: (rng.random(rows) < 0.5).astype(float))


def test_words_for_values_never_seen():
    watched = healthy()
    watched.until_event(8, carrier=drawn(["UA", "ZZ"], [0.9, 0.1]))
    found = watched.events[0].findings[0]
    share = found.current[found.labels.index("unseen")] / found.rows
    assert (
        found.why
        == f"carrier: {float(f'{100 * share:.2g}'):g} % unseen, 0 % in training, since {clock(found.since)}"
    )
    assert found.rows == sum(found.current)
    assert sum(found.reference) == 20_000


@pytest.mark.parametrize(("mean", "word"), [(0.5, "higher"), (-0.5, "lower")])
def test_words_for_a_location(mean, word):
    watched = healthy()
    watched.until_event(8, x1=shifted(mean))
    assert f"sigma {word} than in training, since " in watched.events[0].findings[0].why


def test_after_a_day_the_date_is_said():
    watched = healthy()
    watched.until_event(8, x1=shifted(0.5))
    watched.now += 3 * 86400
    (found, *_) = watched.alarm.findings(Reference.TRAIN, watched.now)
    assert found.why.endswith("since 2023-11-15")


def test_the_most_telling_column_comes_first():
    watched = healthy()
    watched.blocks(10, x1=shifted(0.3), x2=shifted(1.0), x3=shifted(0.6))
    found = watched.alarm.findings(Reference.TRAIN, watched.now)
    assert [each.name for each in found[:3]] == ["x2", "x3", "x1"]
    assert len(found) == len(watched.layout.series)
    assert {each.state for each in found[3:]} <= {State.OK, State.WATCH}


@pytest.mark.parametrize("seed", [11, 12])
def test_nothing_is_said_where_nothing_changes(seed):
    quiet = stream(seed=seed)
    assert quiet.blocks(2200) == []
    assert quiet.alarm.state(Reference.TRAIN, quiet.now) in {State.OK, State.WATCH}
    assert quiet.alarm.state(Reference.LIVE, quiet.now) in {State.OK, State.WATCH}


def test_rows_that_come_tenfold_are_no_drift():
    clustered = stream(seed=3)
    for _ in range(1500):
        clustered.now += 60
        counts = clustered.layout.joined(clustered.like_training(10)) * 10
        assert clustered.alarm.add(counts, 100, clustered.now) == []


def test_a_moving_average_of_rows_is_no_drift():
    rng, watched, state = np.random.default_rng(8), stream(seed=4), 0.0

    def sticky(_, rows):
        nonlocal state
        values = np.empty(rows)
        for row, noise in enumerate(rng.normal(0, np.sqrt(1 - 0.81), rows)):
            state = values[row] = 0.9 * state + noise
        return values

    assert watched.blocks(1200, x1=sticky) == []


def test_small_changes_are_below_the_floor_however_many_rows_show_them():
    watched = healthy()
    assert watched.blocks(100, rows=5000, x1=shifted(0.03)) == []
    assert watched.alarm.state(Reference.TRAIN, watched.now) is State.OK


def test_the_budget_moves_the_threshold():
    assert stream(budget=0.01).alarm.threshold > stream().alarm.threshold > stream(budget=50).alarm.threshold


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_must_be_positive(budget):
    with pytest.raises(ValueError, match="must be positive"):
        stream(budget=budget)


def test_an_episode_opens_once_and_closes_with_the_same_id():
    watched = healthy()
    watched.blocks(20, x1=shifted(0.5))
    assert watched.blocks(30, x1=shifted(0.5), x2=shifted(0.5)) == []  # it is on already
    *joined, closed = watched.blocks(200)
    opened = watched.events[0]
    assert {(event.action, event.id) for event in joined} <= {(Action.JOINED, opened.id)}
    assert (closed.action, closed.id, closed.reference) == (Action.CLOSED, opened.id, Reference.TRAIN)
    assert watched.alarm.state(Reference.TRAIN, watched.now) in {State.OK, State.WATCH}
    watched.until_event(8, x1=shifted(0.5))
    assert watched.events[-1].action is Action.OPENED
    assert watched.events[-1].id != opened.id


def test_drift_that_stays_is_not_forgotten():
    watched = healthy()
    watched.blocks(1500, x1=shifted(0.15))
    assert {event.action for event in watched.events} == {Action.OPENED}
    # the rows of before it are by now old enough to be a reference themselves
    assert [event.reference for event in watched.events] == [Reference.TRAIN, Reference.LIVE]


def test_live_is_what_was_before_and_training_does_not_matter():
    """Skew from the first hour on is one thing, a change after a day another: each has its own episode."""
    watched = stream()
    watched.blocks(1700, x1=shifted(0.7))
    assert {event.reference for event in watched.events} == {Reference.TRAIN}
    assert watched.alarm.state(Reference.LIVE, watched.now) in {State.OK, State.WATCH}
    watched.until_event(8, x1=shifted(1.4))
    event = watched.events[-1]
    assert (event.action, event.reference) == (Action.OPENED, Reference.LIVE)
    assert [each.name for each in event.findings] == ["x1"]
    assert "sigma higher than before, since " in event.findings[0].why


def test_measures_are_those_of_the_counts():
    watched = healthy()
    watched.blocks(60, x1=shifted(0.5))
    found = watched.alarm.findings(Reference.TRAIN, watched.now)[0]
    assert found.measures.location == pytest.approx(0.5, abs=0.1)
    assert found.measures.missing == 0
    assert found.measures.unseen is None
    assert found.measures.out_of_range is not None


def test_a_calm_column_shows_the_last_day_on_all_bins():
    watched = healthy()
    for found in watched.alarm.findings(Reference.TRAIN, watched.now):
        (series,) = [each for each in watched.layout.series if each.name == found.name]
        assert found.labels == tuple(series.bins.labels())
        assert found.reference == series.reference.counts
        assert found.rows == sum(found.current) == 52_000
        assert found.why == ""


def test_the_timeline_has_an_hour_each():
    watched = healthy()
    moments = watched.alarm.timeline()
    assert [moment.until for moment in moments] == [MIDNIGHT + 3600 * hour for hour in range(1, 10)]
    assert sum(moment.rows for moment in moments) == 52_000
    assert all(abs(psi) < 0.02 for moment in moments[:-1] for psi in moment.psi.values())
    watched.blocks(120, x1=shifted(0.5))
    assert watched.alarm.timeline()[-2].psi["x1"] > 0.15


def test_the_floor_is_the_users():
    watched = healthy(floors=Floors(sigma=0.6, psi=0.6))
    assert watched.blocks(30, x1=shifted(0.3)) == []
    assert watched.alarm.state(Reference.TRAIN, watched.now) in {State.OK, State.WATCH}
    assert watched.until_event(10, x1=shifted(1.5)) is not None
