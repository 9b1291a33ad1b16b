"""A transform with every option of every tabular kind, and rows for it, drawn by Python's own generator."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

import numpy as np

from inprocml import Category, Flag, Hashed, Numeric, Timestamp, Transform, Vector
from inprocml.transform.specs_imported import Coded, Formula, Operand, Output

CYCLES = {"hour": "cyclic", "weekday": "ordinal", "month": "onehot", "weekend": "onehot", "day": "cyclic"}
NUMBERS = {
    "robust": Numeric(missing="flag", scale="robust"),
    "sqrt": Numeric(power="sqrt", scale="standard", missing=1.5),
    "square": Numeric(power="square", missing="flag"),
    "bent": Numeric(power="yeo-johnson", scale="standard", missing="mean"),
    "bent_clip": Numeric(power="yeo-johnson", clip=(-3, 40)),
    "clip": Numeric(clip=(-2, 2), missing="flag", scale="minmax"),
    "log": Numeric(log=True, scale="robust", missing="median"),
    "bins": Numeric(bins=6, missing="flag"),
    "bins_log": Numeric(bins=5, log=True, clip=(0, 500), missing="median"),
    "bins_edges": Numeric(bins=(-1, 0, 0.5, 10), encoding="ordinal", missing="flag"),
    "bins_plain": Numeric(bins=3),
    "bins_many": Numeric(bins=200, missing="flag"),
}
OTHERS = {
    "fold": Category(strip=True, casefold=True, missing="slot"),
    "ordinal": Category(encoding="ordinal", max_categories=2),
    "code": Category(encoding="ordinal", missing="slot"),
    "wide": Category(missing="slot"),
    "hash_wide": Hashed(buckets=200, missing="slot"),
    "flag": Flag(),
    "flag_slot": Flag(missing="slot"),
    "vector": Vector(size=3, scale="standard", missing="slot"),
    "vector_plain": Vector(size=2),
    "at": Timestamp(parts=CYCLES, timezone="Europe/Berlin", since="2020-01-01T00:00:00Z", missing="slot"),
    "wall": Timestamp(parts={"hour": "ordinal", "minute": "cyclic"}, since="2020-01-01T00:00:00"),
    "twice": Numeric(field="robust", missing="mean", bins=4),
    "formula": Formula(
        operands=(
            Operand("robust", "number", (("fill", 2.0), ("subtract", 0.1), ("divide", 3.0))),
            Operand("log", "number", (("fill", 1.0), ("clip", -0.5, 1e6), ("log1p",))),
            Operand("flag", "flag", (("add", 0.5),)),
            Operand("flag_slot", "flag", (("is_missing",),)),
            Operand("square", "number"),
        ),
        outputs=(
            Output("left", (0,)),
            Output("product", (0, 1, 2), (("multiply", -0.7),)),
            Output("bin", (0,), (("bin", -1.0, 0.0, 1.0),)),
            Output("bin is 2", (0,), (("bin", -1.0, 0.0, 1.0), ("equals", 2.0))),
            Output("gone", (3,)),
            Output("late fill", (4, 4), (("absolute",), ("sqrt",), ("replace", 0.0, 9.0), ("fill", -3.0))),
            Output("above", (4,), (("above", 0.5), ("fill", 0.25))),
            Output("curves", (1,), (("expm1",), ("log1p",), ("yeo-johnson", 0.3), ("square",))),
            Output("others", (2,), (("log",), ("exp",))),
            Output("bias", (0,), (("constant", 1.0),)),
        ),
    ),
    "coded": Coded(
        reads="text",
        categories=("b", "caf\u00e9", "x"),
        labels=("one", "two", "three"),
        rows=(((0, 1.0),), ((1, 0.1), (2, -2.0)), ()),
        unseen=((2, 1.0),),
        missing=((0, 0.5),),
    ),
    "coded_known": Coded(reads="number", categories=(-1.5, 2.0), labels=("x",), rows=(((0, 0.25),), ())),
    "coded_flag": Coded(
        reads="flag", categories=(False, True), labels=("x", "y"), rows=((), ((1, 1.0),)), missing=((0, 1.0),)
    ),
    "coded_wide": Coded(
        reads="integer",
        categories=tuple(range(150)),
        labels=tuple(str(place) for place in range(150)),
        rows=tuple(((place, 1.0),) for place in range(150)),
        unseen=(),
    ),
}
FIELDS = NUMBERS | OTHERS
READ = [name for name in FIELDS if name not in {"twice", "formula"}]
START = datetime(2021, 1, 1, tzinfo=UTC)


def number(draw, name):
    """A number for a field, on both sides of whatever was declared for it."""
    if name in {"sqrt", "log"}:
        return draw.choice([0.0, 1, draw.random() * 1e3, math.ldexp(draw.random(), draw.randint(-40, 40))])
    return draw.choice(
        [0.0, -0.0, 3, draw.gauss(0, 5), draw.gauss(0, 300), 0.5, -1, 10, draw.randint(-9, 9) / 4]
    )


def row(draw):
    """One acceptable row; every optional field is missing now and then, one way or another."""
    made = {name: number(draw, name) for name in NUMBERS}
    moment = START + timedelta(microseconds=draw.randint(0, 9 * 10**13))
    wall = moment.replace(tzinfo=None)
    made |= {
        "fold": draw.choice(["UA", " ua", "Straße", "STRASSE ", "cafe\u0301", "CAFÉ", "", "new"]),
        "ordinal": draw.choice(["a", "b", "b", "c", "c", "🛫"]),
        "code": draw.choice([1, 2, 3, 10**12, 99]),
        "wide": f"w{draw.randint(0, 180)}",
        "hash_wide": draw.choice(["é", "e\u0301", f"N{draw.randint(0, 10**6)}", "x" * 70]),
        "flag": draw.random() < 0.5,
        "flag_slot": draw.random() < 0.5,
        "vector": [draw.gauss(0, 1), draw.randint(-5, 5), draw.random()],
        "vector_plain": (draw.random(), -0.0),
        "at": draw.choice([moment, moment.isoformat(), moment.isoformat(timespec="seconds")]),
        "coded": draw.choice(["b", "cafe\u0301", "CAFÉ", "x", "", "b"]),
        "coded_known": draw.choice([-1.5, 2, 2.0]),
        "coded_flag": draw.random() < 0.5,
        "coded_wide": draw.randint(-3, 160),
        "wall": draw.choice([wall, wall.isoformat(), wall.isoformat(" ", "minutes")]),
    }
    optional = [name for name in READ if FIELDS[name].missing is not None]
    for name in optional:
        if draw.random() < 0.08:
            made[name] = draw.choice([None, float("nan"), None])
    return made


def rows(count, seed):
    draw = random.Random(seed)
    return [row(draw) for _ in range(count)]


def fitted():
    return Transform(FIELDS).fit(rows(400, 1))


def as_numpy(row):
    """The same row, spelt with numpy's types."""
    spelt = {}
    for name, value in row.items():
        if isinstance(value, bool):
            spelt[name] = np.bool_(value)
        elif isinstance(value, float):
            spelt[name] = np.float64(value)
        elif isinstance(value, int):
            spelt[name] = np.int64(value)
        elif isinstance(value, str):
            spelt[name] = np.str_(value)
        elif isinstance(value, list):
            spelt[name] = np.array(value)
        else:
            spelt[name] = value
    return spelt
