"""Tests and strengths on counts: SciPy's values, and p-values that are uniform without drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.monitoring.statistics.test_statistics_distances import pairs

from inprocml.monitoring.statistics import chi_square, cramers_v, g_test, psi, wilson
from inprocml.monitoring.statistics.result import Undefined

LAMBDA = {chi_square: "pearson", g_test: "log-likelihood"}


@pytest.mark.parametrize("test", [chi_square, g_test])
@given(pair=pairs())
def test_chi_square_and_g_are_scipys_on_the_occupied_table(test, pair):
    table = np.array(pair)
    table = table[:, table.sum(axis=0) > 0]
    theirs = stats.chi2_contingency(table, correction=False, lambda_=LAMBDA[test])
    found = test(*pair)
    assert found.dof == theirs.dof
    # SciPy's G adds terms of the size of the counts: it is right to so many digits of those
    assert found.statistic == pytest.approx(theirs.statistic, rel=1e-7, abs=1e-9 + 1e-14 * table.sum())
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-6, abs=1e-290)
    assert float(found) == found.statistic


@pytest.mark.parametrize("test", [chi_square, g_test])
def test_one_bin_cannot_differ(test):
    found = test([5, 0], [9, 0])
    assert (found.statistic, found.p_value, found.dof) == (0.0, 1.0, 0)


@pytest.mark.parametrize("test", [chi_square, g_test])
def test_bins_that_are_empty_on_both_sides_change_nothing(test):
    assert test([5, 0, 4, 0], [2, 0, 8, 0]) == test([5, 4], [2, 8])


@given(pairs())
def test_cramers_v_is_bergsmas(pair):
    table = np.array(pair)
    table = table[:, table.sum(axis=0) > 0]
    found = cramers_v(*pair)
    total, columns = table.sum(), table.shape[1]
    if columns == 1:
        assert found == 0
        return
    r, k = 2 - 1 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)
    if min(r, k) <= 1:
        assert isinstance(found, Undefined)
        return
    phi2 = stats.chi2_contingency(table, correction=False).statistic / total
    expected = math.sqrt(max(0, phi2 - (columns - 1) / (total - 1)) / (min(r, k) - 1))
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert 0 <= found <= 1


def test_cramers_v_is_near_zero_without_drift_and_one_without_overlap():
    draw = np.random.default_rng(0)
    same = [cramers_v(*draw.multinomial(300, np.ones(20) / 20, 2)) for _ in range(200)]
    assert np.mean(same) < 0.08  # uncorrected it is 0.18
    assert cramers_v([50, 0], [0, 50]) == pytest.approx(1.0)


def test_cramers_v_of_rows_that_share_no_bin_at_all_is_undefined():
    assert isinstance(cramers_v([1, 0], [0, 1]), Undefined)


@pytest.mark.parametrize("test", [chi_square, g_test, psi])
@pytest.mark.parametrize(("now", "then"), [(1000, 1000), (400, 20_000)])
def test_without_drift_p_values_are_as_rare_as_they_say(test, now, then):
    draw = np.random.default_rng(12)
    chances = np.array([3, 1, 1, 2, 1, 1, 1, 2, 1, 1]) / 14
    sides = zip(draw.multinomial(then, chances, 2000), draw.multinomial(now, chances, 2000), strict=True)
    p_values = np.array([test(*pair).p_value for pair in sides])
    for level in (0.01, 0.05, 0.2, 0.5):
        spread = math.sqrt(level * (1 - level) / len(p_values))
        assert abs((p_values <= level).mean() - level) < 4.5 * spread + 0.1 * level


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.floats(0.5, 0.999))
def test_wilson_is_scipys(successes, rows, confidence):
    successes = min(successes, rows)
    theirs = stats.binomtest(successes, rows).proportion_ci(confidence, method="wilson")
    found = wilson(successes, rows, confidence)
    assert found == pytest.approx((theirs.low, theirs.high), rel=1e-7, abs=1e-9)
    assert 0 <= found.low <= successes / rows <= found.high <= 1


def test_wilson_covers_rare_shares():
    draw = np.random.default_rng(3)
    found = [wilson(int(seen), 1000) for seen in draw.binomial(1000, 0.004, 2000)]
    assert 0.93 < np.mean([each.low <= 0.004 <= each.high for each in found]) < 0.99


@pytest.mark.parametrize(
    ("successes", "rows", "confidence"),
    [
        (2, 1, 0.95),
        (-1, 1, 0.95),
        (0.5, 1, 0.95),
        (1, 1.5, 0.95),
        (0, -1, 0.95),
        (1, 2, 0.0),
        (1, 2, 1.0),
        (1, 2, math.nan),
    ],
)
def test_wilson_refuses_what_cannot_be(successes, rows, confidence):
    with pytest.raises(ValueError, match=r"cannot be|confidence"):
        wilson(successes, rows, confidence)
