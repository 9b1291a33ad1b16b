"""Points in time. An *instant* has an offset and is read in a declared zone; a *wallclock* time has none.

One value is a ``datetime`` with microseconds (finer units are cut off, towards the past), an instant in its
declared zone. A column is ``datetime64[us]``, an instant in UTC. No value is ever given a zone it did not
come with.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import NoneType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from inprocml.schema.columns import Column, Instants, scalars
from inprocml.schema.iso import read_plain
from inprocml.schema.missing import is_missing
from inprocml.schema.refusal import MISSING, Check, Refused, each
from inprocml.schema.zones import EPOCH, FIRST, LAST, microseconds

__all__ = ["moment_check", "moment_column", "moment_of", "zone_named"]

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
    r"(?:Z|[+-][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?"
)
_ZONE = re.compile(r"[A-Za-z0-9_+\-]{1,32}(?:/[A-Za-z0-9_+\-]{1,32}){0,3}")
# found beside the zones on some machines: the machine's own zone, POSIX's default, "never set", other clocks
_MACHINES_OWN = frozenset({"localtime", "posixrules", "factory", "posix", "right"})
_RANGE = "must be a date between the years 1 and 9999"
# attoseconds in a unit; years, months, weeks and days are no times of day
_ATTOSECONDS = {"h": 3600 * 10**18, "m": 60 * 10**18, "s": 10**18, "ms": 10**15, "us": 10**12}
_ATTOSECONDS |= {"ns": 10**9, "ps": 10**6, "fs": 10**3, "as": 1}
_US = 10**12
_NAT = np.datetime64("NaT", "us")
_MARGIN = 2 * 86_400 * 10**6  # near the ends of the calendar the zone decides whether a time can be written


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
    column: Column, check: Check[datetime | None], zone: ZoneInfo | None, *, required: bool
) -> NDArray[np.datetime64]:
    """Return the column as ``datetime64[us]``, instants in UTC, NaT for missing."""
    found = _quickly(column, aware=zone is not None)
    if found is not None and not _doubtful(found, required=required):
        return found
    moments = _distinct_strings(scalars(column), check) or each(check, scalars(column))
    ticks = [_NAT.view(np.int64) if moment is None else microseconds(moment) for moment in moments]
    return np.array(ticks, dtype=np.int64).view("M8[us]")


def moment_of(canonical: np.datetime64, zone: ZoneInfo | None) -> datetime:
    """Return the ``datetime`` of one element of a canonical column, an instant in its zone."""
    moment = EPOCH + timedelta(microseconds=int(canonical.view(np.int64)))
    return moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone)


def _doubtful(found: NDArray[np.datetime64], *, required: bool) -> bool:
    """Whether a value is missing where none may be, or so near the calendar's end that its zone matters."""
    absent = np.isnat(found)
    if absent.any():
        if required:
            return True
        found = found[~absent]
    ticks = found.view(np.int64)
    return bool(len(ticks)) and not (ticks.min() >= FIRST + _MARGIN and ticks.max() <= LAST - _MARGIN)


def _quickly(column: Column, *, aware: bool) -> NDArray[np.datetime64] | None:
    """Read a column of one make as a whole; ``None`` sends it to the judge of single values."""
    if isinstance(column, Instants):
        return _ticks(column.utc) if aware else None
    if isinstance(column, np.ndarray) and column.dtype.kind != "O":
        return None if aware or column.dtype.kind != "M" else _ticks(column)
    return _listed(column if isinstance(column, list) else column.tolist(), aware=aware)


def _listed(values: list[object], *, aware: bool) -> NDArray[np.datetime64] | None:
    kinds = set(map(type, values))
    there = [value for value in values if value is not None] if NoneType in kinds else values
    kinds.discard(NoneType)
    ticks = np.full(len(values), _NAT)
    if not kinds:
        return ticks
    found: Any = None
    if kinds == {str}:
        found = read_plain(there, aware=aware)  # type: ignore[arg-type]
    elif kinds == {datetime}:
        found = _datetimes(there, aware=aware)  # type: ignore[arg-type]
    if found is None:
        return None
    where = slice(None) if there is values else [value is not None for value in values]
    ticks.view(np.int64)[where] = found
    return ticks


def _datetimes(moments: list[datetime], *, aware: bool) -> list[int] | None:
    try:
        if aware:
            since = [moment - EPOCH for moment in moments]  # TypeError for one without an offset
        else:
            if any(moment.tzinfo is not None for moment in moments):
                return None
            since = [moment - EPOCH.replace(tzinfo=None) for moment in moments]
    except (TypeError, OverflowError, ValueError):
        return None
    return [(gap.days * 86_400 + gap.seconds) * 10**6 + gap.microseconds for gap in since]


def _ticks(times: NDArray[np.datetime64]) -> NDArray[np.datetime64] | None:
    """Bring ``datetime64`` of any unit to microseconds, cut off; ``None`` for odd units and years."""
    unit, step = np.datetime_data(times.dtype)
    width = _ATTOSECONDS.get(unit, 0) * step
    absent, ticks = np.isnat(times), times.astype(np.int64)  # not a view: the bytes may be in another order
    if not width:
        return np.full(len(times), _NAT) if absent.all() else None
    if width % _US == 0:
        factor = width // _US
        fine = (ticks >= -(-FIRST // factor)) & (ticks <= LAST // factor) | absent
        with np.errstate(over="ignore"):
            found = ticks * factor
    elif _US % width == 0:
        found = ticks // (_US // width)
        fine = (found >= FIRST) & (found <= LAST) | absent
    else:
        return None
    if not fine.all():
        return None
    return np.where(absent, _NAT, found.view("M8[us]"))


def _read(value: object) -> datetime:
    if type(value) is datetime:
        return value
    try:
        if isinstance(value, str):
            return _parse(value)
        if isinstance(value, np.datetime64):
            return _single(value)
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


def _single(value: np.datetime64) -> datetime:
    """In Python's integers, which cannot overflow."""
    unit, step = np.datetime_data(value.dtype)
    if unit not in _ATTOSECONDS:
        raise Refused("must have a time of day, not only a date")
    since = int(value.view(np.int64)) * _ATTOSECONDS[unit] * step // _US
    if not FIRST <= since <= LAST:
        raise Refused(_RANGE)
    return EPOCH.replace(tzinfo=None) + timedelta(microseconds=since)


def _distinct_strings(values: list[object], check: Check[datetime | None]) -> list[datetime | None] | None:
    if not set(map(type, values)) <= {str, NoneType}:
        return None
    try:
        judged = {value: check(value) for value in set(values)}
    except Refused:
        return None
    return [judged[value] for value in values]
