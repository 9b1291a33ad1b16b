"""What scores lead to expect, against the row-wise definition; isotonic regression against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from inprocml.monitoring.quality import ClassTally
from inprocml.monitoring.quality.calibration import calibrate, pool
from inprocml.monitoring.quality.expected import expected_metrics


def nannyml(calibrated, said):
    """CBPE as NannyML 0.13 computes it, row by row: expected confusion, and AUC by cumulative sums."""
    tp, fp = calibrated[said].sum(), (1 - calibrated[said]).sum()
    fn, tn = calibrated[~said].sum(), (1 - calibrated[~said]).sum()
    thresholds = np.sort(calibrated)
    positives = np.append(np.cumsum(thresholds[::-1])[::-1], 0)
    negatives = np.append(np.cumsum((1 - thresholds)[::-1])[::-1], 0)
    tpr, fpr = positives / positives[0], negatives / negatives[0]
    return {
        "accuracy": (tp + tn) / len(said),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "auc": np.trapezoid(tpr[::-1], fpr[::-1]),
    }


def saw(scores, said):
    tally = ClassTally(2)
    tally.saw(scores, said.astype(int))
    return tally


@pytest.mark.parametrize("threshold", [0.5, 0.37])
def test_without_a_calibration_it_is_the_row_wise_figure(threshold):
    scores = np.random.default_rng(2).beta(0.7, 1.5, 50_000)
    said = scores > threshold
    found, wanted = expected_metrics(saw(scores, said), None), nannyml(scores, said)
    for name in ("accuracy", "precision", "recall", "f1"):
        assert found[name] == pytest.approx(wanted[name], abs=1e-9)  # scores are summed in units of 2^-30
    assert found["auc"] == pytest.approx(wanted["auc"], abs=1e-4)
    assert found["brier"] == pytest.approx((scores * (1 - scores)).mean(), abs=2e-5)


def test_with_a_calibration_it_is_the_row_wise_figure_on_isotonic_scores():
    random = np.random.default_rng(3)
    before, now = random.integers(0, 100, 30_000), random.integers(20, 100, 10_000)
    truth = random.random(30_000) < (before / 100) ** 2  # scores promise too much
    reference = ClassTally(2)
    reference.rows[:] = np.bincount(before, minlength=100)
    reference.positives[:] = np.bincount(before, truth, 100)
    reference.sums[:] = reference.rows * np.rint((np.arange(100) + 0.5) / 100 * 2**30).astype(int)
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(before, truth)
    scores, said = (now + 0.5) / 100, now >= 50
    found = expected_metrics(saw(scores, said), calibrate(reference))
    wanted = nannyml(isotonic.predict(now), said)
    for name in ("accuracy", "precision", "recall", "f1"):
        assert found[name] == pytest.approx(wanted[name], abs=1e-12)
    assert found["auc"] == pytest.approx(wanted["auc"], abs=2e-3)  # within a tie scikit-learn's order counts
    assert found["accuracy"] < expected_metrics(saw(scores, said), None)["accuracy"]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40))
def test_pooling_is_isotonic_regression(pairs):
    rows = np.array([a + b + 1 for a, b in pairs])
    values = np.array([b for _, b in pairs]) / rows
    blocks = pool(values, rows.astype(float))
    means = np.bincount(blocks, values * rows) / np.bincount(blocks, rows)
    wanted = IsotonicRegression().fit_transform(np.arange(len(rows)), values, sample_weight=rows)
    assert means[blocks] == pytest.approx(wanted, abs=1e-9)


@given(st.dictionaries(st.integers(0, 99), st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=20))
def test_a_calibration_never_falls_and_stays_a_share(counted):
    reference = ClassTally(2)
    for place, (negatives, positives) in counted.items():
        reference.rows[place], reference.positives[place] = negatives + positives, positives
        reference.sums[place] = (negatives + positives) * int((place + 0.3) / 100 * 2**30)
    calibration = calibrate(reference)
    if not reference.labelled:
        assert calibration is None
        return
    assert (np.diff(calibration.shares) >= -1e-12).all()
    assert ((calibration.shares >= 0) & (calibration.shares <= 1)).all()
    assert calibration.block_rows.sum() == reference.labelled
    assert calibration.block_positives.sum() == reference.positives.sum()


def test_of_more_classes_accuracy_is_expected_of_the_score_of_the_answer():
    tally = ClassTally(5)
    tally.saw(np.array([0.25, 0.75, 0.5]), np.array([0, 4, 2]))
    assert expected_metrics(tally, None) == {"accuracy": pytest.approx(0.5)}


def test_nothing_seen_leads_to_nothing():
    assert expected_metrics(ClassTally(2), None) == {}
    alone = ClassTally(2)
    alone.saw(np.array([0.0]), np.array([0]))
    assert expected_metrics(alone, None)["accuracy"] == 1.0
    assert "auc" not in expected_metrics(alone, None)
