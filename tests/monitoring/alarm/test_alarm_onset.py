"""When a drift began: an estimate to within a block or so, and the same as long as the episode lasts."""

from __future__ import annotations

import numpy as np
import pytest
from tests.monitoring.alarm.columns import MINUTE, Stream, category, normal, shifted

from inprocml.monitoring.alarm.words import clock
from inprocml.monitoring.verdict import Action, Reference, State

CARRIERS = {"UA": 50, "AA": 30, "B6": 20}


def stream(seed=1):
    return Stream(normal("x"), normal("y", seed=1), category("carrier", CARRIERS), seed=seed)


def until_opened(watched, most, **columns):
    """Return the event that opens an episode, and when the columns began to be so."""
    began = watched.now
    for _ in range(most):
        for event in watched.block(**columns):
            if event.reference is Reference.TRAIN:
                return event, began
    raise AssertionError("nothing was said")


def with_new(rng, rows):
    return rng.choice(np.array(["UA", "AA", "B6", "ZZ"], object), rows, p=[0.45, 0.3, 0.2, 0.05])


def holed(rng, rows):
    return np.where(rng.random(rows) < 0.15, np.nan, rng.normal(size=rows))


@pytest.mark.parametrize(
    ("column", "values", "within"),
    [
        ("x", shifted(1.0), 1.5),
        ("x", shifted(0.5), 4),
        ("x", shifted(0.25), 20),
        ("x", shifted(0.0, 2.0), 3),
        ("x", holed, 3),
        ("carrier", with_new, 3),
    ],
)
def test_an_episode_began_when_the_rows_changed(column, values, within):
    apart = []
    for seed in range(5):
        watched = stream(seed)
        watched.blocks(520 + 7 * seed)
        event, began = until_opened(watched, 60, **{column: values})
        (found,) = event.findings
        assert event.since == found.since
        apart.append(abs(found.since - began) / MINUTE)
    assert np.median(apart) <= within


@pytest.mark.parametrize("mean", [0.5, 1.0])
def test_what_changed_while_an_alarm_was_learning_began_then_and_not_when_it_was_told(mean):
    """The window that shows it is the longest that is kept, or the last hour alone: not when it began."""
    apart = []
    for seed in range(3):
        watched = stream(seed)
        watched.blocks(90 + seed)
        event, began = until_opened(watched, 1500, x=shifted(mean))
        apart.append(abs(event.since - began) / MINUTE)
    assert np.median(apart) <= 5


def test_since_stays_when_other_columns_join_when_it_is_kept_and_until_it_is_over():
    watched = stream()
    watched.blocks(520)
    watched.blocks(70, x=shifted(0.8))
    since = watched.events[0].since
    watched.reload()
    for _ in range(80):
        watched.block(x=shifted(0.8), y=shifted(0.8), carrier=with_new)
        assert watched.alarm.since(Reference.TRAIN) == since
        assert {each.since for each in watched.alarm.episodes() if each.reference is Reference.TRAIN} == {
            since
        }
    watched.blocks(300)
    told = [event for event in watched.events if event.reference is Reference.TRAIN]
    assert {event.action for event in told} >= {Action.OPENED, Action.JOINED, Action.CLOSED}
    first = [event for event in told if event.id == told[0].id]
    assert {event.since for event in first} == {since}
    assert watched.alarm.since(Reference.TRAIN) is None or told[-1].action is not Action.CLOSED


def test_a_column_that_is_watched_says_since_when_as_well():
    """Too little for drift, and certain. The window that shows it best is longer, or shorter."""
    watched, seen = stream(), []
    watched.blocks(900)
    began = watched.now
    for _ in range(240):
        watched.block(y=shifted(0.065))
        (found,) = [f for f in watched.alarm.findings(Reference.TRAIN, watched.now) if f.name == "y"]
        if found.state is State.WATCH:
            seen.append(abs(found.since - began) / MINUTE)
            assert f", since {clock(found.since, watched.now)}" in found.why
            assert found.value > found.threshold, "what is certain is shown, not a larger effect by chance"
    assert np.median(seen) <= 20


def test_times_are_those_of_rows_where_none_came_for_a_while():
    """A night without rows lies between two blocks; the change came with the rows of the morning."""
    watched = stream()
    watched.blocks(600)
    watched.now += 6 * 3600
    watched.alarm.look(watched.now)
    event, began = until_opened(watched, 20, x=shifted(1.0))
    assert began - 2 * MINUTE <= event.since <= began + 2 * MINUTE
