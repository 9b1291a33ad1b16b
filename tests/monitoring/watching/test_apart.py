"""Stretches of training that differ are no news later; what training never showed of itself is."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.monitoring.watching.watched import START

from inprocml import Numeric, Transform
from inprocml.errors import Corrupt
from inprocml.monitoring import Baseline, DriftReport, build_baseline, layout_of, sample
from inprocml.monitoring.baseline import came_once
from inprocml.monitoring.report import words
from inprocml.monitoring.sample import with_sample
from inprocml.monitoring.stretches import CALM, NOISE, Stretch, reach, spread
from inprocml.monitoring.verdict import Joint, Reference, State
from inprocml.monitoring.watching.apart import with_stretches
from inprocml.monitoring.watching.joint import Together
from inprocml.schema import Field, Schema

HOUR = 3600.0
FIELDS = ("a", "b", "c")
TRANSFORM = Transform({name: Numeric() for name in FIELDS})
DAY = 480  # rows
DAYS = 60


def days(draw, count, slope=0.9, storms=0.15):
    """Rows of ``count`` days, of which some are stormy: a and b lie higher, their correlation as ever."""
    made = draw.normal(size=(count * DAY, 3))
    made[:, 1] = slope * made[:, 0] + np.sqrt(1 - slope**2) * made[:, 1]
    stormy = np.repeat(draw.random(count) < storms, DAY)
    made[stormy, :2] += [1.0, slope]
    return dict(zip(FIELDS, made.T, strict=True))


def baseline_of(training):
    made = build_baseline(TRANSFORM.schema, training)
    return with_stretches(with_sample(made, training, {}), training, {})


def reordered(columns, order):
    return {name: column[order] for name, column in columns.items()}


TRAINING = days(np.random.default_rng(1), DAYS)
SOME = {name: column[: 30 * DAY] for name, column in TRAINING.items()}
TRANSFORM.fit({name: column.tolist() for name, column in TRAINING.items()})
BASELINE = baseline_of(TRAINING)


def looks(columns, baseline=BASELINE, hours=range(24)):
    """Serve rows day by day, each by ``hours`` of it, and look at the end of each."""
    sampled = Together(layout_of(baseline), baseline, np.random.default_rng(0))
    sampled.due(START)
    places, found = baseline.places(columns, {}), []
    for day in range(len(places[0]) // DAY):
        for part, hour in zip(np.array_split(np.arange(DAY), len(hours)), hours, strict=True):
            now = START + (day * 24 + hour) * HOUR
            sampled.add([each[day * DAY + part] for each in places], now)
        sampled._looked = 0  # not at each hour: it takes its time
        found.append(sampled.due(START + (day + 1) * 24 * HOUR)(lambda: None))
    return found


def test_days_of_training_are_no_news_though_they_can_be_told_from_all_of_it():
    found = looks(SOME)
    assert sum(each[Reference.TRAIN].apart for each in found) >= 3
    assert sum(each[Reference.LIVE].apart for each in found[1:]) >= 3
    assert {each.state for looked in found for each in looked.values()} == {State.OK}
    held_to_chance = looks(SOME, replace(BASELINE, stretches=()))
    assert sum(each[Reference.TRAIN].state is State.WATCH for each in held_to_chance) >= 3


@pytest.mark.parametrize("storms", [0.0, 0.15])
def test_a_correlation_that_turned_round_is_found_all_the_same(storms):
    for each in looks(days(np.random.default_rng(2), 4, slope=-0.9, storms=storms)):
        assert each[Reference.TRAIN].state is State.WATCH
        assert each[Reference.TRAIN].reach > 0.6


def test_the_day_on_which_it_turns_differs_from_the_day_before():
    before, after = (days(np.random.default_rng(3), 2, slope, storms=0.0) for slope in (0.9, -0.9))
    found = looks({name: np.concatenate([before[name], after[name]]) for name in FIELDS})
    states = [each[Reference.LIVE].state for each in found if Reference.LIVE in each]
    assert states == [State.OK, State.WATCH, State.OK]


@pytest.mark.parametrize("seed", range(8))  # any seed would do but for two in a thousand, by chance
def test_rows_in_no_order_have_no_stretches_and_so_nothing_is_asked_beyond_chance(seed):
    shuffled = reordered(TRAINING, np.random.default_rng(seed).permutation(DAYS * DAY))
    assert baseline_of(shuffled).stretches == ()


def test_a_table_that_is_sorted_tells_no_time():
    assert baseline_of(reordered(TRAINING, np.argsort(TRAINING["c"]))).stretches == ()


def test_of_a_long_table_parts_are_read_and_its_storms_are_seen():
    long = days(np.random.default_rng(4), 500, storms=0.3)  # 960 halves of 500 rows
    found = baseline_of(long).stretches
    assert [each.rows for each in found] == [500, 2_000, 8_000]
    assert found[0].train > 0.65 > found[2].train > CALM


@pytest.mark.parametrize(("rows", "length"), [(0, None), (9, None), (799, None), (800, 100), (3_999, 498)])
def test_a_short_table_has_short_stretches_or_none(rows, length):
    half = rows // 2  # then they all change: stretches, and of each length the largest is kept
    columns = dict(zip(FIELDS, np.random.default_rng(5).normal(size=(3, rows)), strict=True))
    columns["a"][half : half + rows // 8] += 2
    found = baseline_of(columns).stretches
    assert [each.rows for each in found] == ([] if length is None else [length])


def test_the_same_table_gives_the_same_numbers_and_they_are_kept():
    assert baseline_of(TRAINING) == BASELINE
    assert len(BASELINE.stretches) >= 1
    assert Baseline.from_json(BASELINE.to_json()) == BASELINE
    bare = replace(BASELINE, stretches=())
    assert "stretches" not in json.loads(bare.to_json())
    assert Baseline.from_json(bare.to_json()) == bare


class Asked(dict):
    """Columns that know which of them were read."""

    def __init__(self, columns):
        super().__init__(columns)
        self.names = set()

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)


def test_of_a_wide_table_only_the_columns_are_read_that_are_taken():
    names = [f"c{place}" for place in range(60)]
    draw = np.random.default_rng(8)
    asked = Asked({name: draw.normal(size=1_000) for name in names})
    schema = Schema(tuple(Field(name, "number") for name in names))
    made = build_baseline(schema, asked)
    asked.names.clear()
    with_stretches(with_sample(made, asked, {}), asked, {})
    assert asked.names == set(names[:48])


def test_values_that_came_once_are_sought_once_for_all_lengths(monkeypatch):
    values = np.resize(np.array(["UA", "AA"], object), DAYS * DAY)
    values[5] = "only here"
    schema, columns = Schema((Field("carrier", "category"),)), {"carrier": values}
    made = with_sample(build_baseline(schema, columns), columns, {})
    sought = []
    monkeypatch.setattr(sample, "came_once", lambda column: sought.append(column) or came_once(column))
    with_stretches(made, columns, {})
    assert len(sought) == 1


def test_no_sample_no_stretches():
    bare = build_baseline(TRANSFORM.schema, TRAINING)
    assert with_stretches(bare, TRAINING, {}) == bare


def test_hours_that_the_day_before_did_not_have_are_not_compared_with_it():
    """The time of day would tell."""
    rows = days(np.random.default_rng(6), 1, storms=0.0)
    sampled = Together(layout_of(BASELINE), BASELINE, np.random.default_rng(0))
    sampled.due(START)
    midnight = START // (24 * HOUR) * 24 * HOUR
    for day, hours in enumerate([range(12), range(12), range(12, 24)]):
        for hour in hours:
            part = slice(hour % 12 * 40, hour % 12 * 40 + 40)
            places = BASELINE.places({name: column[part] for name, column in rows.items()}, {})
            sampled.add(places, midnight + (day * 24 + hour) * HOUR)
        sampled._looked = 0
        found = sampled.due(midnight + (day + 1) * 24 * HOUR)(lambda: None)
        assert (Reference.LIVE in found) == (day == 1)
        assert Reference.TRAIN in found


STRETCHES = st.lists(
    st.builds(Stretch, st.integers(100, 10**6), st.floats(0.5, 1), st.floats(0.5, 1)),
    max_size=4,
    unique_by=lambda each: each.rows,
).map(lambda found: tuple(sorted(found, key=lambda each: each.rows)))


@given(STRETCHES, st.integers(0, 10**7), st.integers(0, 10**7))
def test_longer_days_reach_no_farther(stretches, one, other):
    short, long = sorted((one, other))
    for place, asked in enumerate(("train", "live")):
        most = [getattr(each, asked) for each in stretches]
        assert reach(stretches, short)[place] >= reach(stretches, long)[place]
        assert reach(stretches, 0)[place] == max(most, default=CALM)
        assert reach(stretches, 10**7)[place] == (most[-1] if most else CALM)


@given(st.floats(0, 1), st.floats(0.5, 1), st.integers(100, 500), st.integers(100, 500))
def test_nothing_within_reach_is_watched_and_what_is_far_beyond_is(auc, reached, rows, compared):
    look = Joint(auc, 0.0, rows, compared, 24, START, (), reach=reached)
    assert replace(look, reach=None).state is State.WATCH
    if auc <= reached:
        assert look.state is State.OK
    if auc > reached + 3.3 * spread(rows, compared):
        assert look.state is State.WATCH


def test_the_spread_is_that_of_aucs_where_nothing_can_be_told():
    """Within what 60 of them can show; it errs to the side of silence."""
    shuffled = reordered(TRAINING, np.random.default_rng(7).permutation(DAYS * DAY))
    calm = looks(shuffled, replace(BASELINE, stretches=()))
    found = [each[Reference.TRAIN] for each in calm]
    told = np.std([each.auc for each in found]) / spread(found[0].rows, found[0].compared)
    assert 0.6 < told < 1.2


@pytest.mark.parametrize(
    ("joint", "said"),
    [
        (Joint(0.64, 0.0004, 500, 500, 24, START, (), reach=0.66), "differ from training rows no more than"),
        (Joint(0.52, 0.3, 500, 500, 24, START, (), reach=0.66), "cannot be told from training rows"),
        (Joint(0.9, 0.0004, 500, 500, 24, START, (), reach=0.66), "Watch, all columns together"),
    ],
)
def test_the_report_says_what_stretches_of_training_reach(joint, said):
    report = DriftReport("late", "3", Reference.TRAIN, State.OK, 1e9, None, 100, joint=joint)
    assert said in words.joint(report)
    assert f"AUC {joint.auc:.2f}" in words.joint(report)
    assert "stretches of training reach 0.66" in words.joint(report)
    assert DriftReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


ONE = {"rows": 500, "train": 0.7, "live": 0.6}


@pytest.mark.parametrize(
    "stretches",
    [
        [],
        {},
        "500",
        ONE,
        [{"rows": 500, "train": 0.7}],
        [ONE | {"more": 1}],
        [ONE | {"rows": 99}],
        [ONE | {"rows": 500.0}],
        [ONE | {"rows": 2**63}],
        [ONE | {"rows": DAYS * DAY}],  # the whole table
        [ONE | {"train": 0.49}],
        [ONE | {"train": 1.01}],
        [ONE | {"live": -1.0}],
        [ONE | {"live": "0.7"}],
        [ONE | {"live": None}],
        [ONE | {"live": True}],
        [ONE | {"train": 0.5, "live": 0.5}],
        [ONE, ONE],
        [ONE, ONE | {"rows": 400}],
        [ONE | {"rows": 500 + place} for place in range(5)],
        [ONE] * 100_000,
    ],
)
def test_stretches_that_cannot_be_are_refused(stretches):
    document = json.loads(BASELINE.to_json())
    assert Baseline.from_json(json.dumps(document | {"stretches": [ONE]})).stretches[0].train == 0.7
    with pytest.raises(Corrupt, match="baseline"):
        Baseline.from_json(json.dumps(document | {"stretches": stretches}))


def test_stretches_need_a_sample_and_the_kind_that_has_them():
    document = json.loads(BASELINE.to_json()) | {"stretches": [ONE]}
    for wrong in ({"sample": None}, {"kind": "baseline@2"}):
        with pytest.raises(Corrupt, match="baseline"):
            Baseline.from_json(json.dumps(document | wrong))


def test_a_seam_beyond_which_nothing_could_lie_counts_for_nothing():
    """A table of two halves that have nothing in common: rows of the other half are no news for ever."""
    halves = days(np.random.default_rng(5), 20, storms=0)
    halves["c"][10 * DAY :] += 50
    made = baseline_of(halves)
    assert all(each.live + NOISE * spread(500, 500) < 1 for each in made.stretches)
    turned = {**halves, "b": -halves["b"]}
    order = np.random.default_rng(6).permutation(20 * DAY)
    both = {
        name: np.concatenate([halves[name][order][: 2 * DAY], turned[name][order][:DAY]]) for name in FIELDS
    }
    found = looks(both, made)
    assert found[1][Reference.LIVE].state is State.OK
    assert found[2][Reference.LIVE].state is State.WATCH
