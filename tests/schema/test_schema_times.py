"""Points in time: zones, changes of the clock, the ends of the calendar, every spelling."""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from inprocml.schema import Field, Refused

NEW_YORK = ZoneInfo("America/New_York")
INSTANT = Field("t", "instant", timezone="America/New_York")
WALL = Field("t", "wallclock", required=False)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("2013-01-31T05:00Z", "2013-01-31T00:00:00-05:00"),
        ("2013-01-31 05:00:00+00:00", "2013-01-31T00:00:00-05:00"),
        ("2013-07-31T05:00:00.5-07:00", "2013-07-31T08:00:00.500000-04:00"),
        ("2013-07-31T05:00:00.123456789Z", "2013-07-31T01:00:00.123456-04:00"),
        ("1850-01-01T00:00:00-04:56:02", "1850-01-01T00:00:00-04:56:02"),
        ("2013-11-03T01:30:00-04:00", "2013-11-03T01:30:00-04:00"),
        ("2013-11-03T01:30:00-05:00", "2013-11-03T01:30:00-05:00"),
    ],
)
def test_iso_strings(text, rendered):
    assert INSTANT.render(INSTANT.check(text)) == rendered
    assert INSTANT.render(INSTANT.check(rendered)) == rendered
    assert INSTANT.render(INSTANT.check_column([text])[0]) == rendered


@pytest.mark.parametrize(
    "text",
    [
        "2013-01-31",
        "20130131T050000Z",
        "2013-W05-4T05:00Z",
        "2013-01-31T05Z",
        "2013-01-31T05:00:00,5Z",
        "2013-01-31T05:00:00.1234567890Z",
        "2013-01-31T24:00:00Z",
        "2013-01-31T23:59:60Z",
        "2013-02-29T00:00:00Z",
        "2013-01-31T05:00z",
        "2013-01-31t05:00Z",
        "2013-01-31T05:00:00+0500",
        "2013-01-31T05:00:00+24:00",
        "0000-01-31T05:00:00Z",
        "12013-01-31T05:00:00Z",
        " 2013-01-31T05:00:00Z",
        "2013-01-31T05:00:00Z\n",
        "\u0662\u0660\u0661\u0663-01-31T05:00:00Z",
        "",
    ],
)
def test_strings_that_are_refused(text):
    for field in (INSTANT, WALL):
        with pytest.raises(Refused):
            field.check(text)
        with pytest.raises(Refused):
            field.check_column([text])


def test_a_wall_time_that_never_was_reads_as_the_instant_it_names():
    skipped = datetime(2013, 3, 10, 2, 30, tzinfo=NEW_YORK)
    by_way_of_utc = skipped.astimezone(UTC)
    assert INSTANT.check(skipped) == INSTANT.check(by_way_of_utc)
    assert INSTANT.check(skipped).hour == INSTANT.check(by_way_of_utc).hour == 3


def test_both_readings_of_a_repeated_hour_are_kept():
    first, second = (datetime(2013, 11, 3, 1, 30, tzinfo=NEW_YORK, fold=fold) for fold in (0, 1))
    assert [INSTANT.render(INSTANT.check(moment))[-6:] for moment in (first, second)] == ["-04:00", "-05:00"]
    column = INSTANT.check_column(pd.Series([pd.Timestamp(first), pd.Timestamp(second)]))
    assert [INSTANT.render(moment)[-6:] for moment in column] == ["-04:00", "-05:00"]


@pytest.mark.parametrize(
    "value",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-23))),
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59:59-10:00",
    ],
)
def test_the_ends_of_the_calendar_are_an_issue(value):
    with pytest.raises(Refused, match="between the years 1 and 9999"):
        INSTANT.check(value)
    with pytest.raises(Refused, match="between the years 1 and 9999"):
        INSTANT.check_column([value])


@pytest.mark.parametrize("unit", ["Y", "s", "ms"])
def test_numpy_times_beyond_the_calendar_are_an_issue(unit):
    with pytest.raises(Refused):
        WALL.check(np.datetime64(2**60, unit))
    with pytest.raises(Refused) as caught:
        WALL.check_column(np.array([0, 2**60], dtype=f"M8[{unit}]"))
    assert caught.value.count == (2 if unit == "Y" else 1)


def test_pandas_times_beyond_the_calendar_are_an_issue():
    far = np.array(["20000-01-01"], dtype="M8[s]")
    with pytest.raises(Refused, match="years"):
        WALL.check_column(pd.Series(far))
    with pytest.raises(Refused, match="years"):
        INSTANT.check_column(pd.Series(far).dt.tz_localize("UTC"))
    with pytest.raises(Refused, match="years"):
        WALL.check(pd.Timestamp(far[0]))


def test_before_the_epoch_is_cut_towards_the_past():
    expected = datetime(1969, 12, 31, 23, 59, 59, 999_999)
    just_before = np.datetime64(-1, "ns")
    assert WALL.check(just_before) == expected
    assert WALL.check(pd.Timestamp(just_before)) == expected
    assert WALL.check_column(np.array([just_before]))[0] == expected
    assert WALL.check_column(pd.Series([just_before]))[0] == expected


def test_subclasses_become_plain_datetimes():
    class Later(datetime):
        pass

    class Own(tzinfo):
        def utcoffset(self, moment):
            return timedelta(hours=1)

        def dst(self, moment):
            return None

    assert type(WALL.check(Later(2013, 1, 1))) is datetime
    assert type(WALL.check(pd.Timestamp(2013, 1, 1))) is datetime
    assert INSTANT.check(datetime(2013, 1, 1, 1, tzinfo=Own())) == datetime(2013, 1, 1, tzinfo=UTC)


def test_a_zone_that_gives_no_offset_is_none():
    class Nowhere(tzinfo):
        def utcoffset(self, moment):
            return None

        def dst(self, moment):
            return None

    moment = datetime(2013, 1, 1, tzinfo=Nowhere())
    assert WALL.check(moment) == datetime(2013, 1, 1)
    with pytest.raises(Refused, match="UTC offset"):
        INSTANT.check(moment)


def test_missing_times():
    assert WALL.check_column(np.array(["NaT", "2013-01-01T00"], dtype="M8[us]")).tolist()[0] is None
    assert WALL.check_column(np.array(["NaT"], dtype="M8")).tolist() == [None]
    assert WALL.check_column(pd.Series([None, None])).tolist() == [None, None]
    with pytest.raises(Refused, match="is missing") as caught:
        INSTANT.check_column(pd.Series(["2013-01-01T00:00Z", None], dtype="datetime64[ns, UTC]"))
    assert (caught.value.row, caught.value.count) == (1, 1)
