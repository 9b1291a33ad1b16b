"""Boosted trees of depth two, found by looking at every pair of columns at once.

A split of one column and then of another is four counts, read off the joint histogram of the two; all
histograms of all pairs come from one product of matrices. So the split of a pair is found even where
neither column alone tells anything, as when only a correlation changed: a tree that is grown column by
column starts there by luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.statistics.pair import Floats

__all__ = ["PairTrees", "fit_pair_trees", "no_pause"]

Above = NDArray[np.bool_]
Ones = NDArray[np.float32]

_BINS = 8
_WIDEST = 48  # columns looked at in one round: cost grows with the square
_RATE = 0.3
_PRIOR = 10.0  # rows of doubt in each leaf
_PIECE = 64  # rows, and columns, multiplied at once


@dataclass(frozen=True, slots=True)
class Tree:
    """Whether a row is above one cut and above another, as places in the list of cuts; 2 x 2 leaves."""

    first: int
    second: int
    leaves: Floats

    def score(self, above: Above) -> Floats:
        """Return the leaf of each row."""
        found: Floats = self.leaves[
            above[:, self.first].astype(np.intp), above[:, self.second].astype(np.intp)
        ]
        return found


@dataclass(frozen=True, slots=True)
class PairTrees:
    """The fitted trees: ``cuts[c]`` cuts column ``columns[c]``; what is missing lies below every cut.

    ``gains`` says how much each column told, shape ``(columns,)``, adding up to 1 unless nothing was told.
    """

    columns: NDArray[np.intp]
    cuts: Floats
    trees: tuple[Tree, ...]
    gains: Floats

    def score(self, rows: Floats) -> Floats:
        """Return a number for each row of shape ``(rows, columns)``: the higher, the more like current."""
        above = rows[:, self.columns] >= self.cuts
        return sum((tree.score(above) for tree in self.trees), np.zeros(len(rows)))


def no_pause() -> None:
    """Go on at once."""


def fit_pair_trees(
    rows: Floats,
    is_current: NDArray[np.bool_],
    *,
    rounds: int,
    draw: np.random.Generator,
    pause: Callable[[], object] = no_pause,
) -> PairTrees:
    """Fit ``rounds`` trees that tell current rows from others: squared error, steps of 0.3.

    ``rows`` have shape ``(rows, columns)``, NaN where missing. Of more than 48 columns each round looks at
    48 that ``draw`` picks. ``pause`` is called before each round.

    Source: Friedman 2001 (boosting); Lou, Caruana, Gehrke and Hooker 2013 (pairs by joint histograms).
    """
    by_column = [_column_cuts(column) for column in rows.T]
    columns = np.repeat(np.arange(len(by_column)), [len(cuts) for cuts in by_column])
    cuts = np.concatenate(by_column)
    above = rows[:, columns] >= cuts
    residual = np.where(is_current, 1.0, -1.0)
    residual -= residual.mean()
    looks = _looks(above, columns, rows.shape[1], draw)
    trees, gains = [], np.zeros(rows.shape[1])
    for _ in range(rounds if len(cuts) else 0):
        pause()
        picked, seen, counts = next(looks)
        first, second, gain = _best_pair(seen, counts, residual)
        tree = _grown(above, residual, int(picked[first]), int(picked[second]))
        trees.append(tree)
        gains[columns[[tree.first, tree.second]]] += gain
        residual -= tree.score(above)
    total = gains.sum()
    return PairTrees(columns, cuts, tuple(trees), gains / total if total > 0 else gains)


def _column_cuts(column: Floats) -> Floats:
    """Return the values that part the column into about 8: those from the value on lie above.

    A value that holds an 8th of the rows or more is cut off from what follows, too. Where values are missing,
    the lowest is a cut: it parts missing from the rest.
    """
    known = np.sort(column[~np.isnan(column)])
    if not len(known):
        return known
    cuts = np.unique(known[np.arange(1, _BINS) * len(known) // _BINS])
    after = np.searchsorted(known, cuts, side="right")
    heavy = (after - np.searchsorted(known, cuts)) * _BINS >= len(known)
    nexts = known[after[heavy & (after < len(known))]]
    found = np.unique(np.concatenate([known[:1], cuts, nexts]))
    return found if len(known) < len(column) else found[1:]


def _looks(
    above: Above, columns: NDArray[np.intp], wide: int, draw: np.random.Generator
) -> Iterator[tuple[NDArray[np.intp], Ones, Ones]]:
    """Yield for each round the places of the cuts to look at, their part of ``above``, their joint counts."""
    if wide <= _WIDEST:
        seen = above.astype(np.float32)
        look = np.arange(len(columns)), seen, _products(seen, seen)
        while True:
            yield look
    while True:
        chosen = draw.permutation(wide)[:_WIDEST]
        picked = np.flatnonzero(np.isin(columns, chosen))
        seen = above[:, picked].astype(np.float32)
        yield picked, seen, _products(seen, seen)


def _products(one: Ones, other: Ones) -> Ones:
    """Return ``one.T @ other``, which must be symmetric, in pieces so small that BLAS keeps to this thread.

    OpenBLAS wakes a thread on each core for more than 2**18 multiplications, and waits for all of them: where
    others have the cores, for milliseconds each time.
    """
    rows, wide = one.shape
    made = np.zeros((wide, wide), np.float32)
    for a, b in combinations_with_replacement(range(0, wide, _PIECE), 2):
        left, right = slice(a, a + _PIECE), slice(b, b + _PIECE)
        for first in range(0, rows, _PIECE):
            part = slice(first, first + _PIECE)
            made[left, right] += one[part, left].T @ other[part, right]
        made[right, left] = made[left, right].T
    return made


def _best_pair(seen: Ones, counts: Ones, residual: Floats) -> tuple[int, int, float]:
    """Return the two cuts whose four leaves explain most of the residual, and how much that is."""
    left = residual.astype(np.float32)
    both = _products(seen, seen * left[:, None])
    sums, rows = both.diagonal(), counts.diagonal()  # of what is 0 or 1, the square is the same
    total, size = left.sum(), len(left)
    first_only, second_only = sums[:, None] - both, sums[None, :] - both
    gain = both**2 / (counts + _PRIOR)
    gain += first_only**2 / (rows[:, None] - counts + _PRIOR)
    gain += second_only**2 / (rows[None, :] - counts + _PRIOR)
    gain += (total - sums[:, None] - second_only) ** 2 / (
        size - rows[:, None] - rows[None, :] + counts + _PRIOR
    )
    place = int(np.argmax(gain))
    return place // len(rows), place % len(rows), float(gain.flat[place])


def _grown(above: Above, residual: Floats, first: int, second: int) -> Tree:
    places = 2 * above[:, first].astype(np.intp) + above[:, second]
    sums = np.bincount(places, weights=residual, minlength=4)
    rows = np.bincount(places, minlength=4)
    return Tree(first, second, (_RATE * sums / (rows + _PRIOR)).reshape(2, 2))
