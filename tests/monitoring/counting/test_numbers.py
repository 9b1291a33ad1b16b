"""Columns of numbers, all at once: the bins and the moments of each for itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inprocml.monitoring.bins import NumberBins
from inprocml.monitoring.counting.numbers import Numbers

ends = st.lists(
    st.sampled_from([-np.inf, -1e308, -1.0, -0.0, 5e-324, 0.5, 1.0, 3.0, 1e308, np.inf]), unique=True
)
bins = ends.map(lambda found: NumberBins(tuple(sorted({float(each) for each in found}))))
cells = st.one_of(
    st.floats(),
    st.sampled_from([-np.inf, -1e308, -1.0, 0.0, -0.0, 5e-324, 0.5, 1.0, 3.0, 1e308, np.inf, np.nan]),
)


@st.composite
def several(draw):
    each = draw(st.lists(bins, min_size=1, max_size=4))
    return each, draw(arrays(np.float64, (len(each), draw(st.integers(0, 12))), elements=cells))


@given(several())
def test_places_and_moments_are_those_of_each_column(drawn):
    each, columns = drawn
    numbers = Numbers(each)
    places, moments, infinite = numbers.places(columns), numbers.moments(columns), numbers.infinite(columns)
    assert places.dtype == np.intp
    for one, column, where, found, beyond in zip(each, columns, places, moments, infinite, strict=True):
        assert where.tolist() == one.places(column).tolist()
        assert tuple(beyond) == one.count(column).infinite
        finite = column[np.isfinite(column)]
        if not len(finite):
            assert found.tolist() == [0.0, 0.0, np.inf, -np.inf]
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            sums = [sum(finite.tolist()), sum((finite * finite).tolist())]
        assert not np.isnan(found).any(), "a record that says so is refused"
        if np.isfinite(sums).all():
            np.testing.assert_allclose(found[:2], sums, rtol=1e-9, atol=1e-9 * np.abs(finite).max())
        assert found[2:].tolist() == [finite.min(), finite.max()]


@pytest.mark.parametrize("rows", [1, 2_047, 2_048, 2_049, 5_000])
def test_parts_of_many_rows_add_up(rows):
    each = [NumberBins((-1.0, 0.0, 1.0)), NumberBins(tuple(np.linspace(-2, 2, 300).tolist()))]
    columns = np.random.default_rng(rows).normal(size=(2, rows))
    columns[:, ::7] = np.nan
    numbers = Numbers(each)
    for one, column, where in zip(each, columns, numbers.places(columns), strict=True):
        assert where.tolist() == one.places(column).tolist()
    np.testing.assert_allclose(numbers.moments(columns)[:, 0], np.nansum(columns, axis=1), atol=1e-9)


def test_no_columns_and_no_rows():
    assert Numbers([]).places(np.empty((0, 3))).shape == (0, 3)
    assert Numbers([]).moments(np.empty((0, 3))).shape == (0, 4)
    assert Numbers([NumberBins(())]).places(np.zeros((1, 0))).shape == (1, 0)
    assert Numbers([NumberBins(())]).places(np.array([[np.nan, 2.0]])).tolist() == [[1, 0]]
