"""When what a column shows began: the change point in the past that is kept.

A window that shows drift is as long as suits its test; the change began somewhere within it, or before. Of
all splits of that past into before and after the one is taken that tells the two apart best: the likelihood
ratio of two means with an unknown change point (Hinkley, Biometrika 57 (1970), 1-17).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.alarm.blocks import Window
from inprocml.monitoring.alarm.evidence import Tables
from inprocml.monitoring.alarm.folding import MISSING
from inprocml.monitoring.alarm.judging import Look, Past
from inprocml.monitoring.alarm.memory import Memory
from inprocml.monitoring.alarm.slots import DAY, HOUR

__all__ = ["onsets"]

_KNOWN = 100.0  # effective rows that the reference is worth as what was before: a tenth of sigma, the floor
_FAR = 4  # times a window's length
_PLAIN = 0.5  # of the squares between blocks

_Floats = NDArray[np.float64]


def onsets(memory: Memory, past: Past, look: Look, tables: Tables, deff: _Floats) -> _Floats:
    """Return since when each column shows what ``look`` found of ``past``: seconds since 1970, ``(series,)``.

    To within a block, or what its noise leaves. Of what whole hours or days show it is the start of these,
    unless one step explains most of what blocks differ by: columns are judged by whole days where there is a
    season, and that has no one moment at which it began.
    """
    windows = past.windows()
    starts = np.array([window.since for window in windows])[look.window]
    counts, since, ends, newer = _kept(memory)
    if not len(since):
        return starts
    scores, rows = _scored(windows, look, tables)
    sums = np.einsum("bsc,sc->bs", counts, scores)
    sizes = np.einsum("bsc,sc->bs", counts, rows)
    near = newer[:, None] < _reach(past)[look.window]
    place, part, explained = _split(sums, sizes, _KNOWN * deff, near)
    found = ends[place] - part * (ends - since)[place]
    trusted = np.array([window.blocks > 0 for window in windows])[look.window]
    trusted |= (starts >= since[-1]) & (explained > _PLAIN)
    result: _Floats = np.where(trusted, found, starts)
    return result


def _reach(past: Past) -> _Floats:
    """Return how many blocks back a change may lie that each window shows best.

    Had it been earlier, a longer window would show it better, if there is one.
    """
    longest = max((window.blocks for window in past.suffixes), default=0)
    return np.array(
        [_FAR * each.blocks if 0 < each.blocks < longest else np.inf for each in past.windows()], np.float64
    )


def _kept(memory: Memory) -> tuple[NDArray[np.int64], _Floats, _Floats, _Floats]:
    """Return what is kept of the past, newest first: counts, begins, ends, and how many blocks are newer.

    Shapes ``(parts, series, 16)`` and ``(parts,)``. Blocks as far as they reach, then whole hours, then whole
    days; nothing from before ``clock.anew``.
    """
    blocks, since, place = memory.blocks.kept()
    counts, begins, newer = [blocks.astype(np.int64)], [since], [place.astype(np.float64)]
    ends = [np.concatenate([[memory.clock.closed], since[:-1]])]
    for length, stamps, kept in (
        (HOUR, memory.slots.hour_stamps, memory.slots.hours),
        (DAY, memory.slots.day_stamps, memory.slots.days),
    ):
        oldest = min((part.min() for part in begins if len(part)), default=-np.inf)
        known = (stamps >= 0) & ((stamps + 1) * length <= oldest) & (stamps * length >= memory.clock.anew)
        places = np.flatnonzero(known)
        places = places[np.argsort(-stamps[places])]
        counts.append(kept[places].astype(np.int64))
        begins.append(np.asarray(stamps[places] * length, np.float64))
        ends.append(np.asarray((stamps[places] + 1) * length, np.float64))
        newer.append(np.full(len(places), np.finfo(np.float64).max))
    return np.concatenate(counts), np.concatenate(begins), np.concatenate(ends), np.concatenate(newer)


def _scored(windows: Sequence[Window], look: Look, tables: Tables) -> tuple[_Floats, _Floats]:
    """Return what a row in each cell adds to what the test sees, and which rows are rows to it.

    Shape ``(series, 16)`` each; in the reference rows add 0 on average.
    """
    series = np.arange(len(look.test))
    shown = np.stack([window.counts for window in windows], axis=1)[series, look.window] * tables.valued
    then = tables.counts * tables.valued
    ratio = np.log(_shares(shown)) - np.log(_shares(then))
    missing = np.zeros_like(ratio)
    missing[:, MISSING] = 1
    every = np.ones_like(ratio)
    scores = np.stack([*tables.scores, ratio, missing, tables.outside])[look.test, series]
    rows: _Floats = np.stack([tables.valued] * 3 + [every] * 2)[look.test, series]
    known = tables.counts * rows
    usual = (known * scores).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    centred: _Floats = (scores - usual[:, None]) * rows
    return centred, rows


def _shares(counts: _Floats) -> _Floats:
    smoothed = counts + 0.5
    result: _Floats = smoothed / smoothed.sum(axis=1, keepdims=True)
    return result


def _split(
    sums: _Floats, sizes: _Floats, known: _Floats, near: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], _Floats, _Floats]:
    """Return in which block the change lies, which part of it comes after, and how much that explains.

    The last is a share of the squares between blocks. Shapes ``(blocks, series)``, the newest first. What was
    before is told by older blocks and, as if they were ``known`` rows, by the reference. A block between two
    means is taken to be of both. A change lies where ``near`` says that it may.
    """
    newer, newer_rows = np.cumsum(sums, axis=0), np.cumsum(sizes, axis=0)
    older, older_rows = newer[-1] - newer, newer_rows[-1] - newer_rows + known
    whole = newer**2 / np.maximum(newer_rows, 1) + older**2 / older_rows  # all of the block comes after
    after = (newer - sums) / np.maximum(newer_rows - sizes, 1)
    before, mean = older / older_rows, sums / np.maximum(sizes, 1)
    apart = after - before
    part = (mean - before) / np.where(apart == 0, 1, apart)
    within = (part > 0) & (part < 1) & (newer_rows > sizes) & (apart != 0)
    gain = after**2 * (newer_rows - sizes) + before * older + mean**2 * sizes
    best = np.where(near, np.where(within, np.maximum(gain, whole), whole), -1.0)
    place, series = best.argmax(axis=0), np.arange(sums.shape[1])
    inner = (within & (gain > whole))[place, series]
    differ = (sums**2 / np.maximum(sizes, 1)).sum(axis=0) - whole[-1]
    explained = (best[place, series] - whole[-1]) / np.maximum(differ, 1e-9)
    return place, np.where(inner, part[place, series], 1.0), explained
