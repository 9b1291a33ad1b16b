"""The transform that the property tests share, its training rows, and strategies for rows good and bad."""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from inprocml import Category, Hashed, Numeric, Timestamp, Transform

NEW_YORK = ZoneInfo("America/New_York")
PARTS = ("hour", "weekday", "month", "day", "minute")

FIELDS = {
    "plain": Numeric(),
    "median": Numeric(missing="median", scale="standard"),
    "mean": Numeric(missing="mean", scale="minmax", clip=(-5, 5)),
    "constant": Numeric(missing=0.25, log=True),
    "log": Numeric(log=True, clip=(0, 1000), scale="standard"),
    "carrier": Category(min_count=2, missing="slot"),
    "zip": Category(max_categories=3, missing="slot"),
    "origin": Category(),
    "tail": Hashed(buckets=7, missing="slot"),
    "route": Hashed(buckets=16),
    "at": Timestamp(parts=PARTS, timezone="America/New_York", missing="slot"),
    "wall": Timestamp(parts=("hour", "day"), missing="slot"),
}


def training_rows(count=60):
    """Rows that any machine generates alike: integer arithmetic only."""
    start = datetime(2013, 1, 1, 5, tzinfo=UTC)
    return [
        {
            "plain": i * 7 % 13 - 6,
            "median": None if i % 5 == 0 else (i * 37 % 101) / 8,
            "mean": (i * 11 % 29) / 4 - 3,
            "constant": (i * 17 % 50) / 16,
            "log": i * 31 % 997,
            "carrier": None if i % 7 == 0 else ("UA", "AA", "café", "rare" if i == 1 else "B6")[i % 4],
            "zip": None if i % 9 == 0 else (94110, 10001, 60601, 2139)[i * 3 % 4],
            "origin": ("JFK", "LGA", "EWR")[i % 3],
            "tail": None if i % 6 == 0 else f"N{i * 97 % 41:05d}",
            "route": f"{i % 4}->{i % 5}",
            "at": (start + timedelta(hours=37 * i)).isoformat(),
            "wall": (start + timedelta(hours=41 * i)).replace(tzinfo=None).isoformat(),
        }
        for i in range(count)
    ]


def fitted():
    return Transform(FIELDS).fit(training_rows())


MISSING = st.sampled_from(
    [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), np.ma.masked]
)
_finite = st.floats(allow_nan=False, allow_infinity=False)
_float32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
numbers = st.one_of(
    st.floats(-1e6, 1e6),
    st.sampled_from(
        [0.0, -0.0, 5e-324, -1.0, 1e-300, 3.4028235677973366e38, -3.5e38, 1.7976931348623157e308]
    ),
    _finite,
    st.integers(-(2**53), 2**53),
    st.integers(-(2**70), 2**70),
    _float32.map(np.float32),
    st.integers(-128, 127).map(np.int8),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.sampled_from([np.float16(0.1), np.longdouble(0.5), np.float64(2.5)]),
)
text = st.one_of(
    st.sampled_from(
        ["UA", "AA", "us", "US ", "", "café", "cafe\u0301", "?unseen", "?missing", "nan", "\0", "🛫"]
    ),
    st.text(max_size=8),
    st.text(max_size=3).map(np.str_),
)
whole = st.one_of(
    st.sampled_from([94110, 10001, 60601, 2139, np.int64(94110), np.uint8(7)]),
    st.integers(-(2**63), 2**63 - 1),
)
_offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)
_zones = st.sampled_from([UTC, NEW_YORK, ZoneInfo("Asia/Kolkata"), ZoneInfo("Australia/Lord_Howe")])
aware = st.one_of(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=_zones, allow_imaginary=True),
    st.datetimes(datetime(1970, 1, 1), datetime(2040, 1, 1), timezones=_offsets),
)
naive = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))
_stamps = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))
instants = st.one_of(
    aware,
    aware.map(datetime.isoformat),
    aware.map(lambda moment: moment.isoformat(" ", "seconds")),
    _stamps.map(lambda moment: pd.Timestamp(moment, tz="Asia/Kolkata")),
    _stamps.map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        ["2013-03-10T07:30:00.123456789Z", "2013-11-03T01:30:00-05:00", "2013-11-03T01:30:00-04:00"]
    ),
)
wallclocks = st.one_of(
    naive,
    naive.map(datetime.isoformat),
    _stamps.map(pd.Timestamp),
    _stamps.map(lambda moment: np.datetime64(moment, "us")),
    st.integers(-(2**62), 2**62).map(lambda tick: np.datetime64(tick, "ns")),
)
_above = 0
wrong = st.sampled_from(
    [
        True,
        np.True_,
        "1.5",
        "nan",
        float("inf"),
        -np.inf,
        Decimal(1),
        1j,
        [1.0],
        {"a": 1},
        b"UA",
        2**53 + 1,
        2**64,
        10**400,
        "\ud800",
        "x" * 4097,
        date(2013, 1, 1),
        "2013-01-01",
        "2013-02-30T00:00:00Z",
        "2013-01-01T00:00:00+99:00",
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-14))),
        np.datetime64(10**6, "Y"),
        np.datetime64(2**62, "s"),
        np.timedelta64(5, "s"),
        timedelta(1),
        np.array(1.0),
        object(),
    ]
)
GOOD = {
    "plain": numbers,
    "median": numbers | MISSING,
    "mean": numbers | MISSING,
    "constant": numbers.filter(lambda number: number > -1) | MISSING,
    "log": numbers,
    "carrier": text | MISSING,
    "zip": whole | MISSING,
    "origin": text,
    "tail": text | MISSING,
    "route": text,
    "at": instants | MISSING,
    "wall": wallclocks | MISSING,
}


@st.composite
def tables(draw, most=6):
    """Lists of rows, most of them acceptable; any value may be the wrong one, any field absent."""
    rows = draw(st.lists(st.fixed_dictionaries(GOOD), min_size=1, max_size=most))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        row, name = draw(st.sampled_from(rows)), draw(st.sampled_from(list(GOOD)))
        row[name] = draw(wrong | MISSING | st.one_of(*GOOD.values()))
    return rows
