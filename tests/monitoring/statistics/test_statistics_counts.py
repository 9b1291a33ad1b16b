"""Counts that are none are refused, sides without rows are undefined, for every statistic alike."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from inprocml.monitoring.statistics import (
    Undefined,
    binned_ks,
    chi_square,
    cramers_v,
    g_test,
    hellinger,
    jensen_shannon,
    l_infinity,
    psi,
    total_variation,
    wasserstein,
    wilson,
)

STATISTICS = [
    psi,
    jensen_shannon,
    hellinger,
    total_variation,
    l_infinity,
    binned_ks,
    partial(wasserstein, centres=[0.0, 1.0]),
    chi_square,
    g_test,
    cramers_v,
]
each = pytest.mark.parametrize("statistic", STATISTICS, ids=lambda f: getattr(f, "__name__", "wasserstein"))


@each
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([1, -1], "negative"),
        ([1, 0.5], "whole"),
        ([1, math.nan], "whole"),
        ([1, math.inf], "whole"),
        ([1, 2, 3], "same bins"),
        ([[1, 2]], "one list"),
        (["1", "2"], "counts"),
        ([True, False], "counts"),
        ([None, 1], "counts"),
        (np.array([2**62, 2**62]), "2\\*\\*53"),
    ],
)
def test_what_are_no_counts_is_refused_on_either_side(statistic, wrong, says):
    with pytest.raises(ValueError, match=says):
        statistic([1, 1], wrong)
    if len(wrong) == 2:
        with pytest.raises(ValueError, match=says):
            statistic(wrong, [1, 1])


@each
@pytest.mark.parametrize(
    ("sides", "reason"),
    [
        (([0, 0], [1, 2]), "reference holds no rows"),
        (([1, 2], [0, 0]), "current holds no rows"),
        (([0, 0], [0, 0]), "reference holds no rows"),
    ],
)
def test_a_side_without_rows_is_undefined_and_says_which(statistic, sides, reason):
    found = statistic(*sides)
    assert isinstance(found, Undefined)
    assert str(found) == f"undefined: {reason}"
    assert found.statistic is found.p_value is found.dof is None


@each
def test_one_row_a_side_has_a_value(statistic):
    found = statistic([1, 0], [1, 0])
    if not isinstance(found, Undefined):
        assert float(found) == 0
    else:
        assert "does not vary" in found.reason


@each
def test_any_kind_of_integers_will_do(statistic):
    lists = statistic([3, 40], [20, 10])
    for kind in (np.int64, np.uint32, np.float64):
        assert statistic(np.array([3, 40], kind), np.array([20, 10], kind)) == lists
    assert statistic((3, 40), (20, 10)) == lists


def test_wasserstein_without_values_or_without_spread_is_undefined():
    assert "no rows with a value" in wasserstein([0, 5], [1, 5], centres=[0.0, math.nan]).reason
    assert "does not vary" in wasserstein([5, 0], [1, 5], centres=[0.0, 1.0]).reason
    assert wasserstein([5, 0], [0, 5], centres=[0.0, 1.0], sigma=2.0) == 0.5


def test_wilson_of_no_rows_is_undefined():
    assert isinstance(wilson(0, 0), Undefined)
