"""Advice: the right settings for devices whose answer is known, and words that fit."""

from __future__ import annotations

import json

import pytest
from tests.sizing.kit import Echo

from inprocml.sizing import (
    Measured,
    Objective,
    Overhead,
    Settings,
    Timing,
    bench,
    recommend,
    simulate,
)


def device(timing, overhead=None):
    return Measured(name="m", backend="fake", device="cpu", timing=timing, overhead=overhead or Overhead())


def linear(a, c):
    return Timing({size: [a + c * size] for size in (1, 2, 4, 8, 16, 32, 64)})


def test_an_objective_that_holds_is_met_and_simulating_it_again_agrees():
    measured = device(linear(0.005, 0.0005))
    objective = Objective(slo=0.05, rate=500.0)
    advice = recommend(measured, objective)
    assert advice.met
    assert advice.needed == ()
    assert advice.limit >= 500
    again = simulate(measured.timing, advice.settings, rate=500.0, requests=3000)
    assert again == advice.expected
    assert again.percentile(99) <= 0.05


def test_batches_that_gain_nothing_are_not_advised():
    """From 4 rows on this device takes twice as long for twice as many."""
    timing = Timing({1: [0.01], 2: [0.01], 4: [0.01], 8: [0.02], 16: [0.04], 32: [0.08]})
    advice = recommend(device(timing), Objective(rate=100.0))
    assert advice.settings.max_batch_size == 4
    assert "Batches beyond 4 rows gain 0% (of 32) and take 70 ms longer." in advice.why


def test_large_batches_are_advised_where_they_cost_the_objective_nothing():
    advice = recommend(device(linear(0.01, 0.00001)), Objective(slo=0.1, rate=100.0))
    assert advice.settings.max_batch_size == 64
    assert advice.settings.max_queue_delay == 0


def test_more_than_one_process_can_do_is_not_met_and_says_how_many_can():
    advice = recommend(device(linear(0.01, 0.001)), Objective(slo=0.1, rate=5000.0))
    assert not advice.met
    (needed,) = advice.needed
    processes = -int(-5000 // advice.limit)
    assert f"take {processes} processes" in needed


def test_a_row_that_is_too_slow_alone_is_not_met_by_any_setting():
    advice = recommend(device(linear(0.1, 0.001)), Objective(slo=0.05, rate=1.0))
    assert not advice.met
    assert "One request alone takes 101 ms (p99): no setting helps." in advice.needed[0]
    assert "2 times as fast" in advice.needed[0]


def test_what_python_alone_takes_no_model_can_mend():
    advice = recommend(device(linear(1e-6, 0), Overhead(before=0.01)), Objective(slo=0.005, rate=1.0))
    assert not advice.met
    assert "Python alone takes 10 ms of a request" in advice.needed[0]


def test_python_as_the_limit_is_told():
    advice = recommend(device(linear(1e-4, 1e-7), Overhead(hand=1e-4)), Objective(rate=100.0))
    assert any("Python (100 us a request) is the limit here" in line for line in advice.why)


def test_an_objective_for_the_queue_is_not_praised_where_rows_wait_elsewhere():
    quick = device(linear(1e-5, 1e-6), Overhead(before=1e-4, hand=1e-4))
    advice = recommend(quick, Objective(slo=0.02, rate=200.0))
    assert any("wait for Python, not in the queue" in line for line in advice.why)
    assert not any("refuses at once" in line for line in advice.why)
    slow = recommend(device(linear(0.0025, 0.0003)), Objective(slo=0.05, rate=500.0))
    assert any("refuses at once" in line for line in slow.why)


def test_callers_in_a_closed_loop():
    measured = device(linear(0.01, 0.0001))
    advice = recommend(measured, Objective(slo=0.05, callers=32))
    assert advice.met
    assert advice.limit >= 32
    crowded = recommend(measured, Objective(slo=0.0115, callers=100))
    assert not crowded.met
    assert "callers" in crowded.needed[0]


def test_without_a_load_half_of_what_can_be_done_is_assumed():
    advice = recommend(device(linear(0.001, 0.0)))
    assert advice.met
    assert advice.objective.rate == pytest.approx(advice.limit / 2, rel=0.2)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"percentile": 100.0}, "percentile is 100.0"),
        ({"slo": 0.0}, "slo is 0.0"),
        ({"rate": float("inf")}, "rate is inf"),
        ({"callers": 0}, "callers is 0"),
        ({"rate": 1.0, "callers": 1}, "give one of them"),
    ],
)
def test_an_objective_that_is_none_is_refused(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        Objective(**arguments)


def test_settings_are_those_of_a_runner():
    with pytest.raises(ValueError, match="max_batch_size is 0"):
        Settings(max_batch_size=0)
    assert str(Settings(slo=0.05)).endswith("max_queue_size=1024, slo_ms=50")


def test_a_bench_measures_advises_and_tries():
    report = bench(Echo(), Objective(slo=5.0, rate=50.0), max_batch_size=8, seconds=1.0)
    assert report.met
    loads = [point.load for point in report.points]
    assert loads == ["closed loop", "10%", "50%", "90%", "stated"]
    assert all(point.seen is not None and point.seen.answered > 0 for point in report.points)
    told = report.to_dict()
    json.dumps(told, allow_nan=False)
    assert told["met"] is True
    assert told["points"][1]["measured"]["p50"] > 0
    text = report.text(width=70, ascii_only=True)
    assert text.isascii()
    assert "objective: p99 within 5e+03 ms at 50 requests/s" in text
    assert "use: max_batch_size=" in text
    assert report.svg().startswith("<svg ")
