"""Hostile rows for every kind of field, from Python's own generator and integers: alike on every machine.

To fuzz another kind, add a line to ``FIELDS``; nothing else has to know of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from inprocml import Category, Derived, Flag, Hashed, Numeric, Timestamp, Vector
from inprocml.schema.moment import zone_named

Draw = Callable[[Random], Any]


@dataclass(frozen=True)
class Fuzzed:
    """One field: what training is like, what else is acceptable, what is refused, and how frames store it.

    ``odd`` values are of the stored type, so that every door can say them (``None``: there are none such).
    Any field also gets columns of ``ALIEN`` values.
    """

    spec: Any
    tame: Draw
    edge: Draw
    odd: Draw | None
    stored: str


def accepted_zones():
    """The names of all zones here that a field could be declared with."""
    found = []
    for name in sorted(available_timezones()):
        try:
            found.append(zone_named(name))
        except (ValueError, LookupError):
            continue
    return found


ZONES = accepted_zones()
NEVER = lambda draw: None  # refused wherever a field is required
INFINITE = lambda draw: draw.choice([math.inf, -math.inf])


def one_of(*draws):
    return lambda draw: draw.choice(draws)(draw)


def among(*values):
    return lambda draw: draw.choice(values)


def beside(*edges):
    """The edges, and the floats next to them."""
    near = [math.nextafter(edge, way) for edge in edges for way in (-math.inf, math.inf)]
    return among(*edges, *near)


def eighths(low, high):
    return lambda draw: draw.randint(low * 8, high * 8) / 8


def scattered(exponent):
    """Floats of every size up to a power of two, denormal ones included."""
    return lambda draw: math.ldexp(2 * draw.random() - 1, draw.randint(-1080, exponent))


def positive(exponent):
    return lambda draw: math.ldexp(draw.random(), draw.randint(-1080, exponent))


DENORMAL = among(5e-324, -5e-324, 2.2250738585072014e-308, 1e-310, 0.0, -0.0, 1e-45, 1.4e-45, 1.1754944e-38)
MISSING = among(None, None, math.nan)
WORDS = ["UA", "AA", "B6", "caf\u00e9", "DL", "us", "\u6771\u4eac", "\U0001f6eb"]
ODD_WORDS = [
    *("", " UA", "ua", "UA ", "cafe\u0301", "e\u0301\u0302", "\u1e9b\u0323", "\ufb01", "\u212b", "\uac00"),
    *("?unseen", "?missing", "nan", "None", "null", "\0", "\0UA", "\U0001f468\u200d\U0001f469", "\U0001f1e9"),
    *("x" * 300, "\u00e9" * 300, "\u0391\u0345", "\u200fUA", "1", "1.0", "true", "2013-01-01"),
]


def syllables(draw):
    return "".join(
        draw.choice(["a", "\u00e9", "e\u0301", "\U0001f6eb", "\u6771", " ", "Z", "\0"]) for _ in range(5)
    )


def tail(draw):
    return f"N{draw.randint(0, 99999):05d}"


def too_long(draw):
    return draw.choice(["x", "\u00e9", "\U0001f6eb"]) * draw.randint(4097, 4200)


def beyond_float64(draw):
    return draw.randint(2**53, 2**61) * 2 + 1


def triple(draws):
    return lambda draw: [draws(draw), draws(draw), draws(draw)]


START = datetime(1, 1, 3)  # noqa: DTZ001
SPAN = (datetime(9999, 12, 29) - START) // timedelta(microseconds=1)  # noqa: DTZ001
RECENT = datetime(1999, 12, 31)  # noqa: DTZ001


def recent(draw):
    return RECENT + timedelta(seconds=draw.randint(0, 10**9), microseconds=draw.choice([0, 0, 1, 999_999]))


def ever(draw):
    return START + timedelta(microseconds=draw.randint(0, SPAN))


# days on which clocks are put back or forward: 2 a.m. comes twice or never, half past at Lord Howe
CHANGES = {
    "America/New_York": [(2013, 3, 10), (2013, 11, 3), (1883, 11, 18)],
    "Europe/London": [(2019, 3, 31), (2019, 10, 27)],
    "Australia/Lord_Howe": [(2020, 4, 5), (2020, 10, 4)],
    "Pacific/Apia": [(2011, 12, 29), (2011, 12, 30), (2011, 12, 31)],
}


def folded(draw):
    """A wall time beside a change of clocks somewhere."""
    day = datetime(*draw.choice(CHANGES[draw.choice(list(CHANGES))]))  # noqa: DTZ001
    return day + timedelta(
        minutes=draw.choice([0, 29, 30, 59, 60, 75, 90, 105, 119, 120, 150, 179, 180, 1439])
    )


def at_change(draw):
    """A wall time beside a change of its own zone's clocks: the first, the second, or one that never was."""
    name = draw.choice(list(CHANGES))
    day = datetime(*draw.choice(CHANGES[name]), tzinfo=ZoneInfo(name))
    wall = day.replace(hour=draw.randint(0, 3), minute=draw.choice([0, 15, 29, 30, 59]))
    return wall.replace(fold=draw.getrandbits(1))


def in_zone(walls, draw):
    """A wall time in any zone there is, whether it exists once, twice or never."""
    return walls(draw).replace(tzinfo=draw.choice(ZONES), fold=draw.getrandbits(1))


def at_offset(draw):
    offset = timezone(timedelta(minutes=draw.randint(-1439, 1439)))
    return (ever(draw) if draw.getrandbits(1) else recent(draw)).replace(tzinfo=offset)


def aware(draw):
    return recent(draw).replace(tzinfo=UTC)


def as_text(draws, draw):
    moment = draws(draw)
    text = moment.isoformat(draw.choice("T "), draw.choice(["minutes", "seconds", "microseconds", "auto"]))
    return text[:-6] + "Z" if text.endswith("+00:00") and draw.getrandbits(1) else text


ANY_AWARE = one_of(
    partial(in_zone, recent), partial(in_zone, ever), partial(in_zone, folded), at_offset, at_change
)
ANY_WALL = one_of(ever, folded, recent)
PARTS = ("hour", "weekday", "month", "day", "minute")


def instants(zone, missing):
    extra = one_of(ANY_AWARE, partial(as_text, ANY_AWARE), *([MISSING] if missing else []))
    spec = Timestamp(parts=PARTS, timezone=zone, missing=missing)
    return Fuzzed(spec, aware, extra, NEVER if missing is None else None, "instant")


FIELDS = {
    "plain": Fuzzed(
        Numeric(), eighths(-9, 9), one_of(scattered(127), DENORMAL), one_of(INFINITE, NEVER), "float"
    ),
    "standard": Fuzzed(
        Numeric(missing="median", scale="standard"),
        lambda draw: draw.randint(-(10**6), 10**6) / 7,
        one_of(MISSING, DENORMAL, scattered(100)),
        one_of(INFINITE, among(1.7e308)),
        "float",
    ),
    "minmax": Fuzzed(
        Numeric(missing="mean", scale="minmax", clip=(-5, 5)),
        lambda draw: draw.randint(-70, 70) / 7,
        one_of(MISSING, beside(-5.0, 5.0), scattered(1020)),
        INFINITE,
        "float",
    ),
    "log": Fuzzed(
        Numeric(missing=0.25, log=True, scale="standard"),
        lambda draw: draw.randint(0, 10**6) / 3,
        one_of(MISSING, positive(1000), beside(-0.29, 0.41, 0.0), among(math.nextafter(-1.0, 0.0))),
        one_of(INFINITE, among(-1.0, -2.5)),
        "float",
    ),
    "bounded log": Fuzzed(
        Numeric(log=True, clip=(0.001, 1e6)),
        eighths(1, 10**4),
        one_of(scattered(1020), beside(0.001, 1e6)),
        one_of(INFINITE, NEVER),
        "float",
    ),
    "narrow": Fuzzed(
        Numeric(missing="median", scale="minmax"),
        eighths(-100, 100),
        one_of(MISSING, lambda draw: math.ldexp(draw.randint(-(2**24), 2**24), draw.randint(-140, 60))),
        INFINITE,
        "float32",
    ),
    "whole": Fuzzed(
        Numeric(missing="median", scale="standard"),
        lambda draw: draw.randint(-1000, 1000),
        one_of(among(None), lambda draw: draw.randint(-(2**53), 2**53) * draw.choice([1, 512])),
        beyond_float64,
        "int",
    ),
    "huge": Fuzzed(
        Numeric(),
        lambda draw: draw.randint(0, 5000),
        lambda draw: draw.choice([draw.randint(0, 2**53), 2**63, 2**64 - 2048, draw.getrandbits(53) << 11]),
        one_of(NEVER, lambda draw: 2**64 - draw.choice([1, 3, 1023])),
        "uint",
    ),
    "carrier": Fuzzed(
        Category(min_count=5, missing="slot"),
        among(*WORDS),
        one_of(MISSING, among(*ODD_WORDS), syllables),
        too_long,
        "text",
    ),
    "origin": Fuzzed(Category(max_categories=3), among(*WORDS), among(*ODD_WORDS), NEVER, "text"),
    "zip": Fuzzed(
        Category(missing="slot"),
        among(94110, 10001, 60601, 2139, -1, 0),
        one_of(among(None), lambda draw: draw.getrandbits(64) - 2**63, among(2**63 - 1, -(2**63), 2**53 + 1)),
        None,
        "int",
    ),
    "tail": Fuzzed(
        Hashed(buckets=13, missing="slot"),
        tail,
        one_of(MISSING, among(*ODD_WORDS), syllables),
        too_long,
        "text",
    ),
    "route": Fuzzed(Hashed(buckets=16), tail, one_of(among(*ODD_WORDS), syllables), NEVER, "text"),
    "at": instants("America/New_York", "slot"),
    "howe": instants("Australia/Lord_Howe", None),
    "wall": Fuzzed(
        Timestamp(parts=("hour", "day", "minute"), missing="slot"),
        recent,
        one_of(ANY_WALL, partial(as_text, ANY_WALL), MISSING),
        None,
        "wall",
    ),
    "binned": Fuzzed(
        Numeric(bins=6, missing="flag"),
        eighths(-50, 50),
        one_of(MISSING, beside(-25.0, 0.0, 12.5), scattered(1020)),
        INFINITE,
        "float",
    ),
    "edged": Fuzzed(
        Numeric(bins=(-1, 0, 0.1, 10), encoding="ordinal", missing="flag"),
        eighths(-3, 12),
        one_of(MISSING, beside(-1.0, 0.0, 0.1, 10.0), DENORMAL),
        INFINITE,
        "float",
    ),
    "logged bins": Fuzzed(
        Numeric(bins=5, log=True, clip=(0, 500), missing="median"),
        lambda draw: draw.randint(0, 10**4) / 7,
        one_of(MISSING, beside(0.0, 500.0), scattered(1020)),
        INFINITE,
        "float",
    ),
    "robust": Fuzzed(
        Numeric(scale="robust", missing="flag"),
        eighths(-50, 50),
        one_of(MISSING, scattered(90)),
        INFINITE,
        "float",
    ),
    "rooted": Fuzzed(
        Numeric(power="sqrt", scale="standard", missing=1.5),
        lambda draw: draw.randint(0, 10**6) / 3,
        one_of(MISSING, positive(200), among(0.0, -0.0, 5e-324)),
        one_of(INFINITE, among(-0.5)),
        "float",
    ),
    "bent": Fuzzed(
        Numeric(power="yeo-johnson", clip=(-30, 40), scale="standard", missing="mean"),
        lambda draw: draw.randint(-100, 200) / 7,
        one_of(MISSING, beside(-30.0, 40.0, 0.0), scattered(1020), DENORMAL),
        INFINITE,
        "float",
    ),
    "folded": Fuzzed(
        Category(strip=True, casefold=True, missing="slot"),
        among("UA", "stra\u00dfe", "caf\u00e9", "b6"),
        one_of(MISSING, among(" ua", "STRASSE ", "CAFE\u0301", "\u2003B6\u2003", *ODD_WORDS), syllables),
        too_long,
        "text",
    ),
    "ordinal": Fuzzed(
        Category(encoding="ordinal", max_categories=2), among(1, 2, 3), among(-7, 2**62), NEVER, "int"
    ),
    "flag": Fuzzed(Flag(), among(True, False), among(True, np.True_, np.False_), NEVER, "flag"),
    "maybe": Fuzzed(Flag(missing="slot"), among(True, False), MISSING, None, "flag"),
    "vector": Fuzzed(
        Vector(size=3, scale="standard", missing="slot"),
        triple(eighths(-9, 9)),
        one_of(triple(scattered(100)), triple(DENORMAL), among(None)),
        triple(one_of(INFINITE, among(math.nan))),
        "vector",
    ),
    "cyclic": Fuzzed(
        Timestamp(
            parts={
                "hour": "cyclic",
                "weekday": "ordinal",
                "month": "onehot",
                "weekend": "onehot",
                "day": "cyclic",
            },
            timezone="America/New_York",
            since="2020-01-01T00:00:00Z",
            missing="slot",
        ),
        aware,
        one_of(ANY_AWARE, partial(as_text, ANY_AWARE), MISSING),
        None,
        "instant",
    ),
}
MORE = {
    "again": Numeric(field="standard", bins=4, missing="flag"),
    "ratio": Derived("ratio", "robust", "whole", then=Numeric(missing="flag", clip=(-100, 100))),
    "waited": Derived(
        "days_between",
        "at",
        "cyclic",
        timezone="America/New_York",
        then=Numeric(missing="median", scale="standard"),
    ),
    "unknown": Derived("is_missing", "edged"),
}
"""What reads fields that others declare."""

ALIEN: tuple[Draw, ...] = (
    lambda draw: bool(draw.getrandbits(1)),
    lambda draw: np.bool_(draw.getrandbits(1)),
    lambda draw: draw.choice(["1.5", "nan", "2013-02-30T00:00:00Z", "2013-01-01T00:00:00+99:00", "\ud800"]),
    lambda draw: draw.choice([10**400, -(2**70) - 1, 2**64 + 1]),
    lambda draw: draw.randint(0, 9),
    lambda draw: draw.random(),
    lambda draw: Decimal(draw.randint(0, 9)),
    lambda draw: complex(draw.randint(0, 9)),
    lambda draw: [draw.random()],
    lambda draw: {"a": draw.randint(0, 9)},
    lambda draw: bytes([draw.getrandbits(8)]),
    lambda draw: date(2013, 1, draw.randint(1, 31)),
    lambda draw: timedelta(draw.randint(0, 9)),
    lambda draw: datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=draw.randint(1, 14)))),
    lambda draw: np.datetime64(draw.randint(10**6, 10**7), "Y"),
    lambda draw: np.timedelta64(draw.randint(0, 9), "s"),
    ever,
    at_offset,
    lambda draw: object(),
)
"""One type each, that some field or other refuses."""


def training_rows(count=400, seed=1):
    draw = Random(seed)
    return [{name: field.tame(draw) for name, field in FIELDS.items()} for _ in range(count)]


def good_rows(draw, count):
    """Rows that every door accepts; one value in four is at some edge, and what is missing may be absent."""
    rows = []
    for _ in range(count):
        row = {
            name: (field.edge if draw.getrandbits(2) == 0 else field.tame)(draw)
            for name, field in FIELDS.items()
        }
        if draw.getrandbits(3) == 0:
            row = {name: value for name, value in row.items() if value is not None}
        rows.append(row)
    return rows


__all__ = ["ALIEN", "FIELDS", "MORE", "ZONES", "good_rows", "training_rows"]
