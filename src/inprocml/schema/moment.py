"""Points in time. An *instant* has an offset and is read in a declared zone; a *wallclock* time has none.

Everything is a ``datetime`` with microseconds (finer units are cut off, towards the past). No value is ever
given a zone it did not come with.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import NoneType
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.columns import Column, Instants, scalars
from inprocml.schema.missing import is_missing
from inprocml.schema.refusal import MISSING, Check, Refused, each

__all__ = ["moment_check", "moment_column", "zone_named"]

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?"
)
_ZONE = re.compile(r"[A-Za-z0-9_+\-]{1,32}(?:/[A-Za-z0-9_+\-]{1,32}){0,3}")
# found beside the zones on some machines: the machine's own zone, POSIX's default, "never set", other clocks
_MACHINES_OWN = frozenset({"localtime", "posixrules", "factory", "posix", "right"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_RANGE = "must be a date between the years 1 and 9999"
# attoseconds in a unit; years, months, weeks and days are no times of day
_ATTOSECONDS = {"h": 3600 * 10**18, "m": 60 * 10**18, "s": 10**18, "ms": 10**15, "us": 10**12}
_ATTOSECONDS |= {"ns": 10**9, "ps": 10**6, "fs": 10**3, "as": 1}


def zone_named(name: object) -> ZoneInfo:
    """Return the zone of an IANA name; ``ValueError`` for what names none, ``LookupError`` if not known."""
    if not isinstance(name, str) or not _ZONE.fullmatch(name):
        raise ValueError("a time zone is an IANA name such as 'America/New_York'")
    if name.partition("/")[0].casefold() in _MACHINES_OWN:
        raise ValueError(
            f"time zone {name!r} is not the same on every machine: use an IANA name such as "
            "'America/New_York'"
        )
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise LookupError(
            f"time zone {name!r} is not known on this machine: check the spelling, or install tzdata"
        ) from None


def moment_check(zone: ZoneInfo | None, *, required: bool) -> Check[datetime | None]:
    """Return the judge of one point in time: aware, converted to ``zone``; naive, where that is ``None``."""

    def check(value: object) -> datetime | None:
        kind = type(value)
        if kind is not str and kind is not datetime and is_missing(value):
            if required:
                raise Refused(MISSING)
            return None
        moment = _read(value)
        try:
            offset = moment.utcoffset()
            if zone is None:
                if offset is not None:
                    raise Refused("must have no UTC offset: the field is declared without a time zone")
                return moment.replace(tzinfo=None, fold=0)
            if offset is None:
                raise Refused("must have a UTC offset (or Z): the field is declared with a time zone")
            # by way of UTC, so that a wall time that never was reads like the instant that it names
            return (moment.astimezone(UTC) if moment.tzinfo is zone else moment).astimezone(zone)
        except (OverflowError, ValueError):
            raise Refused(_RANGE) from None

    return check


def moment_column(
    column: Column, check: Check[datetime | None], zone: ZoneInfo | None
) -> NDArray[np.object_]:
    """Return the column as ``datetime`` objects, ``None`` for missing; distinct values are read once."""
    times = column.utc if isinstance(column, Instants) else column
    aware = isinstance(column, Instants)
    if isinstance(times, np.ndarray) and times.dtype.kind == "M" and aware == (zone is not None):
        found = _distinct_times(times, check, zone)
        if found is not None:
            return found
    values = scalars(column)
    out = np.empty(len(values), dtype=object)
    out[:] = _distinct_strings(values, check) or each(check, values)
    return out


def _read(value: object) -> datetime:
    if type(value) is datetime:
        return value
    try:
        if isinstance(value, str):
            return _parse(value)
        if isinstance(value, np.datetime64):
            (moment,) = _datetimes(np.asarray([value]), aware=False)
            assert moment is not None  # NaT is missing, and was seen to
            return moment
        if isinstance(value, datetime):  # a pandas Timestamp is one, with nanoseconds and rules of its own
            day = (value.year, value.month, value.day, value.hour, value.minute)
            return datetime(*day, value.second, value.microsecond, tzinfo=value.tzinfo, fold=value.fold)
    except (OverflowError, ValueError):
        raise Refused(_RANGE) from None
    raise Refused(f"must be a date and time, or an ISO 8601 string of one, not {type(value).__name__}")


def _parse(text: str) -> datetime:
    if not _ISO.fullmatch(text):
        raise Refused(
            "must be an ISO 8601 date and time such as 2013-01-31T05:00:00, and -05:00 after it if the field "
            "has a time zone"
        )
    try:
        return datetime.fromisoformat(str.__str__(text))
    except ValueError:
        raise Refused("must be a date and time that exists in the calendar") from None


def _distinct_times(
    times: NDArray[np.datetime64], check: Check[datetime | None], zone: ZoneInfo | None
) -> NDArray[np.object_] | None:
    distinct, place = np.unique(times, return_inverse=True)
    out = np.empty(len(distinct), dtype=object)
    try:
        out[:] = [check(moment) for moment in _datetimes(distinct, aware=zone is not None)]
    except Refused:  # which row it is, the judge of single values says
        return None
    taken: NDArray[np.object_] = out[place]
    return taken


def _distinct_strings(values: list[object], check: Check[datetime | None]) -> list[datetime | None] | None:
    if not set(map(type, values)) <= {str, NoneType}:
        return None
    try:
        judged = {value: check(value) for value in set(values)}
    except Refused:
        return None
    return [judged[value] for value in values]


def _datetimes(times: NDArray[np.datetime64], *, aware: bool) -> list[datetime | None]:
    """Turn datetime64 of any unit into ``datetime``, in Python's integers, which cannot overflow."""
    unit, step = np.datetime_data(times.dtype)
    if unit not in _ATTOSECONDS and not np.isnat(times).all():
        raise Refused("must have a time of day, not only a date")
    width = _ATTOSECONDS.get(unit, 0) * step
    ticks = zip(times.astype(np.int64).tolist(), np.isnat(times).tolist(), strict=True)
    epoch = _EPOCH if aware else _EPOCH.replace(tzinfo=None)
    return [None if absent else _since(epoch, tick * width // 10**12) for tick, absent in ticks]


def _since(epoch: datetime, microseconds: int) -> datetime:
    if not _FIRST <= microseconds <= _LAST:
        raise Refused(_RANGE)
    return epoch + timedelta(microseconds=microseconds)
