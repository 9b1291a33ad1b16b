"""The payment's features written by hand: what the transform must keep up with, and give the bytes of.

Written as for one model and one row: every field spelt out, everything learnt bound beforehand, one-hot
features copied from ready bytes, the usual row taken straight and every other one to ``_careful``, which
knows all the rules and reports all issues. It is fitted here too, from the rows and not from the transform.
"""

from __future__ import annotations

import math
import re
import struct
import sys
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from statistics import median
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import murmurhash3_32

from benchmarks import payments
from benchmarks.payments import AMOUNT, AT, BINS, BUCKETS, CATEGORIES, FIELDS, MERCHANT, NUMBERS, ZONE

__all__ = ["Learnt", "Rejected", "columns", "learn", "strict", "unchecked"]

Row: TypeAlias = dict[str, Any]
Features: TypeAlias = NDArray[np.float32]

_EXACT, _LARGEST, _LONGEST = 2**53, sys.float_info.max, 4096
_SAFE = 1e38  # a sum of features below this has neither NaN nor infinity in it
_PACK = struct.Struct(f"={len(NUMBERS)}f").pack
_FLOAT32 = np.dtype(np.float32)
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d(:\d\d)?)", re.ASCII)
_KNOWN = frozenset(FIELDS)


class Rejected(ValueError):
    """A row that breaks the rules: ``issues`` holds every bad field's reason."""

    def __init__(self, issues: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in issues.items()))
        self.issues = issues


@dataclass(frozen=True)
class Learnt:
    """What training rows taught: fills, means and divisors in field order, bin edges, categories."""

    fills: tuple[float, ...]
    means: tuple[float, ...]
    divisors: tuple[float, ...]
    edges: tuple[float, ...]
    categories: dict[str, tuple[str, ...]]

    @property
    def width(self) -> int:
        """The number of features."""
        return len(NUMBERS) + BINS + sum(len(known) + 1 for known in self.categories.values()) + BUCKETS + 5


def learn(rows: list[Row]) -> Learnt:
    """Fit on training rows: exact sums, frequent categories, edges between the bins of the raw amount."""
    fills, means, divisors = [], [], []
    for name in NUMBERS:
        fill = float(median(row[name] for row in rows if row[name] is not None))
        values = [fill if row[name] is None else float(row[name]) for row in rows]
        mean = math.fsum(values) / len(values)
        means.append(mean)
        divisors.append(math.sqrt(math.fsum((x - mean) * (x - mean) for x in values) / len(values)))
        fills.append(fill)
    categories = {}
    for name in CATEGORIES:
        counts = Counter(row[name] for row in rows)
        categories[name] = tuple(sorted(v for v, n in counts.items() if n >= payments.MIN_COUNT))
    return Learnt(tuple(fills), tuple(means), tuple(divisors), _edges(rows), categories)


def strict(learnt: Learnt) -> Callable[[Row], Features]:
    """Return the function of one row, all checks in it; ``Rejected`` for a row that breaks a rule."""
    f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 = learnt.fills
    m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 = learnt.means
    d0, d1, d2, d3, d4, d5, d6, d7, d8, d9 = learnt.divisors
    edges, bins = learnt.edges, _one_hot(BINS)
    country, plan, channel, device, currency = (_table(learnt.categories[name]) for name in CATEGORIES)
    hours, days, zone = _hours(), _days(), ZoneInfo(ZONE)
    width, join, array, read = learnt.width, bytearray().join, np.ndarray, datetime.fromisoformat

    def encode(row: Row) -> Features:  # noqa: PLR0911, PLR0912 - spelt out: that is the point
        try:
            if len(row) != 18 or type(row) is not dict:
                return _careful(learnt, row)
            n0, n1, n2, n3 = row["age_days"], row["balance"], row["credit_limit"], row["items"]
            n4, n5, n6 = row["basket_max"], row["visits_30d"], row["paid_30d"]
            n7, n8, n9 = row["distance_km"], row["typing_ms"], row["trust"]
            if type(n0) is not float:
                if n0 is None:
                    n0 = f0
                elif type(n0) is not int or not -_EXACT <= n0 <= _EXACT:
                    return _careful(learnt, row)
            if type(n1) is not float:
                if n1 is None:
                    n1 = f1
                elif type(n1) is not int or not -_EXACT <= n1 <= _EXACT:
                    return _careful(learnt, row)
            if type(n2) is not float:
                if n2 is None:
                    n2 = f2
                elif type(n2) is not int or not -_EXACT <= n2 <= _EXACT:
                    return _careful(learnt, row)
            if type(n3) is not float:
                if n3 is None:
                    n3 = f3
                elif type(n3) is not int or not -_EXACT <= n3 <= _EXACT:
                    return _careful(learnt, row)
            if type(n4) is not float:
                if n4 is None:
                    n4 = f4
                elif type(n4) is not int or not -_EXACT <= n4 <= _EXACT:
                    return _careful(learnt, row)
            if type(n5) is not float:
                if n5 is None:
                    n5 = f5
                elif type(n5) is not int or not -_EXACT <= n5 <= _EXACT:
                    return _careful(learnt, row)
            if type(n6) is not float:
                if n6 is None:
                    n6 = f6
                elif type(n6) is not int or not -_EXACT <= n6 <= _EXACT:
                    return _careful(learnt, row)
            if type(n7) is not float:
                if n7 is None:
                    n7 = f7
                elif type(n7) is not int or not -_EXACT <= n7 <= _EXACT:
                    return _careful(learnt, row)
            if type(n8) is not float:
                if n8 is None:
                    n8 = f8
                elif type(n8) is not int or not -_EXACT <= n8 <= _EXACT:
                    return _careful(learnt, row)
            if type(n9) is not float:
                if n9 is None:
                    n9 = f9
                elif type(n9) is not int or not -_EXACT <= n9 <= _EXACT:
                    return _careful(learnt, row)
            n0, n1, n2, n3, n4 = (
                (n0 - m0) / d0,
                (n1 - m1) / d1,
                (n2 - m2) / d2,
                (n3 - m3) / d3,
                (n4 - m4) / d4,
            )
            n5, n6, n7, n8, n9 = (
                (n5 - m5) / d5,
                (n6 - m6) / d6,
                (n7 - m7) / d7,
                (n8 - m8) / d8,
                (n9 - m9) / d9,
            )
            amount, merchant, at = row["amount"], row["merchant"], row["at"]
            if (
                not -_SAFE < n0 + n1 + n2 + n3 + n4 + n5 + n6 + n7 + n8 + n9 < _SAFE
                or not (type(amount) is float or (type(amount) is int and -_EXACT <= amount <= _EXACT))
                or not -_LARGEST <= amount <= _LARGEST
                or type(merchant) is not str
                or len(merchant) > 64
                or type(at) is not str
                or len(at) != 20
                or not at[7] == "-" == at[4]
                or at[10] != "T"
                or at[13] != ":"
                or at[19] != "Z"
            ):
                return _careful(learnt, row)
            local = read(at).astimezone(zone)
            parts = (
                _PACK(n0, n1, n2, n3, n4, n5, n6, n7, n8, n9),
                bins[bisect_right(edges, amount)],
                country.get(row["country"]) or _other(row["country"], country),
                plan.get(row["plan"]) or _other(row["plan"], plan),
                channel.get(row["channel"]) or _other(row["channel"], channel),
                device.get(row["device"]) or _other(row["device"], device),
                currency.get(row["currency"]) or _other(row["currency"], currency),
                _bucket(merchant),
                hours[local.hour],
                days[local.month][local.weekday()],
            )
            return array(width, _FLOAT32, join(parts))
        except (KeyError, TypeError, ValueError, OverflowError):
            return _careful(learnt, row)

    return encode


def unchecked(learnt: Learnt) -> Callable[[Row], Features]:
    """Return the same without any check: rows are what they should be, or the features are anything."""
    f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 = learnt.fills
    m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 = learnt.means
    d0, d1, d2, d3, d4, d5, d6, d7, d8, d9 = learnt.divisors
    edges, bins = learnt.edges, _one_hot(BINS)
    country, plan, channel, device, currency = (_table(learnt.categories[name]) for name in CATEGORIES)
    c0, c1, c2, c3, c4 = country[None], plan[None], channel[None], device[None], currency[None]
    hours, days, zone = _hours(), _days(), ZoneInfo(ZONE)
    width, join, array, read = learnt.width, bytearray().join, np.ndarray, datetime.fromisoformat

    def encode(row: Row) -> Features:
        n0, n1, n2, n3 = row["age_days"], row["balance"], row["credit_limit"], row["items"]
        n4, n5, n6 = row["basket_max"], row["visits_30d"], row["paid_30d"]
        n7, n8, n9 = row["distance_km"], row["typing_ms"], row["trust"]
        local = read(row["at"]).astimezone(zone)
        parts = (
            _PACK(
                ((f0 if n0 is None else n0) - m0) / d0,
                ((f1 if n1 is None else n1) - m1) / d1,
                ((f2 if n2 is None else n2) - m2) / d2,
                ((f3 if n3 is None else n3) - m3) / d3,
                ((f4 if n4 is None else n4) - m4) / d4,
                ((f5 if n5 is None else n5) - m5) / d5,
                ((f6 if n6 is None else n6) - m6) / d6,
                ((f7 if n7 is None else n7) - m7) / d7,
                ((f8 if n8 is None else n8) - m8) / d8,
                ((f9 if n9 is None else n9) - m9) / d9,
            ),
            bins[bisect_right(edges, row["amount"])],
            country.get(row["country"], c0),
            plan.get(row["plan"], c1),
            channel.get(row["channel"], c2),
            device.get(row["device"], c3),
            currency.get(row["currency"], c4),
            _bucket(row["merchant"]),
            hours[local.hour],
            days[local.month][local.weekday()],
        )
        return array(width, _FLOAT32, join(parts))

    return encode


def columns(learnt: Learnt, table: Any) -> Features:
    """Return the features of a DataFrame, or of columns as ``payments.as_columns`` gives them, checked."""
    numbers = np.stack([_array(table[name]) for name in NUMBERS])
    amount, at = _array(table[AMOUNT]), table[AT]
    if numbers.dtype != np.float64 or amount.dtype != np.float64 or at.dt.tz is None or at.isna().any():
        raise Rejected({"(table)": "has a column of another type, or times without a zone"})
    numbers = np.where(np.isnan(numbers), np.array(learnt.fills)[:, None], numbers)
    if not np.isfinite(numbers).all() or not np.isfinite(amount).all():
        raise Rejected({"(table)": "holds an infinite or missing number"})
    out = np.zeros((len(amount), learnt.width), np.float32)
    start = len(NUMBERS)
    out[:, :start] = ((numbers - np.array(learnt.means)[:, None]) / np.array(learnt.divisors)[:, None]).T
    ones = [start + np.searchsorted(np.array(learnt.edges), amount, side="right")]
    start += BINS
    for name, known in learnt.categories.items():
        ones.append(start + _places(known, table[name]))
        start += len(known) + 1
    ones.append(start + np.array([_number(text) for text in _listed(table[MERCHANT])]))
    start += BUCKETS
    out[np.arange(len(out))[:, None], np.stack(ones, axis=1)] = 1.0
    out[:, start:] = _calendar(at)
    return out


def _array(column: Any) -> NDArray[Any]:
    array: NDArray[Any] = column if isinstance(column, np.ndarray) else column.to_numpy()
    return array


def _listed(column: Any) -> list[Any]:
    values: list[Any] = column if isinstance(column, list) else column.to_numpy(dtype=object).tolist()
    return values


def _places(known: tuple[str, ...], column: Any) -> NDArray[np.intp]:
    places = {value: place for place, value in enumerate(known)}
    values = _listed(column)
    found = list(map(places.get, values))
    if None in found:
        unseen = len(known)
        found = [
            places.get(_checked_string(value), unseen) if place is None else place
            for place, value in zip(found, values, strict=True)
        ]
    return np.array(found, dtype=np.intp)


def _calendar(at: Any) -> NDArray[np.float64]:
    """Return the five features of aware times, by integer arithmetic on the local hours since 1970."""
    local = at.dt.tz_convert(ZONE).dt.tz_localize(None).to_numpy()
    hours = local.astype("M8[h]").astype(np.int64)
    weekday = (hours // 24 + 3) % 7
    month = local.astype("M8[M]").astype(np.int64) % 12 + 1
    turns = np.array([_turn(hour) for hour in range(24)])[hours % 24]
    return np.column_stack([turns, weekday, month, weekday >= 5])


def _careful(learnt: Learnt, row: Any) -> Features:
    """Encode a row that is not like most, or say everything that is wrong with it."""
    if not isinstance(row, dict):
        raise Rejected({"(row)": "must be a mapping"})
    issues = {str(name)[:80]: "is not a field" for name in row if name not in _KNOWN}
    blocks: list[bytes] = []
    for name in FIELDS:
        try:
            blocks.append(_block(learnt, name, row.get(name)))
        except (ValueError, OverflowError) as wrong:
            issues[name] = str(wrong)
    if issues:
        raise Rejected(issues)
    return np.ndarray(learnt.width, _FLOAT32, bytearray().join(blocks))


def _block(learnt: Learnt, name: str, value: Any) -> bytes:
    if name == AMOUNT:
        return _one_hot(BINS)[bisect_right(learnt.edges, _checked_number(value))]
    if name in CATEGORIES:
        return _other(value, _table(learnt.categories[name]))
    if name == MERCHANT:
        return _bucket(_checked_string(value))
    if name == AT:
        local = _checked_time(value)
        return _hours()[local.hour] + _days()[local.month][local.weekday()]
    place = NUMBERS.index(name)
    missing = value is None or (type(value) is float and math.isnan(value))
    number = learnt.fills[place] if missing else _checked_number(value)
    return struct.pack("=f", (number - learnt.means[place]) / learnt.divisors[place])


def _checked_number(value: Any) -> float:
    if type(value) is int and abs(value) <= _EXACT:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _checked_string(value: Any) -> str:
    if type(value) is not str or len(value) > _LONGEST:
        raise ValueError(f"must be a string of at most {_LONGEST} characters")
    value.encode()  # half of a surrogate pair has no bytes: a UnicodeEncodeError is a ValueError
    return unicodedata.normalize("NFC", value)


def _checked_time(value: Any) -> datetime:
    if type(value) is not str or not _ISO.fullmatch(value):
        raise ValueError("must be an ISO 8601 date and time with a UTC offset")
    return datetime.fromisoformat(value).astimezone(UTC).astimezone(ZoneInfo(ZONE))


def _other(value: Any, table: dict[str | None, bytes]) -> bytes:
    """Return the bytes of a category that was not found as it is spelt."""
    return table.get(_checked_string(value), table[None])


def _table(known: tuple[str, ...]) -> dict[str | None, bytes]:
    return dict(zip((*known, None), _one_hot(len(known) + 1), strict=True))


@lru_cache(maxsize=16_384)
def _number(text: str) -> int:
    hashed: int = murmurhash3_32(_checked_string(text), seed=0)
    return abs(hashed) % BUCKETS


@lru_cache(maxsize=16_384)
def _bucket(text: str) -> bytes:
    return _one_hot(BUCKETS)[_number(text)]


@lru_cache
def _one_hot(count: int) -> list[bytes]:
    return [row.tobytes() for row in np.eye(count, dtype=np.float32)]


@lru_cache
def _hours() -> list[bytes]:
    return [struct.pack("=2f", *_turn(hour)) for hour in range(24)]


@lru_cache
def _days() -> list[list[bytes]]:
    """By month and weekday; there is no month 0."""
    return [[struct.pack("=3f", day, month, day >= 5) for day in range(7)] for month in range(13)]


def _turn(hour: int) -> tuple[float, float]:
    """Return sine and cosine of the hour hand; rounded, so that sin(pi) is zero as it should be."""
    angle = 2 * math.pi * hour / 24
    return round(math.sin(angle), 12) + 0.0, round(math.cos(angle), 12) + 0.0


def _edges(rows: list[Row]) -> tuple[float, ...]:
    """Return the inner edges of bins of equal counts; a logarithm and a clip move no value across one."""
    low, high = payments.CLIP
    values = np.clip([float(row[AMOUNT]) for row in rows], low, high)
    inner = np.quantile(values, np.arange(1, BINS) / BINS, method="inverted_cdf")
    return tuple(float(edge) for edge in inner)
