"""The row of the transform's benchmark: a payment of 18 fields, 66 features; generated, seeded.

Ten numbers (filled with the median, standardised), an amount (logarithm, clip, six quantile bins), five
categories (29 features, unseen slots among them), a merchant hashed into 16 buckets, and a point in time
(hour as sine and cosine, weekday, month, weekend). Values are as JSON gives them: whole floats are integers,
3 % of the numbers are null, 1 % of the categories are rare or new, times are ISO 8601 in UTC to the second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from inprocml import Category, Hashed, Numeric, Timestamp, Transform

TRAINED, SERVED, MERCHANTS = 20_000, 1_000, 4_000
BUCKETS, BINS, CLIP, MIN_COUNT = 16, 6, (0.0, 5000.0), 20
ZONE = "America/New_York"

NUMBERS = (
    "age_days",
    "balance",
    "credit_limit",
    "items",
    "basket_max",
    "visits_30d",
    "paid_30d",
    "distance_km",
    "typing_ms",
    "trust",
)
AMOUNT, MERCHANT, AT = "amount", "merchant", "at"
KNOWN: dict[str, tuple[str, ...]] = {
    "country": ("BR", "DE", "FR", "JP", "NG", "US"),
    "plan": ("enterprise", "free", "pro"),
    "channel": ("app", "phone", "shop", "web"),
    "device": ("android", "desktop", "ios", "tablet", "terminal"),
    "currency": ("BRL", "EUR", "JPY", "NGN", "USD", "XAF"),
}
CATEGORIES = tuple(KNOWN)
STRINGS = (*CATEGORIES, MERCHANT)
FIELDS = (*NUMBERS, AMOUNT, *STRINGS, AT)


def declared() -> Transform:
    """Return the transform, not fitted."""
    return Transform(
        {
            **{name: Numeric(missing="median", scale="standard") for name in NUMBERS},
            AMOUNT: Numeric(log=True, clip=CLIP, bins=BINS),
            **{name: Category(min_count=MIN_COUNT) for name in CATEGORIES},
            MERCHANT: Hashed(buckets=BUCKETS),
            AT: Timestamp(
                parts={"hour": "cyclic", "weekday": "ordinal", "month": "ordinal", "weekend": "ordinal"},
                timezone=ZONE,
            ),
        }
    )


def trained() -> list[dict[str, Any]]:
    """Return the training rows."""
    return payments(TRAINED, seed=1)


def served() -> list[dict[str, Any]]:
    """Return the serving rows."""
    return payments(SERVED, seed=2)


def payments(count: int, *, seed: int) -> list[dict[str, Any]]:
    """Return ``count`` rows; each went through JSON, so that its keys and strings are its own."""
    random = Random(seed)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    seconds = random.sample(range(365 * 86_400), count)
    rows = [_payment(random, start + timedelta(seconds=second)) for second in seconds]
    return [json.loads(json.dumps(row)) for row in rows]


def as_frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as a table that was read with care: float64, strings, times aware of their zone."""
    frame = pd.DataFrame(rows, columns=list(FIELDS))
    frame = frame.astype(dict.fromkeys((*NUMBERS, AMOUNT), "float64"))
    return frame.assign(at=pd.to_datetime(frame[AT], utc=True))


def as_columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return numpy arrays of float64 with NaN, lists of strings, and an aware pandas Series of times."""
    frame = as_frame(rows)
    columns: dict[str, Any] = {name: frame[name].to_numpy() for name in (*NUMBERS, AMOUNT)}
    columns |= {name: [row[name] for row in rows] for name in STRINGS}
    return columns | {AT: frame[AT]}


def as_float32(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return what a fused ONNX graph is fed: numbers as float32 and categories as objects, ``(rows, 1)``."""
    listed = list(rows)
    feeds: dict[str, Any] = {
        name: np.array([[_or_nan(row[name])] for row in listed], dtype=np.float32) for name in NUMBERS
    }
    return feeds | {name: np.array([[row[name]] for row in listed], dtype=object) for name in CATEGORIES}


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _payment(random: Random, at: datetime) -> dict[str, Any]:
    numbers: dict[str, float] = {
        "age_days": random.randrange(5_000),
        "balance": round(random.gauss(1_200, 900), 2),
        "credit_limit": 100 * random.randrange(1, 200),
        "items": random.randrange(1, 30),
        "basket_max": round(random.expovariate(1 / 60), 2),
        "visits_30d": random.randrange(90),
        "paid_30d": round(random.expovariate(1 / 400), 2),
        "distance_km": round(random.expovariate(1 / 35), 3),
        "typing_ms": random.gauss(180, 40),
        "trust": random.random(),
    }
    row: dict[str, Any] = {name: _spelt(random, number) for name, number in numbers.items()}
    amount = round(random.lognormvariate(4, 1.4), 2)
    row[AMOUNT] = int(amount) if amount.is_integer() else amount
    for name, known in KNOWN.items():
        rare = random.random() < 0.01
        row[name] = f"{name}-{random.randrange(500)}" if rare else random.choice(known)
    row[MERCHANT] = f"merchant-{random.randrange(MERCHANTS):05d}"
    row[AT] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return row


def _spelt(random: Random, number: float) -> float | None:
    """Return the number as a client's JSON has it: null at times, and never a point with nothing after."""
    if random.random() < 0.03:
        return None
    return int(number) if float(number).is_integer() else number
