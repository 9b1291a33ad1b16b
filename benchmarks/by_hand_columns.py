"""A thousand payments by hand: numpy over the columns, checked; one scatter for all one-hot features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.by_hand import Features, Learnt, Rejected, checked_string, number, turn
from benchmarks.payments import AMOUNT, AT, BINS, BUCKETS, MERCHANT, NUMBERS, ZONE

__all__ = ["columns"]

_TURNS = np.array([turn(hour) for hour in range(24)])


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
    ones.append(start + np.fromiter(map(number, _listed(table[MERCHANT])), np.intp, len(out)))
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
    values = _listed(column)
    places = {value: place for place, value in enumerate(known)}
    for value in set(values).difference(places):  # each one that is not known as it is spelt
        places[value] = places.get(checked_string(value), len(known))
    return np.fromiter(map(places.__getitem__, values), np.intp, len(values))


def _calendar(at: Any) -> NDArray[np.float64]:
    """Return the five features of aware times, by integer arithmetic on the local hours since 1970."""
    local = at.dt.tz_convert(ZONE).dt.tz_localize(None).to_numpy()
    hours = local.astype("M8[h]").astype(np.int64)
    weekday = (hours // 24 + 3) % 7
    month = local.astype("M8[M]").astype(np.int64) % 12 + 1
    turns = _TURNS[hours % 24]
    return np.column_stack([turns, weekday, month, weekday >= 5])
