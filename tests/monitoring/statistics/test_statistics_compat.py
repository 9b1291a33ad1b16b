"""The named products' definitions, against what their code calls: SciPy on shares, as written there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from scipy import stats
from scipy.spatial import distance
from tests.monitoring.statistics.test_statistics_distances import pairs, shares

from inprocml.monitoring.statistics import (
    chi_square,
    g_test,
    hellinger,
    jensen_shannon,
    l_infinity,
    psi,
    wasserstein,
)


def evidently_percents(counts):
    """Evidently 0.7.23, ``stattests/utils.py``, the last lines of ``get_binned_data``."""
    percents = shares(counts)
    least = min(percents[percents != 0])
    np.place(percents, percents == 0, least / 10**6 if least <= 0.0001 else 0.0001)
    return percents


def occupied(pair):
    table = np.array(pair)
    return table[:, table.sum(axis=0) > 0]


@given(pairs())
def test_psi_as_evidently_has_it(pair):
    p, q = (evidently_percents(side) for side in occupied(pair))
    assert psi(*pair, compat="evidently").statistic == pytest.approx(
        np.sum((p - q) * np.log(p / q)), rel=1e-7, abs=1e-9
    )


def test_evidentlys_psi_is_the_smoothing_of_the_conventions_where_no_share_is_tiny():
    sides = [500, 0, 500], [300, 200, 500]
    assert psi(*sides, compat="evidently") == psi(*sides, smoothing=1e-4)
    tiny = [10**6, 1, 0], [10**6, 1, 5]
    assert psi(*tiny, compat="evidently").statistic < psi(*tiny, smoothing=1e-4).statistic


@given(pairs())
def test_jensen_shannon_of_the_three(pair):
    p, q = (shares(side) for side in pair)
    average = (p + q) / 2
    base_2 = (stats.entropy(p, average, 2) + stats.entropy(q, average, 2)) / 2
    assert jensen_shannon(*pair, compat="tfdv") == pytest.approx(base_2, rel=1e-7, abs=1e-12)
    assert jensen_shannon(*pair, compat="nannyml") ** 2 == pytest.approx(base_2, rel=1e-7, abs=1e-12)
    assert jensen_shannon(*pair, compat="evidently") ** 2 == pytest.approx(
        base_2 * math.log(2), rel=1e-7, abs=1e-12
    )


def test_jensen_shannon_of_one_pair_by_scipy():
    p, q = [10, 20, 70], [30, 30, 40]
    assert jensen_shannon(p, q, compat="evidently") == pytest.approx(distance.jensenshannon(p, q), rel=1e-9)
    assert jensen_shannon(p, q, compat="nannyml") == pytest.approx(
        distance.jensenshannon(p, q, base=2), rel=1e-9
    )


@given(pairs())
def test_the_two_that_all_define_alike(pair):
    for product in ("evidently", "nannyml"):
        assert hellinger(*pair, compat=product) == hellinger(*pair)
    for product in ("tfdv", "nannyml"):
        assert l_infinity(*pair, compat=product) == l_infinity(*pair)


@given(pairs(most=1000))
def test_chi_square_of_nannyml_is_scipys_with_its_default_correction(pair):
    theirs = stats.chi2_contingency(occupied(pair))
    found = chi_square(*pair, compat="nannyml")
    assert found.statistic == pytest.approx(theirs.statistic, rel=1e-7, abs=1e-9)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-6)


def test_chi_square_of_nannyml_is_corrected_in_two_bins_only():
    assert (
        chi_square([50, 50], [40, 60], compat="nannyml").statistic < chi_square([50, 50], [40, 60]).statistic
    )
    assert chi_square([5, 5, 5], [4, 6, 5], compat="nannyml") == chi_square([5, 5, 5], [4, 6, 5])


@pytest.mark.parametrize(("test", "power"), [(chi_square, "pearson"), (g_test, "log-likelihood")])
def test_evidently_tests_now_against_shares_taken_as_exact(test, power):
    reference, current = np.array([400, 300, 0, 300]), np.array([30, 40, 0, 30])
    theirs = stats.power_divergence(current[[0, 1, 3]], reference[[0, 1, 3]] * 0.1, lambda_=power)
    found = test(reference, current, compat="evidently")
    assert found.statistic == pytest.approx(theirs.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-6)
    assert found.p_value < test(reference, current).p_value  # what the reference does not know is left out


@pytest.mark.parametrize("test", [chi_square, g_test])
def test_one_new_category_is_certain_drift_to_evidently_and_not_to_the_table(test):
    sides = [500, 500, 0], [500, 499, 1]
    found = test(*sides, compat="evidently")
    assert (found.statistic, found.p_value) == (math.inf, 0.0)
    assert test(*sides).p_value > 0.1


def test_wasserstein_of_evidently_has_a_floor_and_of_nannyml_no_unit():
    centres = [0.0, 10.0]
    assert wasserstein([1, 1], [0, 2], centres=centres, compat="nannyml") == pytest.approx(5.0)
    assert wasserstein([1, 1], [0, 2], centres=centres, compat="evidently") == pytest.approx(1.0)
    assert wasserstein([2, 0], [0, 2], centres=centres, compat="evidently") == pytest.approx(10_000.0)


@pytest.mark.parametrize(
    ("statistic", "product"),
    [
        (psi, "tfdv"),
        (hellinger, "tfdv"),
        (l_infinity, "evidently"),
        (g_test, "nannyml"),
        (jensen_shannon, "whylogs"),
    ],
)
def test_a_product_without_that_statistic_is_refused(statistic, product):
    with pytest.raises(ValueError, match=f"{product}.*{statistic.__name__}.*pass"):
        statistic([1, 2], [2, 1], compat=product)
