"""All columns together, once an hour: can rows of now be told from training rows, or from those of a day ago.

A correlation may turn round while every column stays as it was. Rows are kept as the bins that their values
lie in (``places``), a bottom-k sample for each hour, of this process alone; a day is put together from
its hours, each with as large a part as it had rows. The time of day alone tells one hour from others, so
what is judged are whole days.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.baseline import Baseline
from inprocml.monitoring.places import MOST_ROWS, Rows, in_rows, numbers, taken
from inprocml.monitoring.series import Layout
from inprocml.monitoring.statistics import domain_classifier
from inprocml.monitoring.statistics.result import Undefined
from inprocml.monitoring.stretches import CALM, reach
from inprocml.monitoring.verdict import Joint, Reference

__all__ = ["ROOM", "Found", "Together", "dumped", "loaded"]

Found = Mapping[Reference, Joint]

_HOUR = 3600.0
_DAY = 24
_OF_AN_HOUR = 80  # rows: a day of 24 equal hours needs 21 of each
_LEAST = 100
_OTHER_HOURS = 0.5  # of a day's rows, how many may have come at other hours than those of the day before
_TOGETHER = 0.15  # of a sample's rows, how many may have another of their cluster in it
_PERMUTATIONS = 4_999  # fewer could not show a p-value that counts among 24
_ENOUGH = 20
_NAMED = 3
_LONGEST = 100  # characters of a name

ROOM = 8_192
"""The most bytes that ``dumped`` takes."""


class Together:
    """The sample of two days, and when to look at it; used by one thread at a time.

    What ``due`` returns may be called while another thread adds. ``training``: the baseline that the layout
    is of, for its sample and its stretches; without one, days are compared with one another. At most 49 * 80
    rows of 48 bytes.
    """

    def __init__(
        self, layout: Layout, training: Baseline | None = None, draw: np.random.Generator | None = None
    ) -> None:
        self._bins = [each.bins for each in layout.series]
        self._taken = taken(self._bins)
        self._names = tuple(layout.series[place].name for place in self._taken)
        none = np.empty((0, len(self._taken)), np.uint8)
        self._training = none if training is None else training.sampled
        self._stretches = () if training is None else training.stretches
        self._draw = np.random.default_rng() if draw is None else draw
        self._hours: list[_Hour] = []
        self._looked: int | None = None  # the hour of the last look

    def add(self, places: Sequence[NDArray[np.intp]], now: float) -> None:
        """Take a sample of counted rows: what ``Tally.add`` returned."""
        if not self._taken or not len(places[0]):
            return
        number = int(now // _HOUR)
        if not self._hours or number != self._hours[-1].number:
            past = [hour for hour in self._hours if hour.number <= number]  # what lies ahead never was
            if not past or past[-1].number < number:
                past = [*past[-2 * _DAY :], _Hour(number, len(self._taken))]
            self._hours = past
        self._hours[-1].add([places[place] for place in self._taken], self._draw)

    def due(self, now: float, effect: float = 1.0) -> Callable[[Callable[[], object]], Found] | None:
        """Return what is to be done once an hour, a call that takes its time; it takes what to do in between.

        None where the hour has been looked at, or was the first one. ``effect``: how many rows say no more
        than one (``Alarm.effect``); so few rows are taken that hardly two are of one cluster.
        """
        number = int(now // _HOUR)
        if self._looked is None or number < self._looked:  # the first call, or a clock that stepped back
            self._looked = number
        if number == self._looked:
            return None
        self._looked = number
        current = self._of(number - _DAY, number, effect)
        before = self._of(number - 2 * _DAY, number - _DAY, effect)
        rivals = {Reference.TRAIN: (self._training, reach(self._stretches, current.total)[0])}
        if before.hours == _DAY and current.alike(before):  # hours of one day are not those of another
            least = min(current.total, before.total)
            rivals[Reference.LIVE] = before.rows, reach(self._stretches, least)[1]

        def look(pause: Callable[[], object]) -> Found:
            looks = {
                reference: self._look(*rival, current, now, pause) for reference, rival in rivals.items()
            }
            return {reference: found for reference, found in looks.items() if found is not None}

        return look

    @property
    def nbytes(self) -> int:
        """Bytes of the samples."""
        return self._training.nbytes + sum(
            hour.keys.nbytes + hour.sample.nbytes for hour in list(self._hours)
        )

    def _of(self, first: int, end: int, effect: float = 1.0) -> _Span:
        """Return a sample of the rows from one hour to before another."""
        parts = [hour for hour in self._hours if first <= hour.number < end]
        by_hour = np.zeros(_DAY)
        for hour in parts:
            by_hour[hour.number % _DAY] += hour.rows
        if not parts:
            return _Span(np.empty((0, len(self._taken)), np.uint8), 0, by_hour)
        total = sum(hour.rows for hour in parts)
        apart = total * _TOGETHER / (effect - 1) if effect > 1 else math.inf
        wanted = min(MOST_ROWS, apart, *(len(hour.keys) * total / hour.rows for hour in parts))
        rows = [hour.sample[: math.floor(wanted * hour.rows / total + 0.5)] for hour in parts]
        return _Span(np.concatenate(rows), end - parts[0].number, by_hour)

    def _look(
        self, rival: Rows, known: float, current: _Span, now: float, pause: Callable[[], object]
    ) -> Joint | None:
        if min(len(rival), len(current.rows)) < _LEAST:
            return None
        found = domain_classifier(
            numbers(rival, self._bins),
            numbers(current.rows, self._bins),
            permutations=_PERMUTATIONS,
            enough=_ENOUGH,
            seed=int(now // _HOUR),
            pause=pause,
        )
        if isinstance(found, Undefined):
            return None
        most = sorted(zip(found.weights, self._names, strict=True), key=lambda one: (-one[0], one[1]))
        told = tuple((name[:_LONGEST], weight) for weight, name in most[:_NAMED] if weight > 0)
        sizes = len(current.rows), len(rival), current.hours
        return Joint(found.auc, found.p_value, *sizes, now, told, reach=known if known > CALM else None)


class _Span(NamedTuple):
    """A sample of some hours' rows, how many hours it covers, and how many rows came at which hour of day."""

    rows: Rows
    hours: int
    by_hour: NDArray[np.float64]

    @property
    def total(self) -> int:
        return int(self.by_hour.sum())

    def alike(self, other: _Span) -> bool:
        """Whether the rows came at the same hours of the day, by and large."""
        if not self.total or not other.total:
            return False
        apart = np.abs(self.by_hour / self.total - other.by_hour / other.total).sum() / 2
        return bool(apart <= _OTHER_HOURS)


class _Hour:
    """The rows of an hour with the lowest of the keys that chance gave them: a uniform sample."""

    def __init__(self, number: int, columns: int) -> None:
        self.number = number
        self.rows = 0
        self.keys: NDArray[np.float64] = np.empty(0)
        self.sample: Rows = np.empty((0, columns), np.uint8)

    def add(self, places: Sequence[NDArray[np.intp]], draw: np.random.Generator) -> None:
        keys = draw.random(len(places[0]))
        self.rows += len(keys)
        limit = self.keys[-1] if len(self.keys) == _OF_AN_HOUR else 1.0
        low = np.flatnonzero(keys < limit)  # soon hardly any
        low = low[np.argsort(keys[low])[:_OF_AN_HOUR]]
        if len(low):
            both = np.concatenate([self.keys, keys[low]])
            kept = np.argsort(both)[:_OF_AN_HOUR]
            self.keys = both[kept]
            self.sample = np.concatenate([self.sample, in_rows([each[low] for each in places])])[kept]


def dumped(found: Found) -> bytes:
    """Return what was found, for the other processes to show."""
    return json.dumps({str(reference): astuple(joint) for reference, joint in found.items()}).encode()


def loaded(text: bytes) -> Found:
    """Return what was ``dumped``; ``ValueError`` for anything else."""
    try:
        return {Reference(name): _joint(parts) for name, parts in json.loads(text).items()}
    except (TypeError, OverflowError, AttributeError) as error:
        raise ValueError("what all columns show together is damaged") from error


def _joint(parts: Any) -> Joint:
    auc, p_value, rows, compared, hours, at, columns, *of_hosts, known = parts
    if len(of_hosts) != 2:
        raise ValueError("what all columns show together is damaged")
    told = tuple((str(name), float(weight)) for name, weight in columns)
    sizes = int(rows), int(compared), int(hours)
    if min(sizes) < 0:
        raise ValueError("what all columns show together is damaged")
    reached = None if known is None else float(known)
    return Joint(float(auc), float(p_value), *sizes, float(at), told, reach=reached)
