"""Values that nobody has seen are expected where many came once in training: Good 1953, held to draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from tests.monitoring.alarm.columns import Stream, category, normal

from inprocml import Category, Transform
from inprocml.monitoring import build_baseline, layout_of
from inprocml.monitoring.alarm import judge_at_once
from inprocml.monitoring.verdict import Action, Reference, State, Test

VALUES = 100_000
NAMES = np.array([f"v{place}" for place in range(VALUES)], object)


def zipf(power):
    chances = 1 / np.arange(1, VALUES + 1) ** power
    return chances / chances.sum()


def drawn(rng, rows, power=1.3, new=0.0):
    values = NAMES[np.searchsorted(np.cumsum(zipf(power))[:-1], rng.random(rows), side="right")].copy()
    values[rng.random(rows) < new] = "new"
    return values


def crowded(rows=20_000, seed=0, power=1.3, *, forget=False):
    column = drawn(np.random.default_rng(seed), rows, power)
    schema = Transform({"who": Category()}).fit([{"who": "a"}]).schema
    told = build_baseline(schema, {"who": column})
    assert told.fields["who"].bins.complete
    if forget:
        told = type(told)(told.rows, told.fields, told.outputs)
    return layout_of(told).series[0]


@pytest.mark.parametrize("power", [1.2, 1.5])
def test_the_share_that_is_expected_is_the_one_that_comes(power):
    series = crowded(power=power)
    expected = series.reference.counts[-2] / series.reference.rows
    fresh = series.bins.count(drawn(np.random.default_rng(5), 200_000, power))
    assert expected == pytest.approx(fresh.counts[-2] / fresh.rows, rel=0.1)
    assert expected > 0.01


def test_new_rows_of_an_endless_category_are_no_drift_and_without_the_expectation_they_are():
    streams = {forget: Stream(crowded(forget=forget), normal("x")) for forget in (False, True)}
    for stream in streams.values():
        stream.blocks(900, who=drawn)
    assert streams[False].events == []
    assert streams[False].alarm.state(Reference.TRAIN, streams[False].now) is State.OK
    (event, *_) = streams[True].events
    assert event.findings[0].test is Test.UNSEEN


def test_nothing_is_forgotten_after_an_episode():
    stream = Stream(crowded(), normal("x"))
    stream.blocks(510, who=drawn)
    stream.blocks(40, who=lambda rng, rows: drawn(rng, rows, new=0.3))
    stream.blocks(900, who=drawn)
    told = [event.action for event in stream.events if event.reference is Reference.TRAIN]
    assert told == [Action.OPENED, Action.CLOSED]


def test_the_training_rows_themselves_are_no_drift():
    series = crowded()
    counts = np.array(series.bins.count(drawn(np.random.default_rng(0), 20_000)).counts)
    state, _ = judge_at_once(Stream(series).layout, counts)
    assert state is State.OK


def test_more_than_was_expected_is_said_with_what_was_expected():
    stream = Stream(crowded(), normal("x"))
    stream.blocks(510, who=drawn)
    assert stream.until_event(20, who=lambda rng, rows: drawn(rng, rows, new=0.1)) is not None
    found = stream.events[0].findings[0]
    assert (found.name, found.test) == ("who", Test.UNSEEN)
    expected = found.reference[found.labels.index("unseen")] / sum(found.reference)
    assert f" % unseen, {float(f'{100 * expected:.2g}'):g} % expected from training, since" in found.why
    assert found.effect == pytest.approx(found.measures.unseen - expected)


@pytest.mark.parametrize("seed", range(3))
def test_a_hundredth_never_seen_in_a_small_category_is_said_soon(seed):
    weights = {"UA": 50, "AA": 30, "B6": 18, "HA": 2}
    stream = Stream(category("carrier", weights), normal("x"), seed=seed)
    stream.blocks(520)
    values, chances = np.array([*weights, "ZZ"], object), np.array([49.5, 29.7, 17.82, 1.98, 1.0]) / 100
    blocks = stream.until_event(12, carrier=lambda rng, rows: rng.choice(values, rows, p=chances))
    assert blocks is not None
    assert stream.events[0].findings[0].test is Test.UNSEEN


def test_twice_of_a_little_that_was_expected_counts_whole():
    """From 0.2 % to 0.65 % is less than half a point more, and was 0 in training: still no small change."""
    once = {f"n{place}": 1 for place in range(40)}
    column = np.array([*(["a"] * 12_000), *(["b"] * 7_960), *once], object)
    schema = Transform({"who": Category()}).fit([{"who": "a"}]).schema
    (series,) = layout_of(build_baseline(schema, {"who": column})).series
    assert Counter(column)["n3"] == 1
    stream = Stream(series, normal("x"))
    stream.blocks(520)

    def doubled(rng, rows):
        values = rng.choice(np.array(["a", "b"], object), rows, p=[0.6, 0.4])
        values[rng.random(rows) < 0.0065] = "new"
        return values

    assert stream.until_event(400, rows=300, who=doubled) is not None
    assert "0.2 % expected from training" in stream.events[0].findings[0].why
