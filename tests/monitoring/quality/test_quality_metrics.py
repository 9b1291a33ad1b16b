"""Figures from counts: held against scikit-learn, and intervals against seeded simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from inprocml.monitoring.quality import ClassTally, NumberTally, Quality, Settings, reference
from inprocml.monitoring.quality.class_metrics import class_metrics
from inprocml.monitoring.quality.interval import mean, share
from inprocml.monitoring.quality.number_metrics import number_metrics


def counted(scores, truth):
    return reference((0, 1), scores, truth)


def drawn(rows, seed, shape=(0.8, 1.6)):
    random = np.random.default_rng(seed)
    scores = np.clip(random.beta(*shape, rows), 1e-6, 1 - 1e-6)
    return scores, (random.random(rows) < scores).astype(int)


@given(
    st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(0, 2), st.integers(0, 2)), max_size=30),
    st.sampled_from([2, 3, 40]),
)
def test_rows_counted_together_are_those_counted_one_by_one(rows, classes):
    slow, fast = ClassTally(classes), ClassTally(classes)
    rows = [(score, said % classes, truth % classes) for score, said, truth in rows]
    for score, said, truth in rows:
        slow.label(score, said, truth)
    scores, said, truth = np.array(rows, float).reshape(-1, 3).T
    fast.label_rows(scores, said.astype(int), truth)
    assert np.array_equal(slow.counts[:-4], fast.counts[:-4])
    # two libraries may round a logarithm apart
    assert np.abs(slow.losses - fast.losses).max() <= 2 * len(rows)


def test_a_reference_is_counted_as_labels_are_while_serving():
    random = np.random.default_rng(3)
    outputs = random.dirichlet([1, 2, 3], 300)
    labels = [str(each) for each in random.integers(0, 3, 300)]
    outputs[7, 1] = np.nan
    quality = Quality(Settings(kind="classes", classes=("0", "1", "2")))
    quality.predicted([f"i{row}" for row in range(300)], outputs, 1e9)
    for row, label in enumerate(labels):
        quality.feedback(f"i{row}", label, 1e9)
    found = reference(("0", "1", "2"), outputs, labels)
    assert found.labelled == 299
    assert np.array_equal(found.counts, quality.counters().total().counts)
    numbers = reference((), [1.0, 2.0, np.inf], [1.5, 0.0, 3.0])
    assert numbers.counts.tolist() == [2, 2.5, 4.25, 16.0625, 1.5, 1.5, 2.25, 2]


@pytest.mark.parametrize(
    ("classes", "outputs", "labels"),
    [
        ((0, 1), [0.5], [True]),
        ((0, 1), [0.5], ["0"]),
        ((0, 1), [0.5, 0.5], [0]),
        ((0, 1), [[0.1, 0.2, 0.7]], [0]),
        ((), [[1.0]], [1.0]),
        ((), [1.0], [np.nan]),
        ((), [1.0], [np.inf]),
    ],
)
def test_a_reference_that_cannot_be_is_refused(classes, outputs, labels):
    with pytest.raises(ValueError, match=r"label|shape|length"):
        reference(classes, outputs, labels)


@pytest.mark.parametrize("seed", range(3))
def test_figures_of_two_classes_are_those_of_scikit_learn(seed):
    scores, truth = drawn(20_000, seed)
    said = scores > 0.5
    found = {name: each[0] for name, each in class_metrics(counted(scores, truth)).items()}
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said), abs=1e-12)
    assert found["precision"] == pytest.approx(metrics.precision_score(truth, said), abs=1e-12)
    assert found["recall"] == pytest.approx(metrics.recall_score(truth, said), abs=1e-12)
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, said), abs=1e-12)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(truth, scores), abs=1e-7)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, scores), abs=1e-6)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-4)
    bins = np.minimum((scores * 10).astype(int), 9)
    gap = np.abs(np.bincount(bins, truth, 10) - np.bincount(bins, scores, 10)).sum() / len(scores)
    assert found["ece"] == pytest.approx(gap, abs=1e-8)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_figures_of_more_classes_are_those_of_scikit_learn(pairs):
    tally = ClassTally(4)
    for truth, said in pairs:
        tally.label(0.5, said, truth)
    truth, said = zip(*pairs, strict=True)
    found = class_metrics(tally)
    wanted = metrics.precision_recall_fscore_support(truth, said, average="macro", zero_division=0)
    assert found["accuracy"][0] == pytest.approx(metrics.accuracy_score(truth, said))
    for name, value in zip(("precision", "recall", "f1"), wanted[:3], strict=True):
        got, low, high = found[name]
        assert got == pytest.approx(value, abs=1e-12)
        assert 0 <= low <= got + 1e-12
        assert got - 1e-12 <= high <= 1
    assert "auc" not in found


def test_over_32_classes_accuracy_and_calibration_remain():
    tally = ClassTally(1000)
    tally.label(0.9, 3, 3)
    tally.label(0.9, 3, 999)
    assert set(class_metrics(tally)) == {"accuracy", "ece"}
    assert class_metrics(tally)["accuracy"][0] == 0.5
    assert tally.counts.nbytes < 8000


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=50))
def test_figures_of_a_regression_are_those_of_scikit_learn(pairs):
    tally = NumberTally()
    for said, truth in pairs:
        tally.label(said, truth)
    said, truth = zip(*pairs, strict=True)
    found = number_metrics(tally)
    assert found["mae"][0] == pytest.approx(metrics.mean_absolute_error(truth, said), rel=1e-9, abs=1e-9)
    assert found["rmse"][0] == pytest.approx(metrics.root_mean_squared_error(truth, said), rel=1e-9, abs=1e-9)
    for value, low, high in found.values():
        assert low <= value <= high


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), max_size=30),
    st.sampled_from([2, 3, 40]),
)
def test_whatever_was_counted_each_figure_lies_in_its_interval_or_is_unknown(rows, classes):
    tally = ClassTally(classes)
    for score, said, truth in rows:
        tally.label(score, int(said), int(truth))
    for name, interval in class_metrics(tally).items():
        if interval is not None:
            value, low, high = interval
            assert low - 1e-12 <= value <= high + 1e-12, name
            assert np.isfinite(interval).all(), name
            assert low >= 0, name
            assert name == "log_loss" or high <= 1 + 1e-12, name


@given(st.integers(1, 10**6), st.data())
def test_wilsons_interval_holds_the_share_and_stays_within_0_and_1(rows, data):
    hits = data.draw(st.integers(0, rows))
    value, low, high = share(hits, rows)
    assert 0 <= low <= value <= high <= 1
    assert low < high


def test_nothing_labelled_is_unknown_and_not_an_error():
    assert set(class_metrics(ClassTally(2)).values()) == {None}
    assert set(class_metrics(ClassTally(5)).values()) == {None}
    assert set(number_metrics(NumberTally()).values()) == {None}
    assert share(0, 0) is None
    assert mean(3.0, 9.0, 1) is None


def test_one_class_alone_has_no_auc():
    scores = np.linspace(0.1, 0.9, 50)
    assert class_metrics(counted(scores, np.zeros(50, int)))["auc"] is None
    perfect = class_metrics(counted(scores, (scores > 0.5).astype(int)))["auc"]
    assert perfect[0] == 1.0
    assert perfect[1] < 0.95  # 25 of each kind do not prove perfection


@pytest.mark.parametrize("rows", [200, 2000])
def test_95_percent_of_the_intervals_hold_the_truth(rows):
    many = drawn(2_000_000, 99)
    truth = {name: each[0] for name, each in class_metrics(counted(*many)).items()}
    held = dict.fromkeys(truth, 0)
    turns = 400
    for turn in range(turns):
        for name, (_, low, high) in class_metrics(counted(*drawn(rows, turn))).items():
            held[name] += low <= truth[name] <= high
    assert truth["ece"] < 0.002  # the scores are calibrated
    # 400 turns at 95 % give 92.2 to 97.5 % in 99 of 100 cases
    for name, count in held.items():
        assert count >= 0.922 * turns, (name, count / turns)
        assert name == "ece" or count <= 0.99 * turns, (name, count / turns)


def test_95_percent_of_the_intervals_of_averages_hold_the_truth():
    share = np.array([[0.30, 0.05, 0.05], [0.04, 0.20, 0.06], [0.02, 0.08, 0.20]])
    each = np.diag(share)
    truth = {
        "precision": (each / share.sum(0)).mean(),
        "recall": (each / share.sum(1)).mean(),
        "f1": (2 * each / (share.sum(0) + share.sum(1))).mean(),
        "accuracy": each.sum(),
    }
    random, held, turns = np.random.default_rng(5), dict.fromkeys(truth, 0), 600
    for _ in range(turns):
        tally = ClassTally(3)
        tally.confusion[:] = random.multinomial(400, share.ravel()).reshape(3, 3)
        tally.rows[50], tally.positives[50] = 400, np.trace(tally.confusion)
        for name, (_, low, high) in class_metrics(tally).items():
            if name in truth:
                held[name] += low <= truth[name] <= high
    for name, count in held.items():
        assert 0.925 * turns <= count <= 0.985 * turns, (name, count / turns)


def test_95_percent_of_the_intervals_of_a_regression_hold_the_truth():
    random, turns, held = np.random.default_rng(8), 600, {"mae": 0, "rmse": 0, "bias": 0}
    truth = {"mae": 2 * np.sqrt(2 / np.pi), "rmse": 2.0, "bias": 0.0}
    for _ in range(turns):
        error = random.normal(0, 2, 300)
        sums = [
            300,
            *(float((np.abs(error) ** power).sum()) for power in (1, 2, 4)),
            float(error.sum()),
            0,
            0,
            0,
        ]
        for name, (_, low, high) in number_metrics(NumberTally(np.array(sums))).items():
            held[name] += low <= truth[name] <= high
    for name, count in held.items():
        assert 0.925 * turns <= count <= 0.98 * turns, (name, count / turns)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans(), st.integers(0, 3)), max_size=40))
def test_counts_of_workers_add_up_to_those_of_one_bit_for_bit(rows):
    alone, workers = ClassTally(2), [ClassTally(2) for _ in range(4)]
    for score, said, truth, worker in rows:
        for tally in (alone, workers[worker]):
            tally.saw(np.array([score]), np.array([int(said)]))
            tally.label(score, int(said), int(truth))
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        total = ClassTally(2)
        for worker in order:
            total += workers[worker]
        assert np.array_equal(total.counts, alone.counts)
    assert alone.seen == alone.labelled == len(rows)
