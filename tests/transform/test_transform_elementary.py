"""Exponential and logarithm: within 2 ulp, the same bytes for numbers and arrays, defined at every edge."""

from __future__ import annotations

import math
import random
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inprocml.transform.elementary import (
    exp_array,
    exp_float,
    expm1_array,
    expm1_float,
    log_array,
    log_float,
)


def ulps(ours, theirs):
    """How many float64 values lie between two arrays of finite numbers, element by element."""
    pair = [np.array(side, dtype=np.float64).view(np.int64) for side in (ours, theirs)]
    first, second = (np.where(bits < 0, np.int64(-(2**63)) - bits, bits) for bits in pair)
    return np.abs(first - second)


def theirs(function, value):
    try:
        return function(value)
    except OverflowError:
        return math.inf


def spread(count=20_000):
    """Values over the whole domain, dense where the path changes; no rounding of a CPU's own in them."""
    draw = random.Random(3)
    half = math.log(2) / 2
    edges = [k * half for k in (-2149, -2148, -107, -3, -1, 1, 3, 5, 107, 2047)] + [-50.0, 709.782712893384]
    near = [math.nextafter(e, way) for e in edges for way in (-math.inf, math.inf)] + edges
    return [
        *near,
        *(0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e-17, -1e-17),
        *(draw.uniform(-746, 711) for _ in range(count)),
        *(draw.uniform(-1.5, 1.5) for _ in range(count)),
        *(math.ldexp(draw.uniform(-1, 1), draw.randint(-1060, 8)) for _ in range(count)),
    ]


@pytest.mark.parametrize(
    ("scalar", "array", "reference"),
    [(exp_float, exp_array, math.exp), (expm1_float, expm1_array, math.expm1)],
)
def test_exponentials_over_the_whole_domain(scalar, array, reference):
    values = spread()
    ours = array(np.array(values))
    assert ours.tobytes() == np.array([scalar(value) for value in values]).tobytes()
    assert array(np.array(values)[::3]).tobytes() == ours[::3].tobytes()
    assert array(np.array(values[5:6])).tobytes() == ours[5:6].tobytes()
    expected = np.array([theirs(reference, value) for value in values])
    assert np.array_equal(np.isinf(ours), np.isinf(expected))
    finite = np.isfinite(expected)
    assert ulps(ours[finite], expected[finite]).max() <= 2


def test_logarithm_over_the_whole_domain():
    draw = random.Random(4)
    values = [math.ldexp(draw.uniform(0.5, 1), draw.randint(-1074, 1024)) for _ in range(40_000)]
    values += [draw.uniform(0.5, 2) for _ in range(20_000)]
    values += [5e-324, 1.0, math.nextafter(1, 0), math.nextafter(1, 2), math.sqrt(0.5), sys.float_info.max]
    values = [value for value in values if value > 0]
    ours = log_array(np.array(values))
    assert ours.tobytes() == np.array([log_float(value) for value in values]).tobytes()
    assert ulps(ours, [math.log(value) for value in values]).max() <= 2


@given(st.floats(allow_nan=False))
@example(710.5)
@example(-745.2)
@example(-math.inf)
@example(math.inf)
def test_any_float(value):
    for scalar, array, reference in (
        (exp_float, exp_array, math.exp),
        (expm1_float, expm1_array, math.expm1),
    ):
        ours, expected = scalar(value), theirs(reference, value)
        assert ours == expected or ulps([ours], [expected])[0] <= 2
        assert np.float64(ours).tobytes() == array(np.array([value]))[0].tobytes()
    if 0 < value < math.inf:
        assert ulps([log_float(value)], [math.log(value)])[0] <= 2
        assert np.float64(log_float(value)).tobytes() == log_array(np.array([value]))[0].tobytes()


def test_edges_are_defined():
    assert exp_float(0.0) == exp_float(-0.0) == 1.0
    assert expm1_float(0.0) == expm1_float(-0.0) == 0.0
    assert log_float(1.0) == 0.0
    assert (exp_float(1e308), exp_float(-1e308)) == (math.inf, 0.0)
    assert (expm1_float(1e308), expm1_float(-1e308)) == (math.inf, -1.0)
    for scalar, array in ((exp_float, exp_array), (expm1_float, expm1_array)):
        assert math.isnan(scalar(math.nan))
        assert np.isnan(array(np.array([math.nan, 1.0]))).tolist() == [True, False]
        assert array(np.zeros((2, 3))).shape == (2, 3)
        assert array(np.array([])).shape == (0,)
