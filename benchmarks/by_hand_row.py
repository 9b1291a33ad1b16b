"""One payment by hand: every field spelt out, all that is learnt bound beforehand, one-hot features as bytes.

The usual row is taken straight, every other one goes to ``careful``, which knows all the rules.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.by_hand import (
    EXACT,
    FLOAT32,
    LARGEST,
    Features,
    Learnt,
    Row,
    bucket,
    careful,
    days,
    hours,
    one_hot,
    other,
    ready,
)
from benchmarks.payments import BINS, CATEGORIES, NUMBERS, ZONE

__all__ = ["strict", "unchecked"]

_SAFE = 1e38  # a sum of features below this has neither NaN nor infinity in it
_PACK = struct.Struct(f"={len(NUMBERS)}f").pack


def strict(learnt: Learnt) -> Callable[[Row], Features]:
    """Return the function of one row, all checks in it; ``Rejected`` for a row that breaks a rule."""
    f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 = learnt.fills
    m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 = learnt.means
    d0, d1, d2, d3, d4, d5, d6, d7, d8, d9 = learnt.divisors
    edges, bins = learnt.edges, one_hot(BINS)
    tables, unseen = zip(*(ready(learnt.categories[name]) for name in CATEGORIES), strict=True)
    country, plan, channel, device, currency = tables
    c0, c1, c2, c3, c4 = unseen
    of_hour, of_day, zone = hours(), days(), ZoneInfo(ZONE)
    width, join, array, read = learnt.width, bytearray().join, np.ndarray, datetime.fromisoformat

    def encode(row: Row) -> Features:  # noqa: PLR0911, PLR0912 - spelt out: that is the point
        try:
            if len(row) != 18 or type(row) is not dict:
                return careful(learnt, row)
            n0, n1, n2, n3 = row["age_days"], row["balance"], row["credit_limit"], row["items"]
            n4, n5, n6 = row["basket_max"], row["visits_30d"], row["paid_30d"]
            n7, n8, n9 = row["distance_km"], row["typing_ms"], row["trust"]
            if type(n0) is not float:
                if n0 is None:
                    n0 = f0
                elif type(n0) is not int or not -EXACT <= n0 <= EXACT:
                    return careful(learnt, row)
            if type(n1) is not float:
                if n1 is None:
                    n1 = f1
                elif type(n1) is not int or not -EXACT <= n1 <= EXACT:
                    return careful(learnt, row)
            if type(n2) is not float:
                if n2 is None:
                    n2 = f2
                elif type(n2) is not int or not -EXACT <= n2 <= EXACT:
                    return careful(learnt, row)
            if type(n3) is not float:
                if n3 is None:
                    n3 = f3
                elif type(n3) is not int or not -EXACT <= n3 <= EXACT:
                    return careful(learnt, row)
            if type(n4) is not float:
                if n4 is None:
                    n4 = f4
                elif type(n4) is not int or not -EXACT <= n4 <= EXACT:
                    return careful(learnt, row)
            if type(n5) is not float:
                if n5 is None:
                    n5 = f5
                elif type(n5) is not int or not -EXACT <= n5 <= EXACT:
                    return careful(learnt, row)
            if type(n6) is not float:
                if n6 is None:
                    n6 = f6
                elif type(n6) is not int or not -EXACT <= n6 <= EXACT:
                    return careful(learnt, row)
            if type(n7) is not float:
                if n7 is None:
                    n7 = f7
                elif type(n7) is not int or not -EXACT <= n7 <= EXACT:
                    return careful(learnt, row)
            if type(n8) is not float:
                if n8 is None:
                    n8 = f8
                elif type(n8) is not int or not -EXACT <= n8 <= EXACT:
                    return careful(learnt, row)
            if type(n9) is not float:
                if n9 is None:
                    n9 = f9
                elif type(n9) is not int or not -EXACT <= n9 <= EXACT:
                    return careful(learnt, row)
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
                or not (type(amount) is float or (type(amount) is int and -EXACT <= amount <= EXACT))
                or not -LARGEST <= amount <= LARGEST
                or type(merchant) is not str
                or len(merchant) > 64
                or type(at) is not str
                or len(at) != 20
                or not at[7] == "-" == at[4]
                or at[10] != "T"
                or at[13] != ":"
                or at[19] != "Z"
            ):
                return careful(learnt, row)
            local = read(at).astimezone(zone)
            parts = (
                _PACK(n0, n1, n2, n3, n4, n5, n6, n7, n8, n9),
                bins[bisect_right(edges, amount)],
                country.get(row["country"]) or other(row["country"], country, c0),
                plan.get(row["plan"]) or other(row["plan"], plan, c1),
                channel.get(row["channel"]) or other(row["channel"], channel, c2),
                device.get(row["device"]) or other(row["device"], device, c3),
                currency.get(row["currency"]) or other(row["currency"], currency, c4),
                bucket(merchant),
                of_hour[local.hour],
                of_day[local.month][local.weekday()],
            )
            return array(width, FLOAT32, join(parts))
        except (KeyError, TypeError, ValueError, OverflowError):
            return careful(learnt, row)

    return encode


def unchecked(learnt: Learnt) -> Callable[[Row], Features]:
    """Return the same without any check: rows are what they should be, or the features are anything."""
    f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 = learnt.fills
    m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 = learnt.means
    d0, d1, d2, d3, d4, d5, d6, d7, d8, d9 = learnt.divisors
    edges, bins = learnt.edges, one_hot(BINS)
    tables, unseen = zip(*(ready(learnt.categories[name]) for name in CATEGORIES), strict=True)
    country, plan, channel, device, currency = tables
    c0, c1, c2, c3, c4 = unseen
    of_hour, of_day, zone = hours(), days(), ZoneInfo(ZONE)
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
            bucket(row["merchant"]),
            of_hour[local.hour],
            of_day[local.month][local.weekday()],
        )
        return array(width, FLOAT32, join(parts))

    return encode
