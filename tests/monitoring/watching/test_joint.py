"""All columns together: what no column shows alone is found once an hour, and nothing where nothing is."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.monitoring.watching.watched import START, Clock, Idle

from inprocml import Category, Numeric, Timestamp, Transform
from inprocml.errors import Corrupt, Unsupported
from inprocml.monitoring import Baseline, DriftReport, Monitor, Monitoring, build_baseline, layout_of
from inprocml.monitoring.places import in_rows, written
from inprocml.monitoring.sample import drawn, with_sample
from inprocml.monitoring.verdict import Joint, Reference, State
from inprocml.monitoring.watching.joint import Together, dumped, loaded

HOUR = 3600.0
FIELDS = ("a", "b", "c")
TRANSFORM = Transform({name: Numeric() for name in FIELDS})


def columns(draw, count, slope=0.8):
    """Three columns; of the first two each is normal whatever ``slope``, their correlation, is."""
    made = draw.normal(size=(count, 3))
    made[:, 1] = slope * made[:, 0] + np.sqrt(1 - slope**2) * made[:, 1]
    return dict(zip(FIELDS, made.T, strict=True))


def baseline_of(training, transform=TRANSFORM):
    made = build_baseline(transform.schema, training)
    return with_sample(made, training, {})


TRAINING = columns(np.random.default_rng(1), 20_000)
TRANSFORM.fit({name: column.tolist() for name, column in TRAINING.items()})
BASELINE = baseline_of(TRAINING)
LAYOUT = layout_of(BASELINE)


def together(baseline=BASELINE, seed=0):
    return Together(layout_of(baseline), baseline, np.random.default_rng(seed))


def after_days(sampled, make, days=1, hours=24, an_hour=60, baseline=BASELINE, start=START):
    """Feed rows hour by hour, then look."""
    sampled.due(start)
    for hour in range(days * hours):
        sampled.add(baseline.places(make(an_hour), {}), start + hour * HOUR)
    return look(sampled, start + days * hours * HOUR)


def look(sampled, now):
    due = sampled.due(now)
    assert due is not None
    return due(lambda: None)


def test_a_correlation_that_turned_round_is_found_and_its_columns_are_named():
    draw = np.random.default_rng(2)
    found = after_days(together(), lambda count: columns(draw, count, -0.8))[Reference.TRAIN]
    assert found.auc > 0.8
    assert found.state is State.WATCH
    assert found.p_value <= 0.01 / 24
    assert {name for name, _ in found.columns[:2]} == {"a", "b"}
    assert (found.rows, found.compared, found.hours) == (504, 500, 24)  # 21 of each hour


def test_rows_as_in_training_are_not_told_from_it_and_the_days_agree():
    draw = np.random.default_rng(3)
    found = after_days(together(), lambda count: columns(draw, count), days=2)
    assert set(found) == set(Reference)
    assert {each.state for each in found.values()} == {State.OK}


def test_without_training_rows_a_day_is_compared_with_the_one_before():
    """Of a bundle that was packed before."""
    bare = build_baseline(TRANSFORM.schema, TRAINING)
    draw, sampled = np.random.default_rng(4), Together(layout_of(bare), bare)
    assert after_days(sampled, lambda count: columns(draw, count)) == {}
    for hour in range(24, 48):
        sampled.add(bare.places(columns(draw, 60, -0.8), {}), START + hour * HOUR)
    found = look(sampled, START + 48 * HOUR)
    assert set(found) == {Reference.LIVE}
    assert found[Reference.LIVE].state is State.WATCH


def test_before_a_whole_day_there_is_a_number_and_no_verdict():
    draw = np.random.default_rng(5)
    found = after_days(together(), lambda count: columns(draw, count, -0.8), hours=3)[Reference.TRAIN]
    assert found.auc > 0.8
    assert (found.hours, found.state) == (3, State.WARMING)


def clusters(draw, count):
    """Rows of which ten each are the same: ten requests of one customer."""
    return {name: np.repeat(column, 10) for name, column in columns(draw, count // 10).items()}


@pytest.mark.parametrize(("an_hour", "looks"), [(40, False), (4_000, True)])
def test_rows_that_come_in_clusters_are_not_told_from_training_by_their_clusters(an_hour, looks):
    """At an effect of 10 a day of 960 rows says too little; of 96,000 hardly two of a cluster are taken."""
    for seed in range(10):
        draw, sampled = np.random.default_rng(seed), together(seed=seed)
        sampled.due(START)
        for hour in range(24):
            sampled.add(BASELINE.places(clusters(draw, an_hour), {}), START + hour * HOUR)
        found = sampled.due(START + 24 * HOUR, 10.0)(lambda: None)
        assert {each.state for each in found.values()} == ({State.OK} if looks else set())


def replayed(places):
    return {name: column[places] for name, column in TRAINING.items()}


def test_replayed_training_rows_are_watched_as_rarely_as_they_should():
    """Of 200 days, at 5 % and 20 %, within four sigma of a binomial count."""
    draw, p_values = np.random.default_rng(6), []
    for seed in range(200):
        sampled = together(seed=seed)
        place = iter(draw.permutation(len(TRAINING["a"])).reshape(-1, 20))
        found = after_days(
            sampled,
            lambda _count, place=place: replayed(next(place)),
            an_hour=20,
            start=START + seed * 7 * HOUR,
        )
        p_values.append(found[Reference.TRAIN].p_value)
    for level in (0.01, 0.05, 0.2):
        assert np.sum(np.array(p_values) <= level) <= 200 * level + 4 * np.sqrt(200 * level * (1 - level))
    assert np.sum(np.array(p_values) <= 0.01 / 24) == 0


def test_a_day_is_put_together_from_its_hours_by_their_rows():
    """A busy hour weighs as much as it had rows, though no more of any hour are kept."""
    sampled = together()
    sampled.due(START)
    low = {name: np.full(9_000, -9.0) for name in FIELDS}  # under the range: the first bin
    sampled.add(BASELINE.places(low, {}), START)
    sampled.add(BASELINE.places({name: -column[:1_000] for name, column in low.items()}, {}), START + HOUR)
    rows, hours, _ = sampled._of(int(START // HOUR) - 22, int(START // HOUR) + 2)
    assert hours == 2
    assert np.mean(rows[:, 0] == 0) == pytest.approx(0.9, abs=0.02)
    assert len(rows) == pytest.approx(80 / 0.9, abs=2)


def test_memory_is_bounded_whatever_comes():
    sampled, draw = together(), np.random.default_rng(7)
    sampled.due(START)
    for hour in range(200):
        for _ in range(3):
            sampled.add(BASELINE.places(columns(draw, 400), {}), START + hour * HOUR)
    assert len(sampled._hours) <= 49
    assert max(len(hour.keys) for hour in sampled._hours) == 80
    assert sum(hour.sample.nbytes for hour in sampled._hours) <= 49 * 80 * 3


@pytest.mark.parametrize("wrong", [10 * 365 * 24, -10 * 365 * 24, 1])
def test_a_look_at_a_wrong_clock_costs_hours_and_not_years(wrong):
    sampled, draw = together(), np.random.default_rng(7)

    def hours(first, end):
        for hour in range(first, end):
            sampled.due(START + hour * HOUR)
            sampled.add(BASELINE.places(columns(draw, 100), {}), START + hour * HOUR)

    hours(0, 50)
    hours(50 + wrong, 51 + wrong)
    hours(50, 75)
    found = look(sampled, START + 75 * HOUR)
    assert found[Reference.TRAIN].hours == 24
    assert max(hour.number for hour in sampled._hours) == int(START // HOUR) + 74
    assert len(sampled._hours) <= 49


@pytest.mark.parametrize("of_hour", [0, 1, 99])
def test_too_few_rows_say_nothing(of_hour):
    sampled, draw = together(), np.random.default_rng(8)
    sampled.due(START)
    sampled.add(BASELINE.places(columns(draw, of_hour), {}), START)
    assert look(sampled, START + 24 * HOUR) == {}


def test_nothing_is_looked_at_twice_in_an_hour_and_a_clock_may_step_back():
    sampled, draw = together(), np.random.default_rng(9)
    assert sampled.due(START) is None
    sampled.add(BASELINE.places(columns(draw, 300), {}), START)
    assert sampled.due(START + HOUR) is not None
    assert sampled.due(START + HOUR + 1) is None
    assert sampled.due(START - 50 * HOUR) is None
    sampled.add(BASELINE.places(columns(draw, 300), {}), START - 50 * HOUR)
    assert sampled.due(START - 49 * HOUR) is not None
    assert sampled.due(START - 48.5 * HOUR) is None


def odd(kind, count, draw):
    if kind == "constant":
        return {name: np.full(count, 5.0) for name in FIELDS}
    return {name: np.full(count, np.nan) for name in FIELDS}


@pytest.mark.parametrize("kind", ["constant", "missing"])
def test_columns_that_are_all_alike_show_nothing(kind):
    draw = np.random.default_rng(10)
    baseline = baseline_of(odd(kind, 1_000, draw))
    found = after_days(together(baseline), lambda count: odd(kind, count, draw), baseline=baseline)
    assert found[Reference.TRAIN].p_value == 1.0
    assert found[Reference.TRAIN].columns == ()


def test_what_goes_missing_together_is_found():
    draw = np.random.default_rng(11)
    found = after_days(together(), lambda count: odd("missing", count, draw))
    assert found[Reference.TRAIN].auc == 1.0


@pytest.mark.parametrize("spread", ["even", "zipf"])
def test_a_million_categories_and_the_time_of_the_week(spread):
    """Names are no rows' bins: 64 of them, other, unseen, missing; of times of the week nothing is kept.

    Values that came once in training are to new rows values never seen: those are no news.
    """
    transform = Transform({"who": Category(), "a": Numeric(), "at": Timestamp(timezone="UTC")})
    draw = np.random.default_rng(12)

    def made(count):
        at = np.datetime64("2024-01-01T00:00:00", "us") + draw.integers(0, 10**9, count).astype("m8[us]")
        drawn = draw.integers(0, 10**6, count) if spread == "even" else draw.zipf(1.3, count) % 10**6
        who = np.array([f"u{n}" for n in drawn], object)
        return {"who": who, "a": draw.normal(size=count), "at": at}

    training = made(3_000)
    transform.fit([dict(zip(training, row, strict=True)) for row in [("u1", 0.5, "2024-01-01T00:00:00Z")]])
    baseline = with_sample(build_baseline(transform.schema, training), training, {})
    assert baseline.sampled.shape == (500, 2)
    found = after_days(together(baseline), made, baseline=baseline)
    assert (found[Reference.TRAIN].hours, found[Reference.TRAIN].state) == (24, State.OK)
    assert found[Reference.TRAIN].auc < 0.6


# --- in the bundle ---------------------------------------------------------------------------------------


def test_training_rows_come_back_as_they_were_kept_and_the_same_rows_each_time():
    read = Baseline.from_json(BASELINE.to_json())
    assert read == BASELINE
    assert baseline_of(TRAINING).to_json() == BASELINE.to_json()
    assert np.array_equal(read.sampled, BASELINE.sampled)
    assert read.sampled.shape == (500, 3)


def test_a_baseline_without_training_rows_is_read_as_ever():
    bare = build_baseline(TRANSFORM.schema, TRAINING)
    assert "sample" not in json.loads(bare.to_json())
    assert len(Baseline.from_json(bare.to_json()).sampled) == 0


def saturated(count, fields=3):
    """Columns and two probabilities near 0 and 1, where the bins of both do not mirror one another."""
    draw = np.random.default_rng(4)
    columns = {f"f{place}": draw.normal(size=count) for place in range(fields)}
    margin = 40 * draw.normal(size=count)
    p, q = (1 / (1 + np.exp(np.stack([-margin, margin])))).astype(np.float32)
    transform = Transform({name: Numeric() for name in columns}).fit(columns)
    outputs = {"probability": np.stack([q, p], axis=1)}
    return with_sample(build_baseline(transform.schema, columns, outputs), columns, outputs), columns, outputs


def as_of_old(told, columns, outputs):
    """Write as releases did that watched both probabilities."""
    chosen, bins = drawn(told.rows), {**told.fields, **told.outputs}
    given = {**columns, **{name: outputs["probability"][:, at] for at, name in enumerate(told.outputs)}}
    rows = [counted.bins.places(np.asarray(given[name])[chosen]) for name, counted in bins.items()][:48]
    return json.dumps(json.loads(told.to_json()) | {"sample": written(in_rows(rows))})


@pytest.mark.parametrize("count", [7, 450, 3_000])
@pytest.mark.parametrize("fields", [1, 3, 46, 48, 50])
def test_a_sample_of_both_probabilities_is_read_as_of_the_second_alone(count, fields):
    told, columns, outputs = saturated(count, fields)
    old = Baseline.from_json(as_of_old(told, columns, outputs))
    assert old == told == Baseline.from_json(told.to_json())
    assert old.sampled.shape == (min(count, 500), min(fields + 1, 48))


def test_a_sample_that_may_be_of_either_probability_is_left_out():
    told, columns, outputs = saturated(900, 47)
    for text in (as_of_old(told, columns, outputs), told.to_json()):
        read = Baseline.from_json(text)
        assert (len(read.sampled), read.stretches) == (0, ())
        assert list(read.watched_outputs) == ["probability[1]"]


def test_a_damaged_sample_of_both_probabilities_is_refused():
    told, columns, outputs = saturated(450)
    document = json.loads(as_of_old(told, columns, outputs))
    for rows in (np.full((450, 5), 255), np.zeros((449, 5)), np.zeros((451, 5))):
        document["sample"] = written(rows.astype(np.uint8))
        with pytest.raises(Corrupt, match="places must be"):
            Baseline.from_json(json.dumps(document))


def test_a_baseline_of_ten_rows_keeps_ten():
    few = {name: column[:10] for name, column in TRAINING.items()}
    assert Baseline.from_json(baseline_of(few).to_json()).sampled.shape == (10, 3)


@pytest.mark.parametrize(
    "sample",
    [
        {"kind": "places@1"},
        {"kind": "places@1", "places": ""},
        {"kind": "places@1", "places": "AAA"},  # no base64
        {"kind": "places@1", "places": "AAAA\n"},
        {"kind": "places@1", "places": "AAAAAA=="},  # four bytes: no whole rows
        {"kind": "places@1", "places": "////"},  # no such bins
        {"kind": "places@1", "places": "A" * 4 * 501},  # 501 rows
        {"kind": "places@1", "places": "A" * 10**7},
        {"kind": "places@1", "places": "\u00e4\u00e4\u00e4\u00e4"},
        {"kind": "places@1", "places": 5},
        {"kind": "places@1", "places": "AAAA", "more": 1},
        [],
        "AAAA",
    ],
)
def test_training_rows_that_cannot_be_are_refused(sample):
    document = json.loads(BASELINE.to_json()) | {"sample": sample}
    with pytest.raises(Corrupt, match="baseline"):
        Baseline.from_json(json.dumps(document))


def test_training_rows_of_another_release_are_a_matter_of_releases():
    document = json.loads(BASELINE.to_json()) | {"sample": {"kind": "places@2", "places": "AAAA"}}
    with pytest.raises(Unsupported, match="places@2"):
        Baseline.from_json(json.dumps(document))


# --- in a process ------------------------------------------------------------------------------------------


def monitor_of(folder, clock, baseline=BASELINE):
    return Monitor(
        layout_of(baseline),
        model="late",
        version="1",
        digest="d" * 64,
        inputs=TRANSFORM.columns,
        outputs=lambda outputs: {},
        settings=Monitoring(folder=folder),
        training=baseline,
        clock=clock,
        wakes=Idle(),
    )


def serve_a_day(monitor, clock, draw, slope, an_hour=200):
    answered = {"value": np.zeros(1)}
    for _ in range(24):
        rows = columns(draw, an_hour, slope)
        for place in range(an_hour):
            monitor.saw({name: float(rows[name][place]) for name in FIELDS}, answered, "x")
        monitor.look()
        monitor.study()
        clock.now += HOUR


def joint_of(monitor, reference=Reference.TRAIN):
    return monitor.ask(lambda known: known.evaluation.joint.get(reference))


def test_the_alarm_of_single_columns_is_silent_where_all_together_are_watched(tmp_path):
    clock, draw = Clock(), np.random.default_rng(13)
    monitor, events = monitor_of(tmp_path, clock), []
    monitor.listen(events.append)
    assert joint_of(monitor) is None
    serve_a_day(monitor, clock, draw, -0.8)
    monitor.study()
    found = joint_of(monitor)
    assert (found.state, found.auc > 0.8) == (State.WATCH, True)
    assert events == []
    states = monitor.ask(
        lambda known: {each.state for each in known.evaluation.alarm.findings(Reference.TRAIN, known.now)}
    )
    assert State.DRIFT not in states
    monitor.close()
    again = monitor_of(tmp_path, clock)  # the next process shows what the one before has found, ...
    assert joint_of(again) == found
    again.study()
    clock.now += HOUR
    again.study()
    assert joint_of(again) is None  # ... until it has looked itself
    again.close()


def test_who_does_not_decide_does_not_look(tmp_path, monkeypatch):
    clock, draw = Clock(), np.random.default_rng(14)
    monitor = monitor_of(tmp_path, clock)
    monkeypatch.setattr(monitor._tallies, "elect", lambda: False)
    serve_a_day(monitor, clock, draw, -0.8)
    monitor.study()
    assert monitor._together._looked is None
    monitor.close()


def test_what_fails_is_logged_and_costs_nothing_else(tmp_path, monkeypatch, caplog):
    clock, draw = Clock(), np.random.default_rng(15)
    monitor = monitor_of(tmp_path, clock)

    def fail(*_arguments, **_named):
        raise MemoryError("no room")

    monkeypatch.setattr("inprocml.monitoring.watching.joint.domain_classifier", fail)
    serve_a_day(monitor, clock, draw, 0.8, an_hour=120)
    monitor.study()
    assert "all columns could not be looked at together" in caplog.text
    assert monitor.numbers()["rows"] == 24 * 120
    monitor.close()


# --- what is told -------------------------------------------------------------------------------------------

JOINTS = st.builds(
    Joint,
    auc=st.floats(0, 1),
    p_value=st.floats(0, 1),
    rows=st.integers(0, 800),
    compared=st.integers(0, 800),
    hours=st.integers(0, 24),
    at=st.floats(0, 1e10),
    columns=st.lists(st.tuples(st.text(max_size=100), st.floats(0, 1)), max_size=3).map(tuple),
    reach=st.none() | st.floats(0.5, 1),
)


@given(st.dictionaries(st.sampled_from(Reference), JOINTS))
def test_what_was_found_goes_over_to_other_processes(found):
    assert loaded(dumped(found)) == found


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.floats() | st.text(max_size=5),
        lambda part: (
            st.lists(part, max_size=8) | st.dictionaries(st.sampled_from(["train", "live", "x"]), part)
        ),
        max_leaves=12,
    ).map(lambda told: json.dumps(told).encode())
)
@settings(max_examples=300)
def test_what_is_damaged_is_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert isinstance(loaded(text), dict)


@pytest.mark.parametrize("place", [2, 3, 4])
def test_what_covers_fewer_than_no_rows_is_damaged(place):
    parts = [0.9, 0.0, 500, 500, 24, START, [], 1, 0, 0.6]
    assert loaded(json.dumps({"train": parts}).encode())[Reference.TRAIN].state is State.WATCH
    parts[place] = -100
    with pytest.raises(ValueError, match="damaged"):
        loaded(json.dumps({"train": parts}).encode())


def report_with(joint):
    return DriftReport("late", "3", Reference.TRAIN, State.OK, 1e9, None, 100, joint=joint)


@given(JOINTS)
def test_a_report_with_it_comes_back_from_json(joint):
    report = report_with(joint)
    assert DriftReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_a_report_of_an_earlier_release_has_none():
    document = report_with(None).to_dict()
    del document["joint"], document["health"]["sampled_out"]
    assert DriftReport.from_dict(document).joint is None


def test_it_is_said_in_text_and_on_pages():
    joint = Joint(0.931, 0.0004, 800, 750, 24, 1e9, (("<b>", 0.6), ("fare", 0.4)))
    for said in (" ".join(str(report_with(joint)).split()), report_with(joint).html()):
        assert "AUC 0.93, p 0.0004" in said
        assert "can be told from training rows" in said
    assert "<b>," not in report_with(joint).html()
    quiet = Joint(0.51, 0.4, 800, 750, 24, 1e9, ())
    assert "cannot be told from training rows" in str(report_with(quiet))
    early = Joint(0.9, 0.0004, 100, 750, 2, 1e9, ())
    assert "2 of the 24 hours" in str(report_with(early))
    assert "together" not in str(report_with(None))


def test_of_several_hosts_the_most_certain_is_told():
    sure, unsure = (Joint(auc, p, 800, 800, 24, 1e9, ()) for auc, p in ((0.9, 0.0004), (0.5, 0.6)))
    merged = report_with(unsure).merge(report_with(sure), report_with(None)).joint
    assert merged == replace(sure, hosts=2, watching=1)
    assert report_with(None).merge(report_with(None)).joint is None
