"""Wall-clock time of many instants at once, from the same rules as ``datetime.astimezone``.

A zone's offset from UTC is constant over almost every day. For each day that occurs it is asked of the zone
once, at the day's beginning and end, and kept; the instants of a day on which it changes are asked one by
one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPOCH", "FIRST", "LAST", "local", "microseconds"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_DAY = 86_400 * 10**6
_MOST_KEPT = 100_000  # days per zone: some 270 years, a few MB

FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _US
LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _US
"""Microseconds since 1970 of the first and the last ``datetime``."""

_kept: dict[str, dict[int, int | None]] = {}


def microseconds(moment: datetime) -> int:
    """Return microseconds since 1970 of an aware time in UTC, of a naive one on its own clock."""
    since = moment - (EPOCH if moment.tzinfo is not None else EPOCH.replace(tzinfo=None))
    return (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds


def local(utc: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """Return the wall clock's microseconds since 1970 for UTC's; ``OverflowError`` beyond ``datetime``."""
    if not len(utc):
        return utc
    days = utc // _DAY
    distinct, place = _distinct(days)
    kept = _kept.setdefault(zone.key, {})
    if len(kept) > _MOST_KEPT:
        kept.clear()
    offsets = [kept[day] if day in kept else kept.setdefault(day, _offset(day, zone)) for day in distinct]
    if None not in offsets:
        shift: NDArray[np.int64] = np.array(offsets, dtype=np.int64)[place]
        return utc + shift
    known = np.array([0 if offset is None else offset for offset in offsets], dtype=np.int64)[place]
    changing = np.array([offset is None for offset in offsets])[place]
    known[changing] = [_exactly(moment, zone) for moment in utc[changing].tolist()]
    return utc + known


def _distinct(days: NDArray[np.int64]) -> tuple[list[int], NDArray[np.int64]]:
    """The days that occur, and for each element which of them it is."""
    low, high = int(days.min()), int(days.max())
    if high - low > 4 * len(days) + 366:
        found, place = np.unique(days, return_inverse=True)
        return found.tolist(), place
    there = np.zeros(high - low + 1, dtype=np.bool_)
    there[days - low] = True
    return (np.flatnonzero(there) + low).tolist(), (np.cumsum(there) - 1)[days - low]


def _offset(day: int, zone: ZoneInfo) -> int | None:
    """Microseconds from UTC to the zone's clock, if they are the same all day long."""
    try:
        begin, end = _exactly(day * _DAY, zone), _exactly((day + 1) * _DAY, zone)
    except OverflowError:  # the first and the last days that there are
        return None
    return begin if begin == end else None


def _exactly(utc: int, zone: ZoneInfo) -> int:
    moment = (EPOCH + timedelta(microseconds=utc)).astimezone(zone)
    return microseconds(moment.replace(tzinfo=None)) - utc
