"""The simulator against queueing theory, and against what must hold whatever the numbers are."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocml.sizing import Overhead, Settings, Timing, simulate

ONE_BY_ONE = Settings(max_batch_size=1, max_queue_size=100_000)
SECOND = 0.01  # of service


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8])
def test_one_row_at_a_time_waits_as_in_m_d_1(load):
    """Mean wait of M/D/1 (Pollaczek and Khinchine): load x service / 2 (1 - load)."""
    seen = simulate(Timing.linear(SECOND), ONE_BY_ONE, rate=load / SECOND, requests=40_000, seed=1)
    assert seen.mean_wait == pytest.approx(load * SECOND / (2 * (1 - load)), rel=0.05)
    assert seen.utilisation == pytest.approx(load, rel=0.02)
    assert seen.mean_batch == 1
    assert seen.mean == pytest.approx(seen.mean_wait + SECOND)


def test_service_by_chance_waits_as_in_m_m_1():
    steps = 1000
    exponential = [-SECOND * math.log(1 - (step + 0.5) / steps) for step in range(steps)]
    seen = simulate(Timing({1: exponential}), ONE_BY_ONE, rate=0.5 / SECOND, requests=40_000, seed=2)
    assert seen.mean_wait == pytest.approx(SECOND, rel=0.05)


def test_a_full_queue_refuses_as_in_m_m_1_2():
    """One is served and one waits: of loads by chance, load^2 / (1 + load + load^2) find no room."""
    steps, load = 1000, 0.8
    exponential = [-SECOND * math.log(1 - (step + 0.5) / steps) for step in range(steps)]
    limits = Settings(max_batch_size=1, max_queue_size=1)
    seen = simulate(Timing({1: exponential}), limits, rate=load / SECOND, requests=40_000, seed=3)
    assert seen.refusals == pytest.approx(load**2 / (1 + load + load**2), rel=0.05)


def test_a_lone_caller_computes_itself_and_never_waits():
    seen = simulate(Timing.linear(SECOND), callers=1, think=SECOND, requests=100)
    assert seen.inline == 1
    assert seen.mean_wait == 0
    assert seen.latencies == pytest.approx([SECOND] * 100)
    assert seen.utilisation == pytest.approx(0.5, abs=0.01)


def test_a_device_without_a_price_per_row_serves_all_callers_in_two_turns():
    """All 32 wait while one run is on, at most: nobody waits for more than two runs."""
    seen = simulate(Timing.linear(SECOND), callers=32, requests=6400)
    assert seen.percentile(99) <= 2 * SECOND + 1e-9
    assert seen.rate >= 32 / (2 * SECOND) * 0.95


def test_what_python_costs_is_paid_one_request_after_the_other():
    overhead = Overhead(before=1e-3)
    seen = simulate(Timing.linear(1e-6), rate=2000.0, overhead=overhead, requests=2000)
    assert seen.rate == pytest.approx(1000, rel=0.02)
    seen = simulate(Timing.linear(1e-6), rate=500.0, overhead=overhead, requests=40_000, seed=5)
    assert seen.mean == pytest.approx(1e-3 * (1 + 0.5 / (2 * 0.5)), rel=0.05)  # M/D/1 again


def test_a_delay_is_waited_for_company_and_no_longer():
    limits = Settings(max_queue_delay=0.5)
    seen = simulate(Timing.linear(SECOND), limits, rate=0.1, requests=50)
    assert seen.percentile(50) == pytest.approx(0.5 + SECOND)
    assert seen.inline == 0


def test_an_objective_keeps_waits_short_by_refusing():
    timing, rate = Timing.linear(0.01, 0.001, most=64), 5000.0
    free = simulate(timing, Settings(max_queue_size=4096), rate=rate, requests=3000)
    kept = simulate(timing, Settings(max_queue_size=4096, slo=0.1), rate=rate, requests=3000)
    assert free.refused == 0
    assert kept.refused > 0
    assert kept.percentile(99) < 0.15 < free.percentile(99)


WORLDS = {
    "timing": st.builds(
        lambda a, c, noise: Timing({1: [a + c, (a + c) * noise], 64: [a + 64 * c, (a + 64 * c) * noise]}),
        st.floats(1e-6, 1e-2),
        st.floats(0, 1e-3),
        st.floats(1, 3),
    ),
    "limits": st.builds(
        Settings,
        max_batch_size=st.integers(1, 64),
        max_queue_delay=st.sampled_from([0.0, 0.0, 0.001, 0.02]),
        max_queue_size=st.integers(1, 200),
        slo=st.sampled_from([None, 0.001, 0.05]),
    ),
    "load": st.one_of(
        st.fixed_dictionaries({"rate": st.floats(1, 20_000)}),
        st.fixed_dictionaries({"callers": st.integers(1, 80), "think": st.sampled_from([0.0, 0.001])}),
    ),
    "overhead": st.builds(
        Overhead,
        before=st.floats(0, 1e-4),
        after=st.floats(0, 1e-4),
        call=st.floats(0, 1e-5),
        hand=st.floats(0, 1e-4),
        wake=st.floats(0, 1e-4),
    ),
    "seed": st.integers(0, 5),
}


@given(**WORLDS)
@settings(max_examples=60)
def test_nobody_is_lost_and_nothing_is_quicker_than_the_model(timing, limits, load, overhead, seed):
    seen = simulate(timing, limits, overhead=overhead, requests=300, seed=seed, **load)
    assert seen.arrivals == 300 == seen.answered + seen.refused
    assert len(seen.latencies) == seen.answered
    assert list(seen.latencies) == sorted(seen.latencies)
    if seen.answered:
        assert seen.latencies[0] >= timing.at(1, 0.0) - 1e-9
        assert 1 <= seen.mean_batch <= limits.max_batch_size
    assert 0 <= seen.utilisation <= 1
    assert seen == simulate(timing, limits, overhead=overhead, requests=300, seed=seed, **load)


@given(**WORLDS)
@settings(max_examples=40)
def test_little_s_law(timing, limits, load, overhead, seed):
    """Requests on their way = answers a second x mean latency, but for those refused late in the line."""
    if "callers" not in load:
        limits = Settings(max_batch_size=limits.max_batch_size, max_queue_size=1000)
    seen = simulate(timing, limits, overhead=overhead, requests=300, seed=seed, **load)
    if not seen.refused:
        assert seen.in_system == pytest.approx(seen.rate * seen.mean, rel=1e-6)


@given(st.floats(0.001, 0.01), st.integers(0, 50))
@settings(max_examples=25)
def test_more_load_waits_no_less_one_by_one(service, seed):
    """The same arrivals, only closer together: nobody's wait shrinks, and so the mean does not."""
    timing = Timing.linear(service)
    waits = [
        simulate(timing, ONE_BY_ONE, rate=load / service, requests=500, seed=seed).mean_wait
        for load in (0.2, 0.5, 0.7, 0.9)
    ]
    assert waits == sorted(waits)


def test_more_load_waits_no_less_in_batches_beyond_noise():
    timing = Timing.linear(0.002, 0.0001)
    waits = [simulate(timing, rate=rate, requests=8000, seed=4).mean_wait for rate in (50, 400, 2000, 6000)]
    assert all(more >= 0.95 * less for less, more in itertools.pairwise(waits))


@pytest.mark.parametrize(
    ("load", "complaint"),
    [
        ({}, "one load"),
        ({"rate": 1.0, "callers": 1}, "one load"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"rate": math.nan}, "rate is nan"),
        ({"callers": 0}, "at least 1"),
        ({"callers": 1, "think": -1.0}, "think 0 or more"),
        ({"callers": 1, "requests": 0}, "at least 1"),
    ],
)
def test_a_load_that_is_none_is_refused(load, complaint):
    with pytest.raises(ValueError, match=complaint):
        simulate(Timing.linear(SECOND), **load)


@pytest.mark.parametrize("samples", [{}, {0: [1.0]}, {1: []}, {1: [-1.0]}, {1: [math.inf]}])
def test_times_that_are_none_are_refused(samples):
    with pytest.raises(ValueError, match="samples must"):
        Timing(samples)


def test_times_between_and_beyond_the_measured_sizes():
    timing = Timing({1: [0.011], 10: [0.02]})
    assert timing.at(4) == pytest.approx(0.014)
    assert timing.at(20) == pytest.approx(0.03)
    assert (timing.cost.a, timing.cost.c) == pytest.approx((0.01, 0.001))
    assert Timing({1: [3.0, 1.0, 2.0]}).at(1) == 2.0
    assert Timing({1: [1.0, 3.0]}).at(1, 1.0) == 3.0


def test_the_best_batch_is_the_smallest_within_5_percent():
    timing = Timing({1: [1.0], 2: [1.0], 4: [1.02], 8: [2.0]})
    assert timing.best() == 4
    assert timing.best(2) == 2
