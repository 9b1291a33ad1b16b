"""Bins learnt of quantiles: none is empty, none is lost to the logarithm; and arguments as numpy has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocml import Numeric, Transform
from inprocml.transform.edges import number_at, position
from inprocml.transform.logarithm import log1p_float

FEW = st.lists(st.sampled_from([0.0, 1.0, 2.5, -3.0, 7.0, 1e300, -1e300, 5e-324]), min_size=2, max_size=40)
MANY = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


@given(FEW | MANY, st.integers(2, 12))
def test_no_bin_is_empty_in_training(values, bins):
    if len(set(values)) == 1:
        return
    features = Transform({"x": Numeric(bins=bins)}).fit_transform({"x": values})
    assert (features.sum(axis=0) > 0).all()
    assert 2 <= features.shape[1] <= bins


def test_two_values_make_two_bins():
    # quantiles of ten are interpolated at one place: 0.4; once there was a bin for [0.4, 1) as well
    transform = Transform({"x": Numeric(bins=10)}).fit({"x": [0.0] * 6 + [1.0] * 4})
    assert transform.transform({"x": [0.0, 1.0]}).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_numbers_that_are_nearly_all_zero_have_two_bins():
    # all quartiles are zero; once that was refused, for values that "are all equal"
    transform = Transform({"x": Numeric(bins=4)}).fit({"x": [0.0] * 95 + [1.0, 2.0, 3.0, 4.0, 5.0]})
    assert transform.transform({"x": [0.0, 0.5, 1.0, 5.0]}).argmax(axis=1).tolist() == [0, 0, 1, 1]


def test_the_largest_value_has_no_bin_behind_it():
    transform = Transform({"x": Numeric(bins=4)}).fit({"x": [0.0, 1.0, 1.0, 1.0, 1.0]})
    assert transform.width == 2
    assert transform.transform({"x": [1.0, 9.0]}).tolist() == [[0.0, 1.0], [0.0, 1.0]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-0.999, 1e9), min_size=4, max_size=30, unique=True), st.integers(2, 6))
def test_bins_of_a_logarithm_are_bins_of_its_values(values, bins):
    """Edges are kept in the units of the field: right only as long as our logarithm never falls."""
    fitted = Transform({"x": Numeric(bins=bins, log=True, encoding="ordinal")}).fit({"x": values})
    edges = fitted._plan.entries[0].edges
    near = [number_at(position(edge) + step) for edge in edges for step in range(-40, 41)]
    near = [x for x in near if x > -1.0]
    bent = [log1p_float(edge) for edge in edges]
    expected = [sum(log1p_float(x) >= edge for edge in bent) for x in near]
    assert fitted.transform({"x": near})[:, 0].tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.floats(-0.9999, 1e300) | st.sampled_from([-0.29, 0.41, 1.0, math.sqrt(2) - 1, math.sqrt(0.5) - 1]))
def test_the_logarithm_never_falls(x):
    near = [log1p_float(number_at(position(x) + step)) for step in range(-30, 31)]
    assert near == sorted(near)


@pytest.mark.parametrize(
    ("numpy_s", "own"),
    [
        ({"clip": (np.int64(1), np.float32(2.5))}, {"clip": (1, 2.5)}),
        ({"missing": np.int64(3)}, {"missing": 3}),
        ({"bins": np.array([1, 2])}, {"bins": [1.0, 2.0]}),
        ({"bins": np.linspace(0, 1, 3)}, {"bins": (0, 0.5, 1)}),
    ],
)
def test_numbers_of_numpy_are_arguments_too(numpy_s, own):
    spec = Numeric(**numpy_s)
    assert spec == Numeric(**own)
    assert repr(spec) == repr(Numeric(**own))
    fitted = Transform({"x": spec}).fit({"x": [1.0, 2.0]})
    assert Transform.from_json(fitted.to_json()).digest == fitted.digest


@pytest.mark.parametrize("missing", [np.bool_(True), True, 1j, np.complex64(1)])
def test_what_is_no_number_is_no_argument(missing):
    with pytest.raises(TypeError, match="missing must be a number"):
        Numeric(missing=missing)


def test_an_integer_beyond_float64_is_not_finite():
    with pytest.raises(ValueError, match="missing must be finite"):
        Numeric(missing=10**400)
