"""Labels against what scores promised: silent within its budget, one-sided, loud when the world changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inprocml.monitoring.quality import ClassTally, NumberTally
from inprocml.monitoring.quality.calibration import calibrate
from inprocml.monitoring.quality.cohorts import judged
from inprocml.monitoring.quality.residual import (
    critical,
    windows,
    worst_class_residual,
    worst_number_residual,
)


def counted(scores, truth, classes=2):
    tally = ClassTally(classes)
    bins = np.minimum((scores * 100).astype(int), 99)
    tally.rows[:] = np.bincount(bins, minlength=100)
    tally.positives[:] = np.bincount(bins, truth, 100)
    tally.sums[:] = np.bincount(bins, np.rint(scores * 2**30), 100)
    return tally


def drawn(random, rows, share=lambda scores: scores, shape=(0.5, 4.0)):
    scores = random.beta(*shape, rows)
    return counted(scores, random.random(rows) < share(scores))


@given(st.floats(0.01, 5), st.floats(1, 1e5), st.integers(1, 100))
def test_the_threshold_is_the_normal_quantile_of_the_budget(budget, looks, tests):
    wanted = stats.norm.isf(min(0.5, budget / (looks * tests)))
    assert critical(budget, looks, tests) == pytest.approx(wanted, abs=1e-6)


def test_windows_are_sums_of_the_last_1_2_4_and_so_on():
    tallies = []
    for number in range(11):
        tally = NumberTally()
        tally.counts[0] = 2**number
        tallies.append(tally)
    found = [(count, total.counts[0]) for count, total in windows(tallies)]
    assert found == [(count, sum(2**n for n in range(11 - count, 11))) for count in (1, 2, 4, 8)]
    assert list(windows([])) == []


@pytest.mark.parametrize("reference_rows", [None, 3000, 100_000])
def test_no_more_false_alarms_than_the_budget_allows(reference_rows):
    random = np.random.default_rng(7)
    looks, budget, turns, episodes = 90, 0.5, 12, 0
    for _ in range(turns):
        calibration = None if reference_rows is None else calibrate(drawn(random, reference_rows))
        tallies, before = [], False
        for _ in range(looks):
            tallies.append(drawn(random, 400))
            now = worst_class_residual(tallies, calibration, critical(budget, looks, 35)).exceeded
            episodes += now and not before
            before = now
    assert episodes <= budget * turns


def test_the_positives_have_become_rarer_where_many_were_promised():
    random = np.random.default_rng(8)
    calm = [drawn(random, 500, shape=(1, 1)) for _ in range(20)]
    z = critical(0.5, 90, 35)
    assert not worst_class_residual(calm, None, z).exceeded
    changed = [drawn(random, 500, lambda s: 0.8 * s, shape=(1, 1)) for _ in range(2)]
    found = worst_class_residual(calm + changed, None, z)
    assert found.exceeded
    assert found.test == "scores 0.75 to 1"
    assert found.effect == pytest.approx(0.875 * 0.2, abs=0.05)
    assert found.cohorts in {1, 2}


def test_a_relation_that_was_lost_is_told_by_the_loss():
    random = np.random.default_rng(9)
    changed = [drawn(random, 300, lambda s: np.full(len(s), 0.5), shape=(1, 1))]
    found = worst_class_residual(changed, None, critical(0.5, 90, 35))
    assert found.exceeded
    assert found.test == "loss"


def test_better_than_promised_is_no_alarm():
    random = np.random.default_rng(10)
    better = [drawn(random, 2000, lambda s: (s > 0.5).astype(float), shape=(1, 1)) for _ in range(8)]
    found = worst_class_residual(better, None, critical(0.5, 90, 35))
    assert not found.exceeded
    right = [counted(np.full(2000, 0.7), np.ones(2000, int), classes=4)]
    assert not worst_class_residual(right, None, 4.0).exceeded


def test_other_scores_with_the_same_relation_are_no_alarm():
    random = np.random.default_rng(11)
    calibration = calibrate(drawn(random, 50_000, lambda s: s**2, shape=(1, 1)))
    moved = [drawn(random, 1000, lambda s: s**2, shape=(1, 6)) for _ in range(16)]
    assert not worst_class_residual(moved, calibration, critical(0.5, 90, 35)).exceeded


def test_more_classes_alarm_when_fewer_answers_are_right():
    random = np.random.default_rng(12)
    scores = random.uniform(0.3, 1, 3000)
    right = counted(scores, random.random(3000) < scores, classes=5)
    wrong = counted(scores, random.random(3000) < scores - 0.15, classes=5)
    assert not worst_class_residual([right], None, 4.5).exceeded
    assert worst_class_residual([wrong], None, 4.5).exceeded


def test_rows_that_depend_on_each_other_count_for_fewer():
    random = np.random.default_rng(13)
    changed = [drawn(random, 500, lambda s: 0.85 * s, shape=(1, 1))]
    alone = worst_class_residual(changed, None, 4.0)
    together = worst_class_residual(changed, None, 4.0, dependence=9.0)
    assert together.value <= alone.value / 2
    assert together.threshold >= alone.threshold


def test_too_few_labels_are_no_verdict():
    assert worst_class_residual([], None, 4.0) is None
    assert worst_class_residual([counted(np.full(49, 0.9), np.zeros(49, int))], None, 4.0) is None
    assert worst_class_residual([ClassTally(2)] * 5, None, 4.0) is None
    certain = counted(np.zeros(100), np.zeros(100, int))  # no variance at all
    assert worst_class_residual([certain], None, 4.0) is None


def errors(random, rows, sigma):
    error = random.normal(0, sigma, rows)
    sums = [
        rows,
        *(float((np.abs(error) ** power).sum()) for power in (1, 2, 4)),
        float(error.sum()),
        0,
        0,
        0,
    ]
    return NumberTally(np.array(sums, float))


def test_a_regression_alarms_when_errors_grow_and_only_then():
    random = np.random.default_rng(14)
    reference, z = errors(random, 5000, 2.0), critical(0.5, 90, 35)
    calm = [errors(random, 300, 2.0) for _ in range(30)]
    assert not worst_number_residual(calm, reference, z).exceeded
    assert not worst_number_residual([errors(random, 300, 1.0)], reference, z).exceeded
    found = worst_number_residual([*calm, errors(random, 300, 3.0)], reference, z)
    assert found.exceeded
    assert found.cohorts == 1
    assert worst_number_residual(calm, NumberTally(), z) is None
    assert worst_number_residual([errors(random, 40, 3.0)], reference, z) is None


HOUR = 3600.0


def test_a_cohort_is_judged_when_it_has_most_of_what_usually_comes():
    counted = {0: (100, 60), 1: (100, 58), 2: (100, 62), 10: (100, 48), 11: (100, 47), 12: (100, 90)}
    cohorts, usual = judged(counted, 12.5 * HOUR, length=HOUR, within=5 * HOUR)
    assert usual == 0.6
    # 10 has 80 % of 60 %; 11 has not yet; 12 has not ended
    assert [each.number for each in cohorts if each.mature] == [0, 1, 2, 10]
    assert cohorts[3].start == 10 * HOUR
    assert cohorts[3].until == 11 * HOUR


def test_nothing_is_usual_before_labels_had_all_their_time():
    cohorts, usual = judged({5: (10, 10)}, 7 * HOUR, length=HOUR, within=5 * HOUR)
    assert usual is None
    assert not cohorts[0].mature
    cohorts, usual = judged({5: (10, 10)}, 7 * HOUR, length=HOUR, within=5 * HOUR, usual=0.9)
    assert cohorts[0].mature


def test_labels_that_never_come_make_nothing_mature():
    cohorts, usual = judged({0: (10, 0), 1: (10, 0)}, 99 * HOUR, length=HOUR, within=HOUR)
    assert usual == 0.0
    assert not any(each.mature for each in cohorts)
    assert judged({}, 0.0, length=HOUR, within=HOUR) == ((), None)


@given(
    st.dictionaries(st.integers(0, 40), st.tuples(st.integers(0, 20), st.integers(0, 20))), st.integers(0, 60)
)
def test_more_labels_never_make_a_cohort_less_mature(counted, hours):
    before, _ = judged(counted, hours * HOUR, length=HOUR, within=HOUR, usual=0.5)
    more = {number: (made, came + 1) for number, (made, came) in counted.items()}
    after, _ = judged(more, hours * HOUR, length=HOUR, within=HOUR, usual=0.5)
    assert all(
        later.mature or not earlier.mature or not earlier.predicted
        for earlier, later in zip(before, after, strict=True)
    )
    assert all(0 <= each.coverage <= 1 for each in after)
