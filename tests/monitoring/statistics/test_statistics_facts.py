"""What was measured before this was built must come out of it: noise, blind spots, and what was missed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from inprocml.monitoring import NumberBins, numeric_edges
from inprocml.monitoring.statistics import binned_ks, chi_square, jensen_shannon, psi, wasserstein


def counted(reference, *others):
    bins = NumberBins(tuple(numeric_edges(reference).tolist()))
    return [bins.count(np.asarray(values)).counts for values in (reference, *others)], bins.edges


def normal(size, seed, mean=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(mean, scale, size)


@pytest.mark.parametrize(("now", "then"), [(1000, 50_000), (2000, 2000)])
def test_without_drift_psi_is_on_average_what_sampling_adds(now, then):
    draw = np.random.default_rng(5)
    repeats, chances = 20_000, np.ones(10) / 10
    sides = draw.multinomial(then, chances, repeats), draw.multinomial(now, chances, repeats)
    found = [psi(*pair) for pair in zip(*sides, strict=True)]
    expected = 9 * (1 / now + 1 / then)
    # its spread is sqrt(2/9) of the mean: 20 000 repeats leave 0.33 % of noise
    assert np.mean([each.statistic for each in found]) == pytest.approx(expected, rel=0.015)
    assert abs(np.mean([each.debiased for each in found])) < 0.015 * expected


@pytest.mark.parametrize(("delta", "expected"), [(0.1, 0.0096), (0.25, 0.060), (0.5, 0.24), (1.0, 0.93)])
def test_psi_of_a_shift_of_so_many_sigma(delta, expected):
    """On deciles, as it was measured."""
    ends = stats.norm.ppf(np.arange(11) / 10)
    sides = [np.round(1e9 * np.diff(stats.norm.cdf(ends - mean))).astype(int) for mean in (0.0, delta)]
    assert psi(*sides).debiased == pytest.approx(expected, rel=0.03)


def test_the_interval_of_psi_covers_the_truth():
    draw = np.random.default_rng(8)
    then, now = np.ones(10) / 10, np.array([0.07, 0.08, 0.09, 0.1, 0.1, 0.1, 0.11, 0.11, 0.12, 0.12])
    truth = float(np.sum((now - then) * np.log(now / then)))
    sides = zip(draw.multinomial(50_000, then, 1000), draw.multinomial(10_000, now, 1000), strict=True)
    covered = [found.low <= truth <= found.high for found in (psi(*pair) for pair in sides)]
    assert 0.91 <= np.mean(covered) <= 0.985


def test_a_constant_that_moves_from_5_to_7_is_seen():
    (reference, current), edges = counted([5.0] * 500, [7.0] * 500)
    assert psi(reference, current).debiased > 5
    assert jensen_shannon(reference, current) == 1
    assert binned_ks(reference, current) == 1
    # sigma is 0, and there is no other unit
    assert "does not vary" in wasserstein(reference, current, edges=edges).reason


def test_one_value_of_a_billion_neither_hides_nor_makes_drift():
    reference, current = normal(5000, 3), normal(1000, 4)
    current[0] = 1e9
    (then, now), edges = counted(reference, current)
    assert psi(then, now).debiased < 0.02
    assert wasserstein(then, now, edges=edges) < 0.1
    moved = normal(1000, 4, mean=1.0)
    moved[0] = 1e9
    (then, now), edges = counted(reference, moved)
    assert psi(then, now).debiased > 0.7
    assert wasserstein(then, now, edges=edges) > 0.7


def test_missing_values_from_2_to_12_percent_are_seen():
    reference, current = normal(5000, 5), normal(1000, 6)
    reference[: 5000 * 2 // 100] = current[: 1000 * 12 // 100] = np.nan
    (then, now), _ = counted(reference, current)
    assert psi(then, now).statistic == pytest.approx(0.19, abs=0.04)
    assert psi(then, now).p_value < 1e-12
    assert psi(then[:-1], now[:-1]).p_value > 0.001  # what those see who drop missing values


def test_category_shares_and_a_boolean_that_fixed_thresholds_miss():
    draw = np.random.default_rng(9)
    boolean = [[3500, 1500], np.bincount(draw.random(1000) < 0.36, minlength=2)]
    assert chi_square(*boolean).p_value < 0.01
    assert jensen_shannon(*boolean, compat="evidently") < 0.1


def test_small_samples_do_not_cry_wolf():
    """PSI > 0.2 fires on half of 50 rows that are not drifted; the debiased value is 0 on average."""
    draw = np.random.default_rng(10)
    chances = np.ones(10) / 10
    found = [psi(draw.multinomial(50_000, chances), draw.multinomial(50, chances)) for _ in range(2000)]
    assert np.mean([each.statistic > 0.1 for each in found]) > 0.5
    assert abs(np.mean([each.debiased for each in found])) < 0.02
    assert np.mean([each.p_value < 0.01 for each in found]) < 0.03
