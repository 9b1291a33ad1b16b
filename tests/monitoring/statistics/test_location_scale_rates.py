"""Location, scale and rates: known distributions, bounds against SciPy, undefined sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inprocml.monitoring import NumberBins, numeric_edges
from inprocml.monitoring.statistics import (
    Undefined,
    location,
    location_scores,
    poisson_lower,
    poisson_upper,
    poisson_z,
    scale,
    scale_scores,
    shift,
    widening,
)

RNG = np.random.default_rng(5)
REFERENCE = RNG.normal(size=40_000)
BINS = NumberBins(tuple(numeric_edges(REFERENCE).tolist()))


def counted(values):
    return BINS.count(values).counts[:-1]


counts = st.lists(st.integers(0, 1000), min_size=2, max_size=20)


@pytest.mark.parametrize("moved", [-0.5, -0.1, 0.1, 0.25, 0.5])
def test_location_of_a_moved_normal_is_by_how_much_it_moved(moved):
    measured = location(counted(REFERENCE), counted(RNG.normal(moved, 1, 200_000)))
    assert measured == pytest.approx(moved, abs=0.02 + 0.05 * abs(moved))


@pytest.mark.parametrize("sigma", [0.9, 1.0, 1.1])
def test_scale_of_a_widened_normal_is_by_which_share(sigma):
    measured = scale(counted(REFERENCE), counted(RNG.normal(0, sigma, 200_000)))
    assert measured == pytest.approx(sigma - 1, abs=0.025)


def test_scale_sees_what_location_does_not_and_the_other_way_round():
    wide, high = counted(RNG.normal(0, 1.5, 50_000)), counted(RNG.normal(0.5, 1, 50_000))
    assert abs(location(counted(REFERENCE), wide)) < 0.02
    assert scale(counted(REFERENCE), wide) > 0.25
    assert location(counted(REFERENCE), high) > 0.45


@given(counts)
def test_a_reference_against_itself_has_not_moved(reference):
    if sum(reference):
        assert location(reference, reference) == pytest.approx(0, abs=1e-9)
        assert scale(reference, reference) == pytest.approx(0, abs=1e-9)
    else:
        assert isinstance(location(reference, reference), Undefined)


@given(counts, st.integers(0, 19), st.integers(1, 50))
def test_more_of_a_higher_bin_never_lowers_the_location(current, place, more):
    reference = [10] * len(current)
    place %= len(current)
    before, grown = [*current], [*current]
    before[0] += more
    grown[place] += more
    assert location(reference, grown) >= location(reference, before) - 1e-12


def test_an_empty_side_is_undefined():
    for measure in (location, scale):
        assert isinstance(measure([0, 0], [1, 1]), Undefined)
        assert isinstance(measure([1, 1], [0, 0]), Undefined)


def test_one_bin_holds_no_order():
    assert location([0, 9, 0], [5, 0, 0]) == scale([0, 9, 0], [5, 0, 0]) == 0


def test_many_windows_at_once_are_the_same_as_one_by_one():
    reference, windows = RNG.integers(1, 50, (3, 9)), RNG.integers(0, 50, (3, 4, 9))
    at_once = shift(location_scores(reference)[:, None], windows)
    wider = widening(scale_scores(reference)[:, None], windows)
    for series in range(3):
        for window in range(4):
            one = windows[series, window]
            assert at_once[series, window] == pytest.approx(location(reference[series], one))
            assert wider[series, window] == pytest.approx(scale(reference[series], one))


@pytest.mark.parametrize("hits", [0, 1, 2, 10, 150, 199, 200, 201, 5000])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_poisson_bounds_are_those_of_chi_square(hits, confidence):
    upper = stats.chi2.ppf(confidence, 2 * hits + 2) / 2
    lower = stats.chi2.ppf(1 - confidence, 2 * hits) / 2 if hits else 0
    assert poisson_upper(hits, confidence=confidence) == pytest.approx(
        upper, rel=1e-4 if hits >= 200 else 1e-9
    )
    assert poisson_lower(hits, confidence=confidence) == pytest.approx(
        lower, rel=1e-4 if hits >= 200 else 1e-9
    )


@pytest.mark.parametrize("bound", [poisson_lower, poisson_upper])
def test_negative_counts_are_refused(bound):
    with pytest.raises(ValueError, match="must not be negative"):
        bound(-1)


@given(st.integers(0, 400), st.floats(0.001, 300))
def test_poisson_z_is_that_of_the_exact_tail(hits, mean):
    found = float(poisson_z(hits, mean))
    if abs(hits - mean) <= 0.5:
        assert found == 0
        return
    above = hits > mean
    tail = stats.poisson.logsf(hits - 1, mean) if above else stats.poisson.logcdf(hits, mean)
    if tail > -200:
        exact = stats.norm.isf(np.exp(tail)) * (1 if above else -1)
        assert found == pytest.approx(exact, abs=0.06)


def test_poisson_z_takes_nothing_for_nothing():
    assert poisson_z([0, 0, 3], [0.0, 0.4, 0.0])[:2].tolist() == [0, 0]
    assert np.isfinite(poisson_z(3, 0.0))
