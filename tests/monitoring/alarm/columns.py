"""Columns whose distribution is known, and rows drawn from it as counts."""

from __future__ import annotations

import numpy as np

from inprocml.monitoring import HourOfWeekBins, NumberBins, ValueBins, numeric_edges
from inprocml.monitoring.alarm import Alarm
from inprocml.monitoring.series import Layout, Series

MIDNIGHT = 1_700_006_400.0
MINUTE = 60.0


def normal(name, rows=20_000, seed=0, missing=0.0):
    rng = np.random.default_rng([seed, len(name)])
    values = rng.normal(size=rows)
    bins = NumberBins(tuple(numeric_edges(values).tolist()))
    values[rng.random(rows) < missing] = np.nan
    return Series(name, "input", bins.count(values))


def category(name, weights, rows=20_000, seed=0):
    rng = np.random.default_rng([seed, len(name)])
    chances = np.array(list(weights.values())) / sum(weights.values())
    column = rng.choice(list(weights), rows, p=chances).astype(object)
    return Series(name, "input", ValueBins.of(column).count(column))


def numbers(name, values):
    values = np.asarray(values, np.float64)
    return Series(name, "input", NumberBins(tuple(numeric_edges(values).tolist())).count(values))


def times(name, moments):
    return Series(name, "input", HourOfWeekBins().count(moments))


class Stream:
    """An alarm and a clock; each call of ``block`` is a minute with some rows."""

    def __init__(self, *series, start=MIDNIGHT, seed=1, **options):
        self.layout = Layout(series)
        self.rng = np.random.default_rng(seed)
        self.alarm = Alarm(self.layout, model="late", version="7", **options)
        self.options = options
        self.now = start
        self.events = []
        self.alarm.look(start)

    def like_training(self, rows=100):
        parts = []
        for each in self.layout.series:
            counts = np.array(each.reference.counts)
            parts.append(self.rng.multinomial(rows, counts / counts.sum()))
        return parts

    def block(self, rows=100, seconds=MINUTE, **columns):
        """Rows like those of training, but for the columns given: their values."""
        parts = self.like_training(rows)
        for place, each in enumerate(self.layout.series):
            if each.name in columns:
                values = columns[each.name](self.rng, rows)
                parts[place] = each.bins.count(values).counts
        self.now += seconds
        events = self.alarm.add(self.layout.joined(parts), rows, self.now)
        self.events += events
        return events

    def blocks(self, count, rows=100, **columns):
        return [event for _ in range(count) for event in self.block(rows, **columns)]

    def until_event(self, most, rows=100, **columns):
        """How many blocks until something is said."""
        for count in range(1, most + 1):
            if self.block(rows, **columns):
                return count
        return None

    def reload(self):
        self.alarm = Alarm.load(self.layout, self.alarm.dump(), model="late", version="7", **self.options)


def shifted(mean, sigma=1.0):
    return lambda rng, rows: rng.normal(mean, sigma, rows)
