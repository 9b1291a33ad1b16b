"""The payment's features written by hand: what is learnt, every rule, and the rows that are not like most.

It is fitted here, from the rows and not from the transform; only the answers are compared. The quick ways are
in ``by_hand_row`` and ``by_hand_columns``.
"""

from __future__ import annotations

import math
import re
import struct
import sys
import unicodedata
from bisect import bisect_right
from collections import Counter
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

__all__ = [
    "EXACT",
    "FLOAT32",
    "LARGEST",
    "Features",
    "Learnt",
    "Rejected",
    "Row",
    "bucket",
    "careful",
    "checked_string",
    "days",
    "hours",
    "learn",
    "number",
    "one_hot",
    "other",
    "ready",
    "turn",
]

Row: TypeAlias = dict[str, Any]
Features: TypeAlias = NDArray[np.float32]

EXACT, LARGEST, _LONGEST = 2**53, sys.float_info.max, 4096
FLOAT32 = np.dtype(np.float32)
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


def careful(learnt: Learnt, row: Any) -> Features:
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
    return np.ndarray(learnt.width, FLOAT32, bytearray().join(blocks))


def _block(learnt: Learnt, name: str, value: Any) -> bytes:
    if name == AMOUNT:
        return one_hot(BINS)[bisect_right(learnt.edges, _checked_number(value))]
    if name in CATEGORIES:
        return other(value, *ready(learnt.categories[name]))
    if name == MERCHANT:
        return bucket(checked_string(value))
    if name == AT:
        local = _checked_time(value)
        return hours()[local.hour] + days()[local.month][local.weekday()]
    place = NUMBERS.index(name)
    missing = value is None or (type(value) is float and math.isnan(value))
    number = learnt.fills[place] if missing else _checked_number(value)
    feature = (number - learnt.means[place]) / learnt.divisors[place]
    if math.isinf(feature):
        raise ValueError("is too large")
    return struct.pack("=f", feature)


def _checked_number(value: Any) -> float:
    if type(value) is int and float(value) == value:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def checked_string(value: Any) -> str:
    if type(value) is not str or len(value) > _LONGEST:
        raise ValueError(f"must be a string of at most {_LONGEST} characters")
    value.encode()  # half of a surrogate pair has no bytes: a UnicodeEncodeError is a ValueError
    return unicodedata.normalize("NFC", value)


def _checked_time(value: Any) -> datetime:
    if type(value) is not str or not _ISO.fullmatch(value):
        raise ValueError("must be an ISO 8601 date and time with a UTC offset")
    return datetime.fromisoformat(value).astimezone(UTC).astimezone(ZoneInfo(ZONE))


def other(value: Any, table: dict[str, bytes], unseen: bytes) -> bytes:
    """Return the bytes of a category that was not found as it is spelt."""
    return table.get(checked_string(value), unseen)


def ready(known: tuple[str, ...]) -> tuple[dict[str, bytes], bytes]:
    """Return the bytes of each category, and those of the unseen one (under ``None``, null would get it)."""
    *first, unseen = one_hot(len(known) + 1)
    return dict(zip(known, first, strict=True)), unseen


@lru_cache(maxsize=16_384)
def number(text: str) -> int:
    hashed: int = murmurhash3_32(checked_string(text), seed=0)
    return abs(hashed) % BUCKETS


@lru_cache(maxsize=16_384)
def bucket(text: str) -> bytes:
    return one_hot(BUCKETS)[number(text)]


@lru_cache
def one_hot(count: int) -> list[bytes]:
    return [row.tobytes() for row in np.eye(count, dtype=np.float32)]


@lru_cache
def hours() -> list[bytes]:
    return [struct.pack("=2f", *turn(hour)) for hour in range(24)]


@lru_cache
def days() -> list[list[bytes]]:
    """By month and weekday; there is no month 0."""
    return [[struct.pack("=3f", day, month, day >= 5) for day in range(7)] for month in range(13)]


def turn(hour: int) -> tuple[float, float]:
    """Return sine and cosine of the hour hand; rounded, so that sin(pi) is zero as it should be."""
    angle = 2 * math.pi * hour / 24
    return round(math.sin(angle), 12) + 0.0, round(math.cos(angle), 12) + 0.0


def _edges(rows: list[Row]) -> tuple[float, ...]:
    """Return the quantiles of the logarithm between the bins, as amounts: serving takes no logarithm."""
    low, high = payments.CLIP
    ordered = sorted(min(max(float(row[AMOUNT]), low), high) for row in rows)
    edges = []
    for k in range(1, BINS):
        place = k / BINS * (len(ordered) - 1)
        below = math.floor(place)
        part, one, next_ = place - below, ordered[below], ordered[below + 1]
        between = math.log1p(one) * (1 - part) + math.log1p(next_) * part
        edges.append(one if part == 0 or one == next_ else math.expm1(between))
    return tuple(edges)
