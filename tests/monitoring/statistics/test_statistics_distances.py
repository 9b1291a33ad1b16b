"""Distances on counts: what must hold of each, and what SciPy says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from inprocml.monitoring.statistics import (
    bin_centres,
    binned_ks,
    hellinger,
    jensen_shannon,
    l_infinity,
    psi,
    total_variation,
    wasserstein,
)

BOUNDED = [jensen_shannon, hellinger, total_variation, l_infinity, binned_ks]
SPLITTABLE = [jensen_shannon, hellinger, total_variation]


@st.composite
def pairs(draw, most=10**6):
    bins = draw(st.integers(1, 30))
    side = st.lists(
        st.one_of(st.just(0), st.integers(0, 20), st.integers(0, most)), min_size=bins, max_size=bins
    )
    return draw(side.filter(any)), draw(side.filter(any))


def shares(counts):
    return np.array(counts) / sum(counts)


@pytest.mark.parametrize("statistic", BOUNDED)
@given(pair=pairs())
def test_between_0_and_1_and_the_same_both_ways(statistic, pair):
    value = statistic(*pair)
    assert 0 <= value <= 1
    assert statistic(*reversed(pair)) == pytest.approx(value, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("statistic", BOUNDED)
@given(pair=pairs(most=1000), times=st.integers(1, 1000))
def test_zero_if_and_only_if_the_shares_are_equal(statistic, pair, times):
    counts, other = pair
    assert statistic(counts, [times * count for count in counts]) == 0
    equal = all(a * sum(other) == b * sum(counts) for a, b in zip(counts, other, strict=True))
    assert (statistic(counts, other) == 0) is equal


@pytest.mark.parametrize("statistic", BOUNDED)
def test_one_where_no_row_shares_a_bin(statistic):
    assert statistic([7, 0], [0, 3]) == 1


@pytest.mark.parametrize("statistic", SPLITTABLE)
@given(pair=pairs(most=1000), parts=st.integers(2, 5))
def test_cutting_a_bin_where_both_sides_are_alike_changes_nothing(statistic, pair, parts):
    finer = [[count for one in side for count in [one] * parts] for side in pair]
    assert statistic(*finer) == pytest.approx(statistic(*pair), rel=1e-9, abs=1e-9)


@given(pair=pairs(), smoothing=st.sampled_from(["jeffreys", 1e-4]), occupied=st.booleans())
def test_psi_is_symmetric_not_negative_and_as_written(pair, smoothing, occupied):
    found = psi(*pair, smoothing=smoothing, occupied=occupied)
    assert found.statistic >= 0
    assert psi(*reversed(pair), smoothing=smoothing, occupied=occupied).statistic == pytest.approx(
        found.statistic, rel=1e-12
    )
    c, d = (np.array(side, dtype=float) for side in pair)
    kept = (c + d > 0) | (not occupied)
    c, d = c[kept], d[kept]
    if smoothing == "jeffreys":
        p, q = ((x + 0.5) / (x.sum() + 0.5 * len(x)) for x in (c, d))
    else:
        p, q = (np.where(x == 0, 1e-4, x / x.sum()) for x in (c, d))
    assert found.statistic == pytest.approx(np.sum((q - p) * np.log(q / p)), rel=1e-7, abs=1e-9)
    noise = 1 / sum(pair[0]) + 1 / sum(pair[1])
    assert found.dof == len(c) - 1
    assert found.debiased == pytest.approx(found.statistic - found.dof * noise, rel=1e-9, abs=1e-12)
    assert psi(*pair, smoothing=smoothing, occupied=occupied, debias=True).statistic == found.debiased
    reach = stats.norm.isf(0.025) * noise * math.sqrt(2 * found.dof + 4 * max(found.debiased, 0) / noise)
    assert (found.low, found.high) == pytest.approx(
        (found.debiased - reach, found.debiased + reach), abs=1e-12
    )
    expected = stats.chi2.sf(found.statistic / noise, found.dof) if found.dof else 1.0
    assert found.p_value == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_psi_by_default_adds_half_a_row_to_each_bin_that_is_not_empty_on_both_sides():
    found = psi([5, 0, 4], [2, 0, 8])
    assert found == psi([5, 4], [2, 8], smoothing="jeffreys", occupied=False)
    assert psi([5, 0, 4], [2, 0, 8], occupied=False).dof == 2


@pytest.mark.parametrize("smoothing", [0, 1, -1e-4, math.nan, math.inf, "laplace"])
def test_other_smoothing_is_refused(smoothing):
    with pytest.raises(ValueError, match="smoothing"):
        psi([1, 2], [2, 1], smoothing=smoothing)


@given(pair=pairs(), base=st.sampled_from([2.0, math.e, 10.0]))
def test_jensen_shannon_is_scipys(pair, base):
    theirs = distance.jensenshannon(*(shares(side) for side in pair), base=base)
    # SciPy loses half the digits where the sides are nearly equal, and may take the root of -1e-17
    theirs = 0.0 if math.isnan(theirs) else theirs
    assert jensen_shannon(*pair, base=base, divergence=True) == pytest.approx(theirs**2, rel=1e-7, abs=1e-13)
    if theirs > 1e-4:
        assert jensen_shannon(*pair, base=base) == pytest.approx(theirs, rel=1e-7, abs=1e-9)


def test_jensen_shannon_keeps_its_digits_near_zero():
    """To first order the divergence is delta^2 / (2 ln 2), delta half the change of both shares of a half."""
    n = 10**12
    found = jensen_shannon([n, n], [n + 1000, n - 1000])
    assert found == pytest.approx(0.5e-9 / math.sqrt(2 * math.log(2)), rel=1e-6)


@pytest.mark.parametrize("base", [1.0, 0.0, -2.0, math.nan, math.inf])
def test_a_base_that_makes_no_logarithm_is_refused(base):
    with pytest.raises(ValueError, match="base"):
        jensen_shannon([1], [1], base=base)


@given(pairs())
def test_the_formulas_of_the_others(pair):
    p, q = (shares(side) for side in pair)
    affinity = 1 - np.sum(np.sqrt(p * q))
    assert hellinger(*pair) ** 2 == pytest.approx(max(0, affinity), abs=1e-12)
    assert total_variation(*pair) == pytest.approx(0.5 * distance.cityblock(p, q), abs=1e-12)
    assert l_infinity(*pair) == pytest.approx(distance.chebyshev(p, q), abs=1e-12)
    edges = np.abs(np.cumsum(p) - np.cumsum(q))[:-1]
    assert binned_ks(*pair) == pytest.approx(edges.max(initial=0), abs=1e-12)


@given(pairs(most=40))
def test_binned_ks_is_the_exact_statistic_where_a_bin_is_a_value(pair):
    assume(min(map(sum, pair)) > 1)  # SciPy divides by 0 otherwise, for a p-value that nobody asked for
    samples = [np.repeat(np.arange(len(side)), side) for side in pair]
    assert binned_ks(*pair) == pytest.approx(stats.ks_2samp(*samples, method="asymp").statistic, abs=1e-12)


@given(pairs(), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e6))
def test_wasserstein_is_scipys_divided_by_sigma(pair, seed, scale):
    centres = np.random.default_rng(seed).normal(size=len(pair[0])) * scale
    theirs = stats.wasserstein_distance(centres, centres, *pair)
    assert wasserstein(*pair, centres=centres, sigma=scale) == pytest.approx(
        theirs / scale, rel=1e-7, abs=1e-9
    )
    spread = math.sqrt(np.cov(centres, fweights=pair[0], ddof=0)) if sum(pair[0]) > 1 else 0.0
    if spread > 1e-6 * scale:
        assert wasserstein(*pair, centres=centres) == pytest.approx(theirs / spread, rel=1e-6, abs=1e-9)


def test_centres_are_midpoints_single_values_and_the_ends():
    five = [4.0, 5.0, np.nextafter(5.0, 6), 7.0]
    np.testing.assert_array_equal(bin_centres(five, 5), [4, 4.5, 5, 6, 7])
    np.testing.assert_array_equal(bin_centres(five, 6), [4, 4.5, 5, 6, 7, math.nan])
    assert np.isfinite(bin_centres([-1.7e308, 1.7e308], 3)).all()


@pytest.mark.parametrize(
    ("edges", "bins"),
    [([1.0, 2.0], 2), ([1.0, 2.0], 5), ([], 1), ([2.0, 1.0], 3), ([1.0, math.inf], 3), ([[1.0]], 2)],
)
def test_edges_that_do_not_fit_are_refused(edges, bins):
    with pytest.raises(ValueError, match="edges"):
        bin_centres(edges, bins)


def test_wasserstein_takes_edges_and_leaves_missing_values_out():
    edges = [0.0, 1.0, 2.0]
    assert wasserstein([0, 5, 5, 0, 90], [0, 5, 5, 0, 0], edges=edges) == 0
    moved = wasserstein([0, 6, 2, 0], [0, 2, 6, 0], edges=edges, sigma=1.0)
    assert moved == pytest.approx(0.5)
    extreme = wasserstein([0, 1, 1, 0], [0, 0, 2, 0], edges=[-1.7e308, 0.0, 1.7e308])
    assert extreme == pytest.approx(1.0)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"edges": [1.0], "centres": [0.0, 1.0]},
        {"centres": [0.0]},
        {"centres": [0.0, math.inf]},
        {"centres": [0.0, 1.0], "sigma": 0.0},
        {"centres": [0.0, 1.0], "sigma": math.nan},
        {"centres": [0.0, 1.0], "sigma": -1.0},
    ],
)
def test_wasserstein_refuses_places_and_sigmas_that_do_not_fit(arguments):
    with pytest.raises(ValueError, match=r"edges|centres|sigma"):
        wasserstein([1, 1], [1, 1], **arguments)
