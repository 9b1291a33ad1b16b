"""The cost model against what it is told: exact on exact costs, calm on noise, quick after a change."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocml.batching.cost import Cost

seconds = st.floats(0, 100, allow_nan=False)
sizes = st.integers(1, 512)


@given(st.floats(1e-6, 1), st.floats(0, 0.1), st.lists(sizes, min_size=2, max_size=60))
def test_exact_costs_are_found(a, c, batches):
    cost = Cost()
    for rows in batches:
        cost.observe(rows, a + c * rows)
    if len(set(batches)) > 1:
        assert cost.seconds(100) == pytest.approx(a + 100 * c, rel=1e-3)
    else:
        assert cost.seconds(batches[0]) == pytest.approx(a + c * batches[0])


@given(st.lists(st.tuples(sizes, seconds), max_size=80))
def test_nothing_observed_makes_a_cost_negative_or_infinite(runs):
    cost = Cost()
    for rows, took in runs:
        cost.observe(rows, took)
    assert 0 <= cost.a < math.inf
    assert 0 <= cost.c < math.inf
    assert 0 <= cost.sigma < math.inf
    assert cost.seconds(2) <= cost.seconds(3)


@pytest.mark.parametrize("broken", [-1.0, math.inf, math.nan])
def test_what_no_clock_measures_is_ignored(broken):
    cost = Cost()
    cost.observe(1, 0.5)
    cost.observe(1, broken)
    assert cost.samples == 1
    assert cost.seconds(1) == 0.5


def test_before_anything_is_known_nothing_costs():
    assert Cost().seconds(64) == 0.0
    assert not Cost().settled


def test_a_single_size_says_nothing_of_company():
    cost = Cost()
    for _ in range(100):
        cost.observe(1, 0.002)
    assert cost.c == 0
    cost.observe(64, 0.015)
    assert 0 < cost.c < 0.002


def test_noise_is_averaged_and_sigma_tells_of_it():
    rng = random.Random(3)
    cost = Cost()
    for _ in range(2000):
        rows = rng.randint(1, 64)
        cost.observe(rows, max(0.0, 0.002 + 0.0003 * rows + rng.gauss(0, 0.0005)))
    assert cost.seconds(32) == pytest.approx(0.0116, rel=0.05)
    assert cost.sigma == pytest.approx(0.0005, rel=0.3)


def test_a_slower_device_is_noticed_within_a_hundred_batches():
    rng = random.Random(4)
    cost = Cost()
    for factor in (1, 3):
        for _ in range(150):
            rows = rng.randint(1, 64)
            cost.observe(rows, factor * (0.002 + 0.0003 * rows))
    assert cost.seconds(32) == pytest.approx(3 * 0.0116, rel=0.1)


def test_one_hiccup_is_capped():
    calm, struck = Cost(), Cost()
    for k in range(50):
        for cost in (calm, struck):
            cost.observe(1 + k % 8, 0.001 * (2 + k % 8))
    struck.observe(4, 600.0)  # the laptop was closed
    assert struck.seconds(4) < 2 * calm.seconds(4)


def test_an_estimate_of_slow_first_runs_is_given_up_as_soon_as_runs_are_quick():
    cost = Cost()
    for _ in range(10):
        cost.observe(1, 10.0)  # pages came from disk
    for _ in range(4):
        cost.observe(1, 0.005)
    assert cost.seconds(1) < 0.02
    assert cost.sigma < 0.02


@pytest.mark.parametrize("forgetting", [0, -0.1, 1.1])
def test_forgetting_is_a_share(forgetting):
    with pytest.raises(ValueError, match="forgetting"):
        Cost(forgetting)


def test_what_other_sizes_cost_is_not_forgotten_while_all_batches_are_alike():
    rng = random.Random(5)
    cost = Cost()
    for rows in (1, 2, 16, 32) * 4:
        cost.observe(rows, 0.002 + 0.0002 * rows)
    for _ in range(5000):
        rows = rng.choice([30, 31, 32])
        cost.observe(rows, (0.002 + 0.0002 * rows) * rng.uniform(0.95, 1.05))
    assert cost.a == pytest.approx(0.002, rel=0.2)
    assert cost.c == pytest.approx(0.0002, rel=0.1)


def test_sizes_are_forgotten_when_there_are_too_many():
    cost = Cost()
    for rows in range(1, 1000):
        cost.observe(rows, 0.01 + 0.0001 * rows)
    assert len(cost._points) <= 256
    assert cost.seconds(500) == pytest.approx(0.06, rel=0.01)
