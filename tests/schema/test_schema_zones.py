"""Times read and converted as a whole mean what ``datetime`` says of each, in every zone there is."""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inprocml.schema import Field, Refused
from inprocml.schema.iso import read_plain
from inprocml.schema.moment import zone_named
from inprocml.schema.zones import EPOCH, local, microseconds

DAY = 86_400


def accepted():
    names = []
    for name in sorted(available_timezones()):
        try:
            names.append(zone_named(name).key)
        except ValueError:
            continue
    return names


ZONES = accepted()


def transitions(name):
    """Seconds since 1970 at which a zone's clock changes, straight from its file (RFC 8536)."""
    with _opened(name) as file:
        content = file.read()
    assert content[:4] == b"TZif"
    first = struct.unpack(">6l", content[20:44])
    skipped = 44 + _length(first, 4)
    second = struct.unpack(">6l", content[skipped + 20 : skipped + 44])
    return struct.unpack_from(f">{second[3]}q", content, skipped + 44)


def _length(counts, width):
    standard, utc, leaps, times, kinds, letters = (
        counts[1],
        counts[0],
        counts[2],
        counts[3],
        counts[4],
        counts[5],
    )
    return times * (width + 1) + kinds * 6 + letters + leaps * (width + 4) + standard + utc


def _opened(name):
    for folder in TZPATH:
        if (Path(folder) / name).is_file():
            return (Path(folder) / name).open("rb")
    return (files("tzdata") / "zoneinfo" / name).open("rb")


def wall(seconds, zone):
    moment = (EPOCH + timedelta(seconds=seconds)).astimezone(zone)
    return microseconds(moment.replace(tzinfo=None))


@pytest.mark.parametrize("part", range(8))
def test_every_zone_around_every_change_of_its_clock(part):
    draw = random.Random(part)
    checked = 0
    for name in ZONES[part::8]:
        zone = ZoneInfo(name)
        changes = [when for when in transitions(name) if abs(when) < 60 * 10**9]
        some = draw.sample(changes, min(len(changes), 12))
        seconds = [when + gap for when in some for gap in (-DAY, -1, 0, 1, 3600, DAY)]
        seconds += [draw.randint(-(10**10), 10**10) for _ in range(10)]
        found = local(np.array(seconds, dtype=np.int64) * 10**6, zone)
        assert found.tolist() == [wall(second, zone) for second in seconds], name
        checked += len(some)
    assert checked > 100


def test_no_clock_is_changed_and_changed_back_within_a_day():
    """What ``local`` relies on when it asks for the offset at a day's two ends only."""
    seen = 0
    for name in ZONES:
        changes = transitions(name)
        for first, second in pairwise(changes):
            if first // DAY == second // DAY:
                zone = ZoneInfo(name)
                start = first // DAY * DAY
                offsets = [wall(when, zone) - when * 10**6 for when in (start, first, second, start + DAY)]
                assert offsets[0] != offsets[3] or len(set(offsets)) == 1, name
        seen += len(changes)
    assert seen > 10_000


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "Africa/Monrovia", "UTC"])
def test_days_far_apart_and_the_ends_of_the_calendar(zone):
    zone = ZoneInfo(zone)
    seconds = [-60 * 10**9, 0, 250 * 10**9, 1_600_000_000, -(10**9)]
    for some in (seconds, seconds[:1], seconds[1:2], seconds[3:], seconds[::-1]):
        assert local(np.array(some) * 10**6, zone).tolist() == [wall(second, zone) for second in some]
    with pytest.raises(OverflowError):
        local(np.array([microseconds(datetime.max.replace(tzinfo=UTC)) + DAY * 10**6 * 3]), zone)


_moments = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)).map(
    lambda moment: moment.replace(microsecond=0)
)
_mutations = st.tuples(st.integers(0, 24), st.sampled_from("0123456789-+:TZ ٣a"))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(_moments, min_size=1, max_size=4),
    st.sampled_from(["", "Z", "+05:30", "-11:00", "+00:00", "+24:00", "+05:60"]),
    st.lists(_mutations, max_size=2),
    st.sampled_from(["T", " "]),
)
@example([datetime(2013, 2, 28)], "Z", [(9, "9")], "T")
@example([datetime(2012, 2, 29)], "Z", [], "T")
@example([datetime(1900, 2, 28)], "", [(8, "2"), (9, "9")], "T")
@example([datetime(2013, 1, 1)], "", [(11, "2"), (12, "4")], "T")
def test_strings_read_as_a_whole_are_those_read_one_by_one(moments, offset, changes, between):
    values = [moment.isoformat(between) + offset for moment in moments]
    for place, letter in changes:
        values[0] = values[0][:place] + letter + values[0][place + 1 :]
    for aware in (False, True):
        found = read_plain(values, aware=aware)
        field = Field("t", "instant", timezone="UTC") if aware else Field("t", "wallclock")
        if found is None:
            continue
        assert found.tolist() == [microseconds(field.check(value)) for value in values]


def test_columns_of_strings_say_which_row_is_refused():
    field = Field("t", "instant", timezone="America/New_York")
    good = ["2013-07-01T12:00:00Z"] * 5
    assert field.check_column(good).tolist() == [datetime(2013, 7, 1, 12)] * 5
    for bad in ("2013-07-01T12:00:00", "2013-02-30T12:00:00Z", "2013-07-01", "", "0001-01-01T00:00:00Z"):
        with pytest.raises(Refused) as caught:
            field.check_column([*good, bad, bad])
        assert (caught.value.row, caught.value.count) == (5, 2)
