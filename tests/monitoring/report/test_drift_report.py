"""The report as a value: what drifted, exact JSON, and hosts put together without averages."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.monitoring.alarm.columns import Stream, category, normal, numbers
from tests.monitoring.report.sample import NOW, flights

from inprocml.errors import Corrupt, Unsupported
from inprocml.monitoring import HourOfWeekBins, NumberBins, ValueBins, numeric_edges
from inprocml.monitoring.alarm.folding import Folding
from inprocml.monitoring.report import DriftReport, Health, measured, measures, words
from inprocml.monitoring.series import Layout, Series
from inprocml.monitoring.verdict import (
    Action,
    DriftEvent,
    Finding,
    Joint,
    Measures,
    Moment,
    Progress,
    Reference,
    State,
    Test,
)

NUMBERS = st.floats(allow_nan=False)
FINITE = st.floats(-1e6, 1e6)
COUNTS = st.integers(0, 2**40)
NAMES = st.text(max_size=12)


def optional(strategy):
    return st.none() | strategy


@st.composite
def findings(draw, numbers=NUMBERS, names=NAMES, rows=COUNTS):
    kind = draw(st.sampled_from(["number", "value", "folded"]))
    labels = {
        "number": ("[-inf, 0)", "[0, 1)", "[1, inf)", "missing"),
        "value": ("=a", "=b", "other", "unseen", "missing"),
        "folded": ("[-inf, 1)", "[1, inf)", "missing"),
    }[kind]
    bins = st.lists(rows, min_size=len(labels), max_size=len(labels)).map(tuple)
    return Finding(
        name=draw(names),
        role=draw(st.sampled_from(["input", "output"])),
        state=draw(st.sampled_from(State)),
        value=draw(numbers),
        threshold=draw(numbers),
        test=draw(optional(st.sampled_from(Test))),
        effect=draw(numbers),
        since=draw(optional(numbers)),
        rows=draw(rows),
        labels=labels,
        folded=(0, 0, 1, 2) if kind == "folded" else (),
        reference=draw(bins),
        current=draw(bins),
        measures=Measures(**{part.name: draw(optional(numbers)) for part in fields(Measures)}),
        new_values=MappingProxyType(draw(st.dictionaries(NAMES, rows, max_size=3))),
        why=draw(st.text(max_size=30)),
        begins=draw(optional(numbers)),
        ends=draw(optional(numbers)),
        new_values_exact=draw(st.booleans()),
    )


@st.composite
def events(draw, numbers=NUMBERS):
    return DriftEvent(
        draw(NAMES),
        draw(st.sampled_from(Action)),
        "late",
        "3",
        draw(st.sampled_from(Reference)),
        draw(numbers),
        draw(numbers),
        (),
        draw(st.text(max_size=30)),
    )


@st.composite
def reports(draw, numbers=NUMBERS, names=NAMES, rows=COUNTS):
    scores = st.dictionaries(names, numbers, max_size=3).map(MappingProxyType)
    moments = st.builds(Moment, numbers, rows, scores, scores)
    learning = st.builds(Progress, rows, rows, rows, numbers, optional(numbers))
    listed = draw(
        st.lists(findings(numbers, names, rows), max_size=4, unique_by=lambda one: (one.role, one.name))
    )
    return DriftReport(
        model="late",
        version="3",
        reference=draw(st.sampled_from(Reference)),
        state=draw(st.sampled_from(State)),
        at=draw(numbers),
        since=draw(optional(numbers)),
        rows=draw(rows),
        findings=tuple(listed),
        timeline=tuple(draw(st.lists(moments, max_size=4))),
        health=Health(
            draw(rows), draw(rows), draw(rows), draw(numbers), draw(numbers), draw(st.integers(1, 9))
        ),
        progress=draw(optional(learning)),
        ended=tuple(draw(st.lists(events(numbers), max_size=3))),
    )


@given(reports())
@settings(max_examples=60)
def test_a_report_comes_back_from_json_as_it_was(report):
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert DriftReport.from_dict(document) == report


def test_numbers_that_are_none_survive_json():
    report = replace(flights(others=0), at=math.nan)
    assert math.isnan(DriftReport.from_dict(json.loads(json.dumps(report.to_dict()))).at)


def test_a_later_kind_is_unsupported_and_damage_is_corrupt():
    document = flights(others=1).to_dict()
    with pytest.raises(Unsupported, match="drift_report@2"):
        DriftReport.from_dict({**document, "kind": "drift_report@2"})
    damaged = [
        {},
        {**document, "extra": 1},
        {**document, "state": "fine"},
        {**document, "rows": -1},
        {**document, "findings": [{**document["findings"][0], "current": [1]}]},
        {**document, "timeline": [{"until": "soon", "rows": 1, "psi": {}}]},
        [],
        None,
    ]
    for each in damaged:
        with pytest.raises(
            Corrupt, match=r"the drift report.*Give from_dict what to_dict returned, unchanged\.$"
        ):
            DriftReport.from_dict(each)


def test_drifted_are_the_findings_that_drifted_in_their_order():
    report = flights()
    assert [found.name for found in report.drifted] == ["tailnum", "wind_gust"]
    assert report["late[1]"].role == "output"
    with pytest.raises(KeyError, match="weather"):
        report["weather"]


def on_hosts(findings_by_host, **told):
    return [replace(flights(others=0), findings=found, **told) for found in findings_by_host]


def test_measures_of_hosts_are_those_of_all_rows_and_not_an_average():
    random = np.random.default_rng(3)
    reference = random.normal(size=50_000)
    bins = NumberBins(tuple(numeric_edges(reference).tolist()))
    before = bins.count(reference).counts
    whole, parts = np.zeros(bins.size, int), []
    for _ in range(16):
        now = bins.count(random.normal(size=60)).counts
        whole += now
        parts.append(
            replace(
                flights(others=0)["wind_gust"], labels=tuple(bins.labels()), reference=before, current=now
            )
        )
    one, *others = on_hosts(
        [(replace(part, measures=measures(before, part.current, bins)),) for part in parts]
    )
    merged = one.merge(*others)["wind_gust"]
    assert merged.current == tuple(whole.tolist())
    assert merged.reference == before
    assert merged.measures == measures(before, tuple(whole.tolist()), bins.labels())
    assert abs(merged.measures.psi) < 0.02 < max(part.measures.jensen_shannon for part in one.findings)


def test_an_earlier_period_is_each_host_s_own_so_it_adds_up():
    one, two = on_hosts([flights(seed).findings[:1] for seed in (0, 1)], reference=Reference.LIVE)
    total = one.merge(two)["tailnum"]
    assert sum(total.reference) == 40_000
    one, two = (replace(report, reference=Reference.TRAIN) for report in (one, two))
    assert sum(one.merge(two)["tailnum"].reference) == 20_000


def test_the_host_that_is_most_certain_speaks_and_effects_are_of_all_rows():
    calm, loud = flights(others=0), flights(seed=1, others=0)
    calm = replace(
        calm,
        state=State.OK,
        since=None,
        findings=tuple(
            replace(found, state=State.OK, value=1.0, since=None, why="") for found in calm.findings
        ),
    )
    merged = calm.merge(loud)
    assert (merged.state, merged.since) == (State.DRIFT, loud.since)
    assert merged["tailnum"].why == loud["tailnum"].why
    assert merged["tailnum"].value == loud["tailnum"].value
    assert merged["tailnum"].rows == 8_000
    assert merged["tailnum"].effect == pytest.approx(merged["tailnum"].measures.unseen)  # none in training
    assert merged.health == Health(240_800, 192_000, 24, 0.4, 0.42, 8, 2, "hosts")
    assert merged.rows == calm.rows + loud.rows
    assert [slot.rows for slot in merged.timeline] == [2 * slot.rows for slot in loud.timeline]


@given(
    st.lists(reports(FINITE, st.sampled_from("abc"), st.integers(0, 1000)), min_size=3, max_size=3),
    st.randoms(),
)
@settings(max_examples=60)
def test_hosts_may_be_merged_in_any_order(three, random):
    three = [replace(report, reference=Reference.TRAIN) for report in three]
    once = three[0].merge(*three[1:])
    random.shuffle(three)
    assert [found.name for found in three[0].merge(*three[1:]).findings] == [
        one.name for one in once.findings
    ]
    again = three[0].merge(*three[1:])
    assert replace(again, health=once.health) == once
    assert again.health.seen == once.health.seen


def test_episodes_that_are_alike_but_for_their_beginning_have_one_order():
    over = [
        DriftEvent("a", Action.CLOSED, "late", "3", Reference.TRAIN, NOW, since, ()) for since in (1.0, 0.0)
    ]
    one, two = (replace(flights(others=0), ended=(event,)) for event in over)
    assert one.merge(two).ended == two.merge(one).ended


def test_one_report_merges_to_itself():
    report = flights(others=2)
    assert report.merge() is report


@pytest.mark.parametrize("other", [{"model": "early"}, {"version": "4"}, {"reference": Reference.LIVE}])
def test_reports_of_different_things_do_not_merge(other):
    with pytest.raises(ValueError, match="do not merge"):
        flights(others=0).merge(replace(flights(others=0), **other))


def test_counts_on_bins_of_another_baseline_are_not_added():
    one, two = on_hosts([flights(seed, others=0).findings[1:2] for seed in (0, 1)])
    other = replace(
        two.findings[0],
        labels=("[-inf, 3)", "[3, inf)", "missing"),
        reference=(9, 0, 1),
        current=(5, 4, 1),
        rows=10,
    )
    merged = one.merge(replace(two, findings=(other,)))["wind_gust"]
    assert merged.labels == one["wind_gust"].labels
    assert merged.current == one["wind_gust"].current


@settings(max_examples=40)
@given(st.sampled_from(["number", "months", "many", "few", "time"]), st.integers(0, 2**32))
def test_all_bins_of_one_host_and_cells_of_another_add_up_exactly(kind, seed):
    """A calm column is shown on all bins, one that moved on the cells of its window."""
    random = np.random.default_rng(seed)
    column = {
        "number": lambda: random.normal(size=1000).round(random.integers(0, 4)),
        "months": lambda: random.integers(1, random.integers(2, 31), 1000).astype(np.float64),
        "many": lambda: np.array([f"v{value}" for value in random.zipf(1.4, 1000) % 500], object),
        "few": lambda: random.choice(np.array(["a", "b"], object), 1000),
        "time": lambda: np.datetime64("2023-10-02", "us") + random.integers(0, 10**6, 1000).astype("m8[s]"),
    }[kind]()
    bins = {
        "number": lambda: NumberBins(tuple(numeric_edges(column).tolist())),
        "months": lambda: NumberBins(tuple(numeric_edges(column).tolist())),
        "time": HourOfWeekBins,
    }.get(kind, lambda: ValueBins.of(column))()
    series = Series("x", "input", bins.count(column))
    folding = Folding(Layout((series,)))
    names = folding.names[0]
    counts = [np.array(bins.count(random.permutation(column)[:300]).counts) for _ in range(2)]
    folded = [tuple(folding.fold(each)[0, [cell for cell, _ in names]].tolist()) for each in counts]
    then = tuple(folding.reference[0, [cell for cell, _ in names]].tolist())
    one = replace(
        flights(others=0)["wind_gust"],
        labels=tuple(bins.labels()),
        reference=series.reference.counts,
        current=tuple(counts[0].tolist()),
        rows=300,
    )
    cells = tuple(label for _, label in names)
    two = replace(one, labels=cells, reference=then, current=folded[1], folded=folding.places[0])
    for reference in Reference:
        first, second = on_hosts([(one,), (two,)], reference=reference)
        for merged in (first.merge(second), second.merge(first)):
            found = merged.findings[0]
            assert found.labels == two.labels
            assert found.current == tuple(a + b for a, b in zip(*folded, strict=True))
            hosts = 1 if reference is Reference.TRAIN else 2
            assert found.reference == tuple(hosts * count for count in then)


def test_a_host_that_drifted_and_one_that_did_not_add_up_on_whole_numbers():
    months = np.random.default_rng(0).integers(1, 13, 20_000)
    hosts = []
    for seed in (1, 2):
        stream = Stream(numbers("month", months), seed=seed)
        moved = {"month": lambda rng, n: rng.integers(7, 13, n) * 1.0} if seed == 2 else {}
        stream.blocks(300)
        stream.blocks(300, **moved)
        found = stream.alarm.findings(Reference.TRAIN, stream.now)
        hosts.append(replace(flights(others=0), findings=found))
    calm, moved = (report["month"] for report in hosts)
    assert (calm.folded, len(set(moved.folded))) == ((), len(moved.labels))
    merged = hosts[0].merge(hosts[1])["month"]
    summed = np.bincount(moved.folded, weights=calm.current) + moved.current
    assert merged.current == tuple(summed.astype(int).tolist())
    assert merged.reference == moved.reference
    assert hosts[1].merge(hosts[0])["month"] == merged


def test_two_reports_against_the_time_before_add_up():
    hosts = []
    for seed in (1, 2):
        stream = Stream(normal("x"), category("c", {"a": 3, "b": 1}), seed=seed)
        stream.blocks(1600)
        found = stream.alarm.findings(Reference.LIVE, stream.now)
        hosts.append(replace(flights(others=0), reference=Reference.LIVE, findings=found))
    merged = hosts[0].merge(hosts[1])
    for name in ("x", "c"):
        parts = [report[name] for report in hosts]
        assert merged[name].rows == sum(merged[name].current) == sum(part.rows for part in parts) > 100_000
        assert sum(merged[name].reference) == sum(sum(part.reference) for part in parts) > 0
        assert abs(merged[name].measures.psi) < 0.01


def test_what_is_empty_has_no_distance_and_no_rate():
    bins = ValueBins.of(np.array(["a", "b"], dtype=object))
    told = measures((0,) * bins.size, (0,) * bins.size, bins)
    assert told == Measures()


def often_new():
    """A column of which many values came once, and its training rows as they fall on its bins."""
    random = np.random.default_rng(0)
    names = np.array([f"N{value}" for value in random.zipf(1.3, 20_000) % 90_000], object)
    bins = ValueBins.of(names)
    once = sum(count == 1 for count in np.unique(names, return_counts=True)[1])
    return bins, bins.count(names), bins.count(names).left_out(int(once))


def test_training_rows_are_at_no_distance_from_training_though_many_values_came_once():
    bins, rows, expected = often_new()
    assert expected.counts[-2] > 0.05 * rows.rows
    found = replace(
        flights(others=0)["tailnum"],
        labels=tuple(bins.labels()),
        reference=expected.counts,
        current=rows.counts,
        measures=Measures(),
        test=Test.UNSEEN,
        state=State.WATCH,
        why="",
    )
    told = measured(found, bins).measures
    assert abs(told.psi) < 0.01
    assert told.jensen_shannon == told.hellinger == told.total_variation == told.l_infinity == 0
    assert told.unseen == 0
    one, two = on_hosts([(found,), (found,)])
    assert abs(one.merge(two).findings[0].measures.psi) < 0.01
    assert "expected" in words.changed(found, Reference.TRAIN, NOW)
    assert "expected" not in words.changed(found, Reference.LIVE, NOW)


def test_values_that_are_new_are_far_from_an_earlier_period_that_had_fewer():
    """Of rows that were served nothing is expected: what they had is what they had."""
    bins, _, before = often_new()
    now = list(before.counts)
    now[-2], now[-3] = now[-2] + now[-3], 0
    found = replace(
        flights(others=0)["tailnum"],
        labels=tuple(bins.labels()),
        reference=before.counts,
        current=tuple(now),
    )
    assert measured(found, bins, Reference.LIVE).measures.psi > 0.25
    assert abs(measured(found, bins).measures.psi) < 0.01


def test_order_is_for_numbers_alone():
    values = ValueBins.of(np.array(["a", "b"], dtype=object))
    told = measures((5, 5, 0, 0, 0), (1, 8, 0, 1, 0), values)
    assert told.binned_ks is None
    assert told.wasserstein is None
    assert told.unseen == 0.1
    assert told.out_of_range is None


def test_missing_rows_are_no_distance_between_numbers():
    bins = NumberBins((0.0, 1.0, 2.0))
    told = measures((0, 50, 50, 0, 0), (0, 5, 5, 0, 90), bins)
    assert told.binned_ks == 0
    assert told.wasserstein == 0
    assert told.missing == 0.9
    assert told.total_variation == pytest.approx(0.9)


def test_bins_known_by_name_measure_as_bins_do():
    reference = np.random.default_rng(0).normal(size=5_000) * 1e3
    bins = NumberBins(tuple(numeric_edges(reference).tolist()))
    before, now = bins.count(reference).counts, bins.count(reference[:500] + 300).counts
    exact, named = measures(before, now, bins), measures(before, now, bins.labels())
    assert named.wasserstein == pytest.approx(exact.wasserstein, rel=1e-4)
    assert replace(named, wasserstein=None) == replace(exact, wasserstein=None)


def test_a_finding_keeps_what_the_counts_cannot_tell():
    found = replace(flights(others=0)["wind_gust"], measures=Measures(location=0.61, psi=9.0))
    again = measured(found)
    assert again.measures.psi < 1
    assert again.measures.location == pytest.approx(0.6, abs=0.1)
    values = replace(flights(others=0)["tailnum"], measures=Measures(location=0.61, psi=9.0))
    assert measured(values).measures.location == 0.61
    assert measured(values).measures.psi < 1


def test_times_are_of_the_report_and_not_of_the_reader():
    assert flights().at == NOW


def look(p_value, hours=24, **told):
    return Joint(told.pop("auc", 0.7), p_value, 500, 500, hours, NOW, (("hour", 1.0),), **told)


def together(looks):
    one, *others = [replace(flights(others=0), joint=each) for each in looks]
    return one.merge(*others).joint


@pytest.mark.parametrize(
    ("looks", "state", "watching"),
    [
        ([look(0.0004), look(0.0004, hours=2)], State.WATCH, 0),  # of one host: the other has no verdict yet
        ([look(0.0004), look(0.0002, hours=2)], State.WATCH, 0),
        ([look(0.5, hours=3), look(0.0004, hours=2)], State.WARMING, 0),
        ([look(0.0004), *[look(0.5)] * 39], State.OK, 1),  # chance has one of so many show as much
        ([look(0.0004), look(0.0004), *[look(0.5)] * 38], State.WATCH, 2),
        ([look(0.0004), look(0.0004)], State.WATCH, 2),
        ([look(0.5), look(0.6)], State.OK, 0),
        ([look(0.0004, reach=0.69), look(0.0004, reach=0.69)], State.OK, 0),  # training differs as much
        ([look(0.0004, reach=0.69), look(0.0004, reach=0.6), look(0.0004)], State.WATCH, 2),
    ],
)
def test_what_hosts_see_together_is_judged_by_how_many_of_them_see_it(looks, state, watching):
    found = together(looks)
    assert (found.state, found.watching) == (state, watching)
    assert together(list(reversed(looks))) == found
    report = replace(flights(others=0), joint=found)
    assert DriftReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    said = words.joint(report)
    assert said.startswith("Watch") == (state is State.WATCH)
    judged = found.hosts > 1 and state is not State.WARMING
    assert (f"{watching} of {found.hosts} hosts" in said) == judged


def test_of_hosts_the_one_is_shown_that_is_at_watch():
    """Not one that is surer, and no farther off than its own training is."""
    within, beyond = look(0.0002, auc=0.99, reach=0.99), look(0.0004, auc=0.75, reach=0.6)
    found = together([within, beyond])
    assert (found.auc, found.reach, found.watching) == (0.75, 0.6, 1)
    assert together([beyond, within]) == found


@given(
    st.lists(
        st.builds(
            look,
            st.sampled_from([0.0004, 0.5]),
            st.integers(1, 24),
            auc=st.floats(0.5, 1),
            reach=st.none() | st.floats(0.5, 1),
        ),
        min_size=1,
        max_size=5,
    ),
    st.randoms(),
)
def test_hosts_that_look_at_all_columns_may_be_merged_one_by_one(looks, random):
    whole = together(looks)
    random.shuffle(looks)
    one = looks[0]
    for other in looks[1:]:
        one = together([one, other])
    assert one == whole


@pytest.mark.parametrize(("first", "second", "exact"), [(20, 11, True), (20, 12, False), (32, 1, False)])
def test_merged_counts_of_new_values_are_exact_where_no_host_can_have_left_one_out(first, second, exact):
    one = flights()
    hosts = []
    for start, count in ((0, first), (first, second)):
        values = MappingProxyType({f"N{place:02}": 5 for place in range(start, start + count)})
        found = replace(one["tailnum"], new_values=values, new_values_exact=True)
        hosts.append(replace(one, findings=(found,)))
    merged = hosts[0].merge(hosts[1])["tailnum"]
    assert merged.new_values_exact is exact
    assert len(merged.new_values) == min(first + second, 32)
    bounds = replace(hosts[1], findings=(replace(hosts[1].findings[0], new_values_exact=False),))
    assert not hosts[0].merge(bounds)["tailnum"].new_values_exact
