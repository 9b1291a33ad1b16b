"""From windows to what each column shows: which windows may speak, and the one that says most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.blocks import Window
from inprocml.monitoring.alarm.evidence import Evidence, Tables

__all__ = ["BAND", "CLEARING", "LEAST_SHAPE", "Floors", "Look", "Past", "judge"]

_Floats = NDArray[np.float64]
_Flags = NDArray[np.bool_]

LEAST_SHAPE = 150
"""Effective rows from which on the shape may open an episode; fewer only confirm one."""

BAND = 1.5
"""A column is calm only so far below the threshold."""

CLEARING = 3600
"""Effective rows of the window that must be calm: its noise is a third of half the floor."""

_PLAIN = 0.25  # sigma, or of the spread

_USUAL = 2.0  # sigma of what stretches of training differ by


@dataclass(frozen=True, slots=True)
class Floors:
    """The least effects that matter: location and scale in sigma, debiased PSI, and the change of a share."""

    sigma: float = 0.1
    psi: float = 0.01
    rate: float = 0.005

    def column(self) -> _Floats:
        """Return them in the order of ``TESTS``, shape ``(5, 1, 1)``."""
        values = [self.sigma, self.sigma, self.psi, self.rate, self.rate]
        return np.array(values, np.float64).reshape(-1, 1, 1)


ENORMOUS = Floors(sigma=0.5, psi=0.5, rate=0.05)
"""What is said before it is known how far rows depend on one another."""


@dataclass(frozen=True, slots=True)
class Past:
    """The windows of one moment. Days are pairs of how many, and their window."""

    suffixes: list[Window]
    hour: Window | None
    days: list[tuple[int, Window]]

    def windows(self) -> list[Window]:
        """Return all: suffixes, the last hour, days."""
        hour = [self.hour] if self.hour else []
        return [*self.suffixes, *hour, *(window for _, window in self.days)]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for the columns now, shape ``(series,)`` each."""

    limit: float
    floors: Floors
    deff: _Floats
    day_variance: _Floats
    seasonal: _Flags  # hours differ: only whole days, and a change from yesterday, may open an episode
    weekly: _Flags  # times of the week: only whole weeks may
    left: _Flags  # the last hour is not where it was yesterday
    since: _Floats  # when drift began that is on; minus infinity where none is
    warming: bool
    learning: _Floats | None  # while warming: what deff is at most, as far as that is known
    settled: bool  # while warming: enough hours were seen to tell a wave from a step


@dataclass(frozen=True, slots=True)
class Look:
    """What each column shows against a reference; shapes ``(series,)``.

    ``z`` is the largest over windows and tests that may speak, ``strong`` the largest of those whose effect
    is beyond the floor, ``near`` beyond half of it. ``test`` and ``window`` say where ``strong`` comes from,
    or ``near``, or ``z``, the first that there is; ``value`` and ``effect`` how far out and how large it is
    there. ``calm``: the window of ``clearing`` shows nothing.
    """

    z: _Floats
    strong: _Floats
    near: _Floats
    value: _Floats
    effect: _Floats
    test: NDArray[np.intp]
    window: NDArray[np.intp]
    calm: _Flags
    clearing: NDArray[np.intp]
    tested: _Flags


def judge(past: Past, tables: Tables, terms: Terms) -> Look:
    """Return what each column shows; at least one window must be there."""
    windows = past.windows()
    counts = np.stack([window.counts for window in windows], axis=1)
    deff = _effects(past, counts, tables, terms)
    found = tables.evidence(counts, deff, terms.learning)
    z = np.where(_may_speak(past, terms), found.z, 0.0)
    floors = terms.floors.column()
    if terms.warming:  # what training never saw is no wave, however rows depend on one another
        floors = np.concatenate([ENORMOUS.column()[:-1], floors[-1:]])
    # what may be as large as the floor, by its standard error, is not below it
    size = np.abs(found.effect) + found.error
    certain = np.where(counts.sum(axis=2) >= LEAST_SHAPE * deff, z[2], 0.0)
    strong, near = np.where(size >= floors, z, 0.0), np.where(size >= floors / 2, z, 0.0)
    strong[2] = np.minimum(strong[2], certain)
    flat = _telling(strong, near, z, terms.limit).transpose(1, 0, 2).reshape(len(deff), -1)
    best = flat.argmax(axis=1)
    test, window = np.unravel_index(best, (z.shape[0], z.shape[2]))
    series = np.arange(len(deff))
    test = _plainer(test, strong[:, series, window], found.effect[:, series, window], tables.numeric, terms)
    clearing = _clearing(past, counts, terms)
    calm = _calm(found, clearing, terms, tables.unrest)
    return Look(
        z.max(axis=(0, 2)),
        strong.max(axis=(0, 2)),
        near.max(axis=(0, 2)),
        z[test, series, window],
        found.effect[test, series, window],
        test,
        window,
        calm,
        clearing,
        (counts.sum(axis=2) >= 50 * terms.deff[:, None]).any(axis=1) & (tables.rows >= 50),
    )


def _telling(strong: _Floats, near: _Floats, z: _Floats, limit: float) -> _Floats:
    """Return what orders windows and tests: what is certain goes before what is large, and may be chance."""
    ranks = [strong > limit, near > limit, strong > 0, near > 0]
    return np.select(ranks, [strong + 4e6, near + 3e6, strong + 2e6, near + 1e6], z)


def _plainer(
    test: NDArray[np.intp], strong: _Floats, effect: _Floats, numeric: _Flags, terms: Terms
) -> NDArray[np.intp]:
    """Say of numbers where they went, or how wide they are, where that alone is drift enough.

    The test of shape is often the strongest, and people see a direction sooner than a distance.
    """
    plainer = test
    for other in (1, 0):
        plain = (test == 2) & numeric & (strong[other] > terms.limit) & (np.abs(effect[other]) >= _PLAIN)
        plainer = np.where(plain, other, plainer)
    return plainer


def _effects(past: Past, counts: NDArray[np.int64], tables: Tables, terms: Terms) -> _Floats:
    """Return deff of each window: of days, what days differ by counts as well."""
    deff = np.repeat(terms.deff[:, None], counts.shape[1], axis=1)
    first = counts.shape[1] - len(past.days)
    for place, (span, _) in enumerate(past.days, start=first):
        rows = (counts[:, place] * tables.valued).sum(axis=1)
        deff[:, place] = np.maximum(terms.deff, rows * terms.day_variance / span)
    return deff


def _may_speak(past: Past, terms: Terms) -> _Flags:
    """Return which tests of which windows may open an episode, shape ``(5, series, windows)``.

    Shares of missing, unseen and out-of-range values may always: no hour of the day excuses them.
    """
    count = len(past.windows())
    may = np.ones((5, len(terms.deff), count), np.bool_)
    suffixes, days = len(past.suffixes), count - len(past.days)
    by_block = ~(terms.seasonal | terms.weekly)
    if terms.warming and not terms.settled:
        by_block = np.zeros_like(by_block)
    may[:3, :, :suffixes] = by_block[None, :, None]
    may[:3, :, suffixes:days] = (terms.left & ~terms.weekly)[None, :, None]
    for place, (span, _) in enumerate(past.days, start=days):
        may[:3, :, place] = (~terms.weekly | (span == 7))[None, :]
    # of drift that is on, rows from before it would only blur the picture
    within = np.array([window.since for window in past.windows()]) >= terms.since[:, None]
    return may & (within | ~within.any(axis=1, keepdims=True))


def _clearing(past: Past, counts: NDArray[np.int64], terms: Terms) -> NDArray[np.intp]:
    """Return the shortest suffix that can show calm; for columns with a season the last 24 hours, if kept."""
    rows = counts[:, : len(past.suffixes)].sum(axis=2)
    wide = rows >= CLEARING * terms.deff[:, None]
    chosen = np.where(wide.any(axis=1), wide.argmax(axis=1), max(len(past.suffixes) - 1, 0))
    if past.days:
        day = counts.shape[1] - len(past.days)
        chosen = np.where(terms.seasonal | terms.weekly, day, chosen)
    return chosen.astype(np.intp)


def _calm(found: Evidence, clearing: NDArray[np.intp], terms: Terms, unrest: _Floats) -> _Flags:
    series = np.arange(len(clearing))
    z, effect = found.z[:, series, clearing], np.abs(found.effect[:, series, clearing])
    small = effect < terms.floors.column()[:, 0] / 2
    # what differs from training as its own stretches do will hardly come nearer
    restless = np.column_stack([unrest, unrest[:, 2], np.zeros(len(series))]).T > 0
    like = restless & (z < _USUAL)
    calm: _Flags = np.logical_and.reduce((z < terms.limit - BAND) & (small | like), axis=0)
    return calm
