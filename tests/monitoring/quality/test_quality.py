"""Predictions in, labels in, a report out: the whole of it, in one process and in many."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocml.errors import Corrupt
from inprocml.monitoring.quality import (
    ClassTally,
    Counters,
    Feedback,
    NumberTally,
    Quality,
    Settings,
    reference,
)
from inprocml.monitoring.quality.counters import KEPT
from inprocml.monitoring.verdict import State

HOUR, DAY = 3600.0, 86400.0
TWO = {"kind": "classes", "classes": ("ok", "late")}
START = 20_000 * DAY


def two(**more):
    return Quality(Settings(**TWO, **more.pop("settings", {})), **more)


def played(quality, days, *, rows=200, share=lambda scores: scores, label_share=0.9, seed=0, first=0):
    """``days`` days of predictions, each label a day later."""
    random = np.random.default_rng(seed)
    for day in range(first, first + days):
        at = START + day * DAY
        scores = random.random(rows)
        ids = [f"a1b2c3d4e5f6-{seed:x}{day:x}{place:05x}" for place in range(rows)]
        quality.predicted(ids, scores, at)
        truth = random.random(rows) < share(scores)
        came = random.random(rows) < label_share
        for name, late, here in zip(ids, truth.tolist(), came.tolist(), strict=True):
            if here:
                assert quality.feedback(name, "late" if late else "ok", at + DAY) is Feedback.MATCHED
    return START + (first + days) * DAY


def test_each_label_has_an_outcome_and_each_outcome_is_counted():
    quality = two()
    quality.predicted(["a", "b", "c"], [[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]], START)
    said = [
        quality.feedback("a", "late", START + 50),
        quality.feedback("a", "late", START + 60),  # twice
        quality.feedback("a", "ok", START + 60),  # and with another truth: the first counts
        quality.feedback("z", "ok", START + 60),  # unknown
        quality.feedback("b", "unheard", START + 60),
        quality.feedback("b", 1, START + 60),
        quality.feedback("b", None, START + 60),
        quality.feedback("b", ["ok"], START + 60),
        quality.feedback("", "ok", START + 60),
        quality.feedback("b" * 65, "ok", START + 60),
        quality.feedback("é", "ok", START + 60),
        quality.feedback("b\x00", "ok", START + 60),
        quality.feedback(7, "ok", START + 60),
        quality.feedback("b", np.str_("ok"), START + 5000),
        quality.feedback("c", "ok", START + 8 * DAY),  # too late
    ]
    words = ["matched", "duplicate", "duplicate", "unmatched", *["invalid"] * 9, "matched", "unmatched"]
    assert said == words
    counters = quality.counters()
    assert counters.outcomes == {"matched": 2, "unmatched": 2, "duplicate": 2, "invalid": 9, "failed": 0}
    assert counters.lost == {
        "evicted": 0, "expired": 1, "unusable": 0, "store_failures": 0, "failures": 0,
    }  # fmt: skip
    assert counters.delays.tolist() == [1, 0, 0, 1, *[0] * 7]  # within a minute, within 6 hours
    assert counters.delay_seconds == 5050
    total = counters.total()
    assert total.confusion.tolist() == [[1, 0], [0, 1]]
    assert (total.seen, total.labelled) == (3, 2)


@pytest.mark.parametrize("classes", [(0, 1), (False, True), ("0", "1"), (0.0, 1.0)])
def test_a_label_is_of_the_type_of_its_class(classes):
    quality = Quality(Settings(kind="classes", classes=classes))
    labels = [0, False, "0", 0.0]
    quality.predicted(["a", "b", "c", "d"], [0.5] * 4, START)
    matched = [quality.feedback(name, label, START).value for name, label in zip("abcd", labels, strict=True)]
    assert matched == ["matched" if type(label) is type(classes[0]) else "invalid" for label in labels]


def test_numbers_are_labels_of_a_regression_if_they_are_finite():
    quality = Quality(Settings(kind="regression"))
    quality.predicted(list("abcdef"), [1.0, 2.0, 3.0, np.nan, np.inf, 1e39], START)
    assert quality.counters().lost["unusable"] == 3
    for label in (float("nan"), float("inf"), 1e31, 10**400, True, "1", None, 1j, np.float64("nan")):
        assert quality.feedback("a", label, START) is Feedback.INVALID
    assert quality.feedback("a", 3, START) is Feedback.MATCHED
    assert quality.feedback("b", np.float32(2.5), START) is Feedback.MATCHED
    assert quality.feedback("d", 1.0, START) is Feedback.UNMATCHED
    assert quality.counters().total().counts.tolist()[:3] == [2, 2.5, 4.25]


def test_what_is_handed_in_wrong_is_counted_and_logged_once(caplog):
    quality = two()
    with caplog.at_level(logging.WARNING):
        quality.predicted(["a", "b"], [0.5], START)
        quality.predicted(["a"], [[0.1, 0.2, 0.7]], START)
        quality.predicted(["a"], "nonsense", START)
        quality.predicted(["a"], [0.5], START, slices={"x": 3})
        quality.predicted(None, [0.5], START)
        quality.predicted(["a"], [0.5], float("nan"))
    assert quality.counters().lost["failures"] == 5
    assert len(caplog.records) == 1
    quality.predicted(["a", "b", "c"], [0.5, np.nan, 0.25], START, chosen=[1, 1, 2])
    assert quality.counters().lost["unusable"] == 2
    assert quality.pending == 2  # "a" with a slice that was not declared, and now "a" again
    quality.predicted([], [], START)


def test_a_clock_before_1970_or_after_2106_is_no_error():
    quality = two()
    quality.predicted(["a"], [0.5], -5.0)
    quality.predicted(["b"], [0.5], 1e12)
    assert quality.counters().lost["failures"] == 0
    quality.feedback("b", "ok", 1e12)
    assert quality.report(0.0).state


@pytest.mark.parametrize("kind", ["classes", "regression"])
def test_nothing_yet_is_insufficient(kind):
    quality = two() if kind == "classes" else Quality(Settings(kind="regression"))
    report = quality.report(START)
    assert report.state is State.INSUFFICIENT
    assert {each.value for each in report.metrics.values()} == {None}
    assert "no prediction" in str(report)


def test_no_verdict_before_labels_had_their_time():
    quality = two()
    now = played(quality, 3, share=lambda scores: 1 - scores)  # as wrong as can be
    report = quality.report(now)
    assert report.state is State.WARMING
    assert report["accuracy"].value is None
    assert report.upcoming["accuracy"] == pytest.approx(0.75, abs=0.03)
    assert "usual=" in report.why


def test_figures_and_what_was_expected_stand_side_by_side():
    quality = two()
    report = quality.report(played(quality, 12))
    assert report.state is State.OK, report.why
    assert report.coverage == pytest.approx(0.9, abs=0.04)
    assert report.rows == sum(each.labelled for each in report.cohorts[-7:])
    for name in ("accuracy", "f1", "auc", "brier", "precision", "recall"):
        each = report[name]
        assert each.low < each.value < each.high
        assert each.low < each.expected < each.high
    assert "accuracy" in str(report)


def test_a_world_that_changed_is_seen_in_the_labels_and_not_in_the_expectation():
    quality = two()
    played(quality, 12)
    now = played(quality, 1, first=12, share=lambda scores: 0.6 * scores)
    report = quality.report(now)
    assert report.state is State.WATCH
    now = played(quality, 1, first=13, share=lambda scores: 0.6 * scores)
    report = quality.report(now)
    assert report.state is State.DRIFT, report.why
    assert "scores" in report.why or "loss" in report.why
    last = [each for each in report.cohorts if each.mature][-1]
    assert last.number == 20_013
    assert report.residual.value > report.residual.threshold
    assert report["accuracy"].expected == pytest.approx(0.75, abs=0.02)


def test_better_than_promised_is_ok():
    quality = two()
    played(quality, 10)
    now = played(quality, 4, first=10, share=lambda scores: scores > 0.5)
    assert quality.report(now).state is State.OK


def test_a_cohort_with_few_of_its_labels_is_not_judged():
    quality = two()
    played(quality, 12)
    now = played(quality, 3, first=12, share=lambda scores: 1 - scores, label_share=0.5)
    report = quality.report(now)
    assert [each.mature for each in report.cohorts][-3:] == [False] * 3
    assert report.state is State.OK


def test_labels_that_never_come_are_stale():
    quality = two()
    for day in range(12):
        quality.predicted([f"i{day}"], [0.5], START + day * DAY)
    assert quality.report(START + 12 * DAY).state is State.STALE


def test_labels_that_stop_are_stale():
    quality = two()
    now = played(quality, 10)
    assert quality.report(now).state is State.OK
    assert quality.report(now + 10 * DAY).state is State.STALE


def test_the_reference_says_what_scores_are_worth():
    scores = np.random.default_rng(4).random(20_000)
    truth = np.random.default_rng(5).random(20_000) < scores**2
    known = reference(("ok", "late"), scores, np.where(truth, "late", "ok"))
    square = {"share": lambda scores: scores**2}
    without, having = two(), two(settings={"reference": known})
    for quality in (without, having):
        now = played(quality, 12, **square)
    assert without.report(now).state is State.DRIFT
    assert having.report(now).state is State.OK, having.report(now).why
    assert having.report(now)["accuracy"].expected == pytest.approx(
        having.report(now)["accuracy"].value, abs=0.03
    )


def test_a_regression_is_compared_with_its_reference():
    errors = np.random.default_rng(6).normal(0, 2, 2000)
    known = reference((), 10.0 + errors, np.full(2000, 10.0))

    def play(known, sigma):
        quality, random = Quality(Settings(kind="regression", reference=known)), np.random.default_rng(7)
        for day in range(12):
            ids = [f"{day}-{place}" for place in range(100)]
            quality.predicted(ids, np.full(100, 10.0), START + day * DAY)
            for name, error in zip(ids, random.normal(0, sigma, 100).tolist(), strict=True):
                quality.feedback(name, 10.0 + error, START + (day + 1) * DAY)
        return quality.report(START + 12 * DAY)

    assert play(known, 2.0).state is State.OK
    assert play(known, 4.0).state is State.DRIFT
    assert play(known, 1.0).state is State.OK
    alone = play(None, 2.0)
    assert alone.state is State.INSUFFICIENT
    assert alone["mae"].value == pytest.approx(2 * np.sqrt(2 / np.pi), abs=0.15)
    assert alone["rmse"].low < 2.0 < alone["rmse"].high


def test_slices_have_figures_of_their_own():
    quality = two(settings={"slices": {"carrier": ("AA", "UA"), "night": (False, True)}})
    ids = [f"i{place}" for place in range(400)]
    carriers = ["AA", "UA", "B6", 7] * 100
    quality.predicted(
        ids, [0.9] * 400, START, slices={"carrier": carriers, "night": [True] * 400, "other": ids}
    )
    for name, carrier in zip(ids, carriers, strict=True):
        quality.feedback(name, "late" if carrier == "AA" else "ok", START + 60)
    slices = quality.report(START + DAY).slices
    assert slices["carrier"]["AA"]["accuracy"].value == 1.0
    assert slices["carrier"]["UA"]["accuracy"].value == 0.0
    assert slices["carrier"]["UA"]["accuracy"].rows == 100
    assert slices["night"][True]["accuracy"].value == 0.25
    assert slices["night"][False]["accuracy"].value is None


events = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 60),
        st.floats(0, 1),
        st.booleans(),
        st.booleans(),
        st.integers(0, 2),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(events)
def test_workers_together_count_as_one_process_bit_for_bit(rows):
    setup = Settings(**TWO, slices={"s": (0, 1)}, labels_within=HOUR * 64, cohort=HOUR)
    alone, workers = Quality(setup), [Quality(setup) for _ in range(4)]
    for number, (worker, hour, score, truth, labelled, piece) in enumerate(rows):
        for quality in (alone, workers[worker]):
            name, at = f"i{number}", START + hour * HOUR
            quality.predicted([name], [score], at, slices={"s": [piece]})
            if labelled:
                quality.feedback(name, "late" if truth else "ok", at + 60)
    counters = [each.counters() for each in workers]
    total = counters[3] + counters[1] + counters[0] + counters[2]
    now = START + 400 * HOUR
    assert total.to_json() == alone.counters().to_json()
    assert str(workers[0].report(now, *counters[1:])) == str(alone.report(now))
    parts = [each.report(now) for each in workers]
    assert parts[0].merge(*parts[1:]).metrics == alone.report(now).metrics
    workers[0].merge(*counters[1:])
    assert workers[0].counters().to_json() == total.to_json()


def test_counts_of_other_models_do_not_add_up():
    with pytest.raises(ValueError, match="different models"):
        Counters(2) + Counters(3)
    with pytest.raises(ValueError, match="different models"):
        Counters(0) + Counters(2)
    with pytest.raises(ValueError, match="different models"):
        Counters(2) + Counters(2, (("s", 2),))


def test_cohorts_are_bounded_and_nothing_that_was_counted_is_lost():
    counters = Counters(2)
    for hour in range(1000):
        counters.cohort(hour).label(0.5, 1, 1)
    counters.cohort(3).label(0.5, 1, 0)  # of long ago
    assert len(counters.cohorts) == KEPT
    assert counters.total().labelled == 1001
    assert len(counters.to_json()) < 400_000
    others = Counters(2)
    for hour in range(500, 1500):
        others.cohort(hour).label(0.5, 1, 1)
    both = counters + others
    assert sorted(both.cohorts) == list(range(1500 - KEPT, 1500))
    assert both.total().labelled == 2001


def test_state_survives_a_restart():
    quality = two(settings={"slices": {"s": ("x",)}})
    now = played(quality, 9)
    quality.predicted(["open"], [0.75], now, slices={"s": ["x"]})
    content = quality.dump()
    other = two(settings={"slices": {"s": ("x",)}})
    other.load(content)
    assert other.dump() == content
    assert other.report(now).metrics == quality.report(now).metrics
    assert other.feedback("open", "late", now + 1) is Feedback.MATCHED
    assert other.feedback("open", "late", now + 1) is Feedback.DUPLICATE
    assert other.counters().slices[0][0].labelled == 1
    with pytest.raises(ValueError, match="slices"):
        two().load(content)
    with pytest.raises(ValueError, match="kind numbers"):
        Quality(Settings(kind="regression")).load(content)


def mutations(document):
    """Every member of a document left out, and replaced by something of another type or size."""
    for name in document:
        yield {key: value for key, value in document.items() if key != name}
        for other in (None, -1, "x", [], {}, 2**70, [[]], [None]):
            yield document | {name: other}


def test_a_damaged_state_is_a_value_error_and_changes_nothing():
    quality = two()
    quality.predicted(["a"], [0.5], START)
    quality.feedback("a", "ok", START)
    before = quality.dump()
    head, _, kept = before.partition(b"\n")
    document = json.loads(head)
    counters = document["counters"]
    tally = counters["earlier"]
    wrong = [before[:-1], b"", b"[]", b"\xff", kept, head[:-1] + b"\n" + kept]
    wrong += [json.dumps(each).encode() + b"\n" + kept for each in mutations(document)]
    for each in mutations(counters):
        wrong.append(json.dumps(document | {"counters": each}).encode() + b"\n" + kept)
    for each in mutations(tally):
        deep = document | {"counters": counters | {"earlier": each}}
        wrong.append(json.dumps(deep).encode() + b"\n" + kept)
    refused = 0
    for content in wrong:
        try:
            quality.load(content)
        except ValueError:
            refused += 1
            assert quality.dump() == before
        else:  # an empty list of cohorts is a sound one
            quality.load(before)
    assert refused >= len(wrong) - 5
    with pytest.raises(Corrupt):
        Counters.from_json(b"{", classes=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "ranking"},
        {"kind": "regression", "classes": ("a", "b")},
        {"kind": "classes", "classes": ("a",)},
        {"kind": "classes", "classes": ("a", "a")},
        {"kind": "classes", "classes": ("a", None)},
        {"slices": {"s": ()}},
        {"slices": {"s": tuple(range(17))}},
        {"slices": {str(each): (1,) for each in range(5)}},
        {"slices": {"s": (1, 1)}},
        {"labels_within": 90 * DAY},
        {"labels_within": 0.0},
        {"labels_within": DAY, "cohort": 60.0},
        {"usual": 0.0},
        {"usual": 1.5},
        {"recent": 0},
        {"budget": 0.0},
        {"floor": -1.0},
        {"dependence": 0.5},
        {"reference": NumberTally()},
        {"reference": ClassTally(3)},
    ],
)
def test_settings_that_do_not_fit_are_refused_at_once(wrong):
    with pytest.raises(ValueError, match="[a-z]"):
        Settings(**(TWO | wrong))


class Broken:
    """A store of which nothing works."""

    def remember(self, predictions):
        raise sqlite3.OperationalError("database is locked")

    def join(self, name, at):
        raise RuntimeError("no")

    def sweep(self, before):
        raise RuntimeError("no")


def test_a_store_that_fails_costs_no_prediction_and_raises_nothing(caplog):
    quality = two(store=Broken())
    with caplog.at_level(logging.WARNING):
        quality.predicted(["a"], [0.9], START)
        quality.predicted(["b"], [0.9], START)
        assert quality.feedback("a", "late", START) is Feedback.MATCHED  # from memory
        assert quality.feedback("elsewhere", "late", START) is Feedback.FAILED
        assert quality.feedback("elsewhere", "late", START) is Feedback.FAILED
    assert quality.counters().lost["store_failures"] == 4
    assert quality.counters().outcomes["failed"] == 2
    assert len(caplog.records) == 2  # one for each kind of failure


def test_an_effect_too_small_to_matter_is_no_alert():
    for floor, state in ((0.01, State.DRIFT), (0.9, State.OK)):
        quality = two(settings={"floor": floor})
        played(quality, 12)
        now = played(quality, 3, first=12, share=lambda scores: 0.6 * scores)
        assert quality.report(now).state is state
        assert quality.report(now).residual.exceeded


class Sweeping(Broken):
    """A store that has something to forget for two calls."""

    def __init__(self):
        self.swept = []

    def remember(self, predictions):
        pass

    def sweep(self, before):
        self.swept.append(before)
        return 10_000 if len(self.swept) <= 2 else 0


def test_a_store_is_swept_until_nothing_is_left_and_then_once_an_hour():
    store = Sweeping()
    quality = two(store=store)
    times = [START, START + 1, START + 2, START + 3, START + HOUR, START + HOUR + 2, START + 10]
    for number, at in enumerate(times):
        quality.predicted([f"i{number}"], [0.5], at)
    # at START + 10 the clock has stepped back
    wanted = [START, START + 1, START + 2, START + HOUR + 2, START + 10]
    assert store.swept == [at - 7 * DAY for at in wanted]
    assert quality.pending == 0


class Lying(Broken):
    """A store that others wrote to."""

    def __init__(self, found):
        self.found = found

    def join(self, name, at):
        return self.found


@pytest.mark.parametrize(
    ("score", "choice", "slices", "at"),
    [
        (float("nan"), 1, 0, START),
        (7.0, 1, 0, START),
        (0.5, 9, 0, START),
        (0.5, -1, 0, START),
        (0.5, 1, 0, 0.0),
        (0.5, 1, 0, START + 2 * DAY),
        (0.5, 1, 0, 1e15),
        (0.5, 1, 0, 1e25),
        (0.5, 1, 0, float("inf")),
        (0.5, 1, 0, float("nan")),
    ],
)
def test_what_a_store_gives_must_be_what_this_model_could_say(score, choice, slices, at):
    from inprocml.values import Remembered

    quality = two(store=Lying(Remembered("a", at, score, choice, slices)))
    assert quality.feedback("a", "ok", START) is Feedback.UNMATCHED
    assert quality.counters().total().labelled == 0


def test_clocks_of_hosts_may_differ_by_minutes():
    from inprocml.values import Remembered

    quality = two(store=Lying(Remembered("a", START + 300, 0.5, 1, 0)))
    assert quality.feedback("a", "ok", START) is Feedback.MATCHED
    quality.report(START).text()


@pytest.mark.parametrize(
    "label",
    [np.array([0, 1]), np.array(["ok"]), np.array([]), [1], {"a": 1}, object(), np.datetime64(1, "ns")],
)
def test_what_is_no_scalar_is_no_label(label):
    for kind in (Settings(**TWO), Settings(kind="regression")):
        quality = Quality(kind)
        quality.predicted(["a"], [0.5], START)
        assert quality.feedback("a", label, START) is Feedback.INVALID
        assert not any(quality.counters().lost.values())


def test_threads_lose_no_count():
    quality = two(capacity=100_000)

    def work(number):
        for turn in range(100):
            ids = [f"{number}-{turn}-{place}" for place in range(5)]
            quality.predicted(ids, [0.5] * 5, START)
            for name in ids:
                quality.feedback(name, "ok", START)
            quality.counters()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters = quality.counters()
    assert counters.outcomes["matched"] == counters.total().labelled == counters.total().seen == 2000
    assert not any(counters.lost.values())
