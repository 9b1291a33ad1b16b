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
_MOST_KEPT = 55_000  # days per zone: some 150 years, half a MB
_CHANGES = 2**62  # in place of an offset: it is not the same all day

FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _US
LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _US
"""Microseconds since 1970 of the first and the last ``datetime``."""

_kept: dict[str, tuple[int, NDArray[np.int64]]] = {}
"""By zone: a day, and the offsets of that day and those that follow; replaced as a whole, never changed."""


def microseconds(moment: datetime) -> int:
    """Return microseconds since 1970 of an aware time in UTC, of a naive one on its own clock."""
    since = moment - (EPOCH if moment.tzinfo is not None else EPOCH.replace(tzinfo=None))
    return (since.days * 86_400 + since.seconds) * 10**6 + since.microseconds


def local(utc: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """Return the wall clock's microseconds since 1970 for UTC's; ``OverflowError`` beyond ``datetime``."""
    if not len(utc):
        return utc
    days = utc // _DAY
    table = _offsets(int(days.min()), int(days.max()), zone, worth=4 * len(days) + 366)
    if table is None:
        distinct, place = np.unique(days, return_inverse=True)
        shift = np.array([_offset(day, zone) for day in distinct.tolist()], dtype=np.int64)[place]
    else:
        first, offsets = table
        shift = offsets[days - first]
    changing = shift == _CHANGES
    if changing.any():
        shift[changing] = [_exactly(moment, zone) for moment in utc[changing].tolist()]
    wall: NDArray[np.int64] = utc + shift
    return wall


def _offsets(low: int, high: int, zone: ZoneInfo, *, worth: int) -> tuple[int, NDArray[np.int64]] | None:
    """Return a day up to ``low`` and the offsets from it to ``high`` or beyond, kept for the next call.

    ``None`` where more days than it is ``worth`` would have to be asked, or too many kept.
    """
    first, known = _kept.get(zone.key, (low, np.empty(0, dtype=np.int64)))
    last = first + len(known) - 1
    if first <= low and high <= last:
        return first, known
    start, end = min(low, first), max(high, last)
    if end - start >= _MOST_KEPT or end - start + 1 - len(known) > worth:
        return None
    before = [_offset(day, zone) for day in range(start, first)]
    after = [_offset(day, zone) for day in range(last + 1, end + 1)]
    found = (start, np.concatenate([np.array(part, np.int64) for part in (before, known, after)]))
    _kept[zone.key] = found
    return found


def _offset(day: int, zone: ZoneInfo) -> int:
    """Microseconds from UTC to the zone's clock, if they are the same all day long."""
    try:
        begin, end = _exactly(day * _DAY, zone), _exactly((day + 1) * _DAY, zone)
    except OverflowError:  # the first and the last days that there are
        return _CHANGES
    return begin if begin == end else _CHANGES


def _exactly(utc: int, zone: ZoneInfo) -> int:
    moment = (EPOCH + timedelta(microseconds=utc)).astimezone(zone)
    return microseconds(moment.replace(tzinfo=None)) - utc
