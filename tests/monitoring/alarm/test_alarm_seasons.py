"""What a day does to a column is no drift, and what happens within a day is noticed all the same."""

from __future__ import annotations

import math

import numpy as np
from tests.monitoring.alarm.columns import MIDNIGHT, Stream, normal, shifted, times

from inprocml.monitoring.verdict import Action, Reference, State, Test


def waving(watched, step=0.0):
    day = (watched.now - MIDNIGHT) / 86400
    return {
        f"x{place}": shifted(0.3 * math.sin(2 * math.pi * (day + place / 4)) + (step if place == 0 else 0))
        for place in range(4)
    }


def waves(watched, blocks, step=0.0):
    return [event for _ in range(blocks) for event in watched.block(**waving(watched, step))]


def stream(**options):
    return Stream(*[normal(f"x{place}", seed=place) for place in range(6)], **options)


def test_a_daily_wave_is_no_drift_and_a_step_at_noon_is():
    watched = stream()
    assert waves(watched, 2 * 1440 + 720) == []
    events = waves(watched, 240, step=1.0)
    assert events[0].action is Action.OPENED
    assert events[0].at - (MIDNIGHT + 2.5 * 86400) <= 2 * 3600
    assert "x0" in {each.name for each in events[0].findings}
    assert {each.name for event in events for each in event.findings} == {"x0"}


def test_a_wave_that_starts_at_its_peak_is_no_drift_either():
    watched = stream(start=MIDNIGHT + 4 * 3600, seed=5)
    assert waves(watched, 1600) == []


def test_missing_values_have_no_season():
    watched = stream()
    assert waves(watched, 1600) == []

    def holed(rng, rows):
        return np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows))

    watched.until_event(8, x0=holed)
    assert watched.events[0].findings[0].test is Test.MISSING


def week(rows=20_000):
    rng = np.random.default_rng(2)
    start = np.datetime64("2023-10-02", "us")
    return start + rng.integers(0, 28 * 86400, rows).astype("m8[s]")


def test_times_of_the_week_are_compared_over_whole_weeks():
    watched = Stream(times("at", week()), normal("x"), block_rows=20, block_seconds=600.0)

    def now(rng, rows):
        return np.datetime64(int(watched.now), "s") + rng.integers(0, 600, rows).astype("m8[s]")

    for _ in range(9 * 144):
        assert watched.block(20, 600.0, at=now) == []

    def at_night(rng, rows):
        return np.datetime64(int(watched.now // 86400 * 86400), "s") + rng.integers(0, 3600, rows).astype(
            "m8[s]"
        )

    for _ in range(15 * 144):
        if watched.block(20, 600.0, at=at_night):
            break
    assert [each.name for each in watched.events[0].findings] == ["at"]


def test_a_clock_that_was_years_ahead_for_a_moment_takes_no_days_away():
    watched = Stream(times("at", week()), normal("x"), block_rows=20, block_seconds=600.0)
    now = {"at": lambda rng, rows: np.datetime64(int(watched.now), "s") + rng.integers(0, 600, rows)}
    for _ in range(5 * 144):
        watched.block(20, 600.0, **now)
    for _ in range(10):
        watched.block(20, 600.0, x=lambda _, rows: np.full(rows, np.nan), **now)
    assert Action.OPENED in {event.action for event in watched.events}
    real = watched.now
    watched.now += 10 * 365 * 86400.0
    watched.block(20, 600.0, **now)
    watched.now = real
    for _ in range(9 * 144):
        watched.block(20, 600.0, **now)
    told = len(watched.events)
    night = {
        "at": lambda rng, rows: (
            np.datetime64(int(watched.now // 86400), "D") + rng.integers(0, 3600, rows).astype("m8[s]")
        )
    }
    for _ in range(15 * 144):
        if watched.block(20, 600.0, **night):
            break
    assert {each.name for event in watched.events[told:] for each in event.findings} == {"at"}


def test_a_feature_that_is_broken_from_the_start_is_said_in_the_first_hours():
    watched = stream()
    watched.blocks(30, x1=lambda _, rows: np.full(rows, np.nan))
    assert [event.action for event in watched.events] == [Action.OPENED]
    assert watched.events[0].findings[0].why.startswith("x1: 100 % missing, 0 % in training")


def test_a_feature_that_is_off_from_the_start_is_said_when_hours_agree_on_it():
    watched = stream()
    taken = watched.until_event(300, x1=shifted(1.5))
    assert taken is not None
    assert 120 <= taken <= 200
    assert [each.name for each in watched.events[0].findings] == ["x1"]


def test_a_small_skew_waits_until_dependence_is_known():
    watched = stream()
    assert watched.until_event(490, x1=shifted(0.2)) is None
    assert watched.alarm.state(Reference.TRAIN, watched.now) is State.WARMING
    assert watched.until_event(40, x1=shifted(0.2)) is not None


def test_an_hour_as_a_number_is_no_broken_feature():
    watched = stream()
    # each hour of the day lies elsewhere, and none where all rows of training lie
    for _ in range(600):
        hour = (watched.now - MIDNIGHT) // 3600 % 24
        assert watched.block(x1=shifted((hour - 11.5) / 7, 0.05)) == []
