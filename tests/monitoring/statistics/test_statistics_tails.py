"""The tails, held to SciPy's; and where float64 has no probability left, to each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from inprocml.monitoring.statistics.tails import (
    chi_square_isf,
    chi_square_log_sf,
    chi_square_sf,
    normal_isf,
    normal_isf_log,
    normal_log_sf,
    normal_sf,
)

DRAW = np.random.default_rng(20)


def test_the_upper_tail_of_chi_square_is_scipys():
    statistic = 10 ** DRAW.uniform(-6, 3.2, 5000)
    dof = DRAW.integers(1, 400, 5000)
    theirs = stats.chi2.sf(statistic, dof)
    held = theirs > 1e-290
    assert held.sum() > 4000
    np.testing.assert_allclose(chi_square_sf(statistic, dof)[held], theirs[held], rtol=1e-10)


def test_far_tails_of_chi_square_keep_their_logarithm():
    """Two degrees of freedom have a closed form, and one is the normal distribution twice."""
    far = np.array([1e2, 1.6e3, 1e5, 1e8])
    np.testing.assert_allclose(chi_square_log_sf(far, 2), -far / 2, rtol=1e-14)
    np.testing.assert_allclose(
        chi_square_log_sf(far, 1), math.log(2) + special.log_ndtr(-np.sqrt(far)), rtol=1e-13
    )
    assert (np.diff(chi_square_log_sf(1600.0, np.arange(1, 200))) > 0).all()


@pytest.mark.parametrize("dof", [0, 1, 2, 7, 30])
def test_nothing_seen_has_probability_one_and_everything_zero(dof):
    assert chi_square_sf(0.0, dof) == 1.0
    assert chi_square_sf(-1.0, dof) == 1.0
    assert chi_square_sf(math.inf, dof) == (0.0 if dof else 1.0)
    assert chi_square_sf(np.empty(0), dof).shape == (0,)


@pytest.mark.parametrize(("statistic", "dof"), [(math.nan, 3), (1.0, -1), (1.0, 2.5)])
def test_what_is_no_chi_square_is_refused(statistic, dof):
    with pytest.raises(ValueError, match="degrees of freedom"):
        chi_square_sf(statistic, dof)


@given(st.floats(-290, -1e-3), st.integers(1, 300))
def test_the_quantile_of_chi_square_is_scipys(exponent, dof):
    p = 10.0**exponent
    assert chi_square_isf(p, dof) == pytest.approx(stats.chi2.isf(p, dof), rel=1e-10)


def test_the_quantile_of_certainty_is_zero_and_of_impossibility_refused():
    assert chi_square_isf(1.0, 5) == 0.0
    for p, dof in ((0.0, 5), (1.1, 5), (math.nan, 5), (0.5, 0)):
        with pytest.raises(ValueError, match="quantile"):
            chi_square_isf(p, dof)


def test_the_normal_tail_is_scipys_from_minus_30_to_300():
    z = DRAW.uniform(-30, 300, 3000)
    np.testing.assert_allclose(normal_log_sf(z), special.log_ndtr(-z), rtol=1e-12)
    near = z[z < 37]
    np.testing.assert_allclose(normal_sf(near), stats.norm.sf(near), rtol=1e-10)


def test_forty_sigma_come_back():
    assert float(normal_isf_log(normal_log_sf(40.0))) == pytest.approx(40.0, rel=1e-12)
    assert float(normal_sf(40.0)) == 0.0


@given(st.floats(-290, -1e-6))
def test_the_normal_quantile_is_scipys(exponent):
    p = 10.0**exponent
    assert float(normal_isf(p)) == pytest.approx(stats.norm.isf(p), rel=1e-10, abs=1e-10)


@given(st.floats(-1e9, -1e-3))
def test_the_normal_quantile_of_a_logarithm_is_scipys(log_p):
    assert float(normal_isf_log(log_p)) == pytest.approx(-special.ndtri_exp(log_p), rel=1e-10, abs=1e-10)


def test_the_ends_of_the_normal_quantile():
    assert normal_isf(0.0) == math.inf
    assert normal_isf(1.0) == -math.inf
    for wrong in (1.5, math.nan):
        with pytest.raises(ValueError, match="probability"), np.errstate(invalid="ignore"):
            normal_isf(wrong)
