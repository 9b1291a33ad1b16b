"""Can a classifier tell rows of now from reference rows? What changes in no column alone is seen here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.statistics.pair import Floats
from inprocml.monitoring.statistics.pair_trees import fit_pair_trees, no_pause
from inprocml.monitoring.statistics.pooled import pooled
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["DomainShift", "domain_auc", "domain_classifier"]

_ROUNDS = 30
_AT_ONCE = 50  # permutations between two pauses: half a millisecond


@dataclass(frozen=True, slots=True)
class DomainShift:
    """The area under the curve on rows that the classifier had not seen; 0.5 where nothing can be told.

    ``p_value``: the chance of one at least as large without drift. ``weights``: how much each column told,
    shape ``(columns,)``, adding up to 1; to be ranked by, not decided on.
    """

    statistic: float
    p_value: float
    weights: tuple[float, ...]

    @property
    def auc(self) -> float:
        """The statistic by its name."""
        return self.statistic


def domain_classifier(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    permutations: int = 999,
    enough: int | None = None,
    seed: int = 0,
    pause: Callable[[], object] = no_pause,
) -> DomainShift | Undefined:
    """Return how well boosted trees tell ``current`` rows from ``reference`` rows.

    Both have shape ``(rows, columns)``, float64, NaN where missing. At most 2000 rows of each are looked at,
    drawn by ``seed``; the same arguments give the same result. Rows are halved; each half is scored by trees
    fitted on the other (``pair_trees``), and its labels are permuted under the scores, which is exact for one
    half. The halves depend on one another, so the p-value is twice the smaller of theirs: it may be too
    large, not too small. With ``enough``, permutations of a half end when so many showed as much: the p-value
    is as valid, and where nothing is to be seen it is there soon. ``pause`` is called every few milliseconds,
    to let other threads at the interpreter. Undefined below 20 rows of a side. Raises ``ValueError`` for
    other shapes, and for fewer than 19 permutations.

    Source: Lopez-Paz and Oquab, Revisiting classifier two-sample tests, 2017; Friedman 2001 for boosting;
    Besag and Clifford, Sequential Monte Carlo p-values, 1991.

    >>> rows = np.random.default_rng(0).normal(size=(800, 2))
    >>> flipped = np.column_stack([rows[:, 0], rows[:, 0] + 0.5 * rows[:, 1]]), np.column_stack(
    ...     [rows[::-1, 0], 0.5 * rows[:, 1] - rows[::-1, 0]]
    ... )
    >>> found = domain_classifier(*flipped)
    >>> found.auc > 0.8, found.p_value
    (True, 0.002)
    """
    if permutations < 19:
        raise ValueError(f"{permutations} permutations cannot show a p-value below 0.05: ask for 19 or more.")
    parted = _parted(reference, current, seed)
    if isinstance(parted, Undefined):
        return parted
    rows, is_current, half, draw = parted
    chance = _Chance(permutations, enough, draw, pause)
    aucs, chances, gains = [], [], []
    for side in (0, 1):
        tested = _tested(rows, is_current, half == side, draw, pause)
        aucs.append(tested.auc)
        chances.append(chance.of(tested.ranks, tested.size, tested.observed))
        gains.append(tested.gains)
    return DomainShift(
        statistic=(aucs[0] + aucs[1]) / 2,
        p_value=min(1.0, 2 * min(chances)),
        weights=tuple(((gains[0] + gains[1]) / 2).tolist()),
    )


def domain_auc(reference: ArrayLike, current: ArrayLike, *, seed: int = 0) -> float | Undefined:
    """Return the AUC of ``domain_classifier`` alone: without permutations it takes a fraction of the time.

    Of up to 48 columns it is the same number; of more, chance picks other columns to look at. Undefined and
    ``ValueError`` as there.

    >>> rows = np.random.default_rng(0).normal(size=(400, 2))
    >>> domain_auc(rows, rows + 1) == domain_classifier(rows, rows + 1).auc
    True
    """
    parted = _parted(reference, current, seed)
    if isinstance(parted, Undefined):
        return parted
    rows, is_current, half, draw = parted
    found = [_tested(rows, is_current, half == side, draw, no_pause).auc for side in (0, 1)]
    return (found[0] + found[1]) / 2


def _parted(
    reference: ArrayLike, current: ArrayLike, seed: int
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.intp], np.random.Generator] | Undefined:
    """Return the rows of both sides, which are current, the half that each is in, and what drew that."""
    pool = pooled(reference, current, seed)
    if isinstance(pool, Undefined):
        return pool
    draw = np.random.default_rng(seed)
    return *pool, _halves(pool[1], draw), draw


def _halves(is_current: NDArray[np.bool_], draw: np.random.Generator) -> NDArray[np.intp]:
    """Return 0 or 1 for each row, as often on each side."""
    half = np.zeros(len(is_current), dtype=np.intp)
    for side in (False, True):
        places = draw.permutation(np.flatnonzero(is_current == side))
        half[places[len(places) // 2 :]] = 1
    return half


@dataclass(frozen=True, slots=True)
class _Tested:
    """The ranks of one half's scores, the sum of those of ``size`` current rows, and the columns' gains."""

    ranks: Floats
    size: int
    observed: float
    gains: Floats

    @property
    def auc(self) -> float:
        least = self.size * (self.size + 1) / 2
        return (self.observed - least) / (self.size * (len(self.ranks) - self.size))


def _tested(
    rows: Floats,
    is_current: NDArray[np.bool_],
    tested: NDArray[np.bool_],
    draw: np.random.Generator,
    pause: Callable[[], object],
) -> _Tested:
    """Return how trees that were fitted on the other rows score the tested ones."""
    trees = fit_pair_trees(rows[~tested], is_current[~tested], rounds=_ROUNDS, draw=draw, pause=pause)
    ranks = _ranks(trees.score(rows[tested]))
    now = is_current[tested]
    return _Tested(ranks, int(now.sum()), float(ranks[now].sum()), trees.gains)


@dataclass(frozen=True, slots=True)
class _Chance:
    """How labels are permuted, as ``domain_classifier`` was told."""

    permutations: int
    enough: int | None
    draw: np.random.Generator
    pause: Callable[[], object]

    def of(self, ranks: Floats, size: int, observed: float) -> float:
        """Return the chance that ``size`` of the ranks have a sum of ``observed`` or more."""
        reached = 0
        for start in range(0, self.permutations, _AT_ONCE):
            self.pause()
            many = min(_AT_ONCE, self.permutations - start)
            shuffled = self.draw.permuted(np.tile(ranks, (many, 1)), axis=1)[:, :size]
            # Sums of the same number of ranks, whose halves are exact: ties between permutations are ties
            as_much = reached + np.cumsum(shuffled.sum(axis=1) >= observed)
            reached = int(as_much[-1])
            if self.enough is not None and reached >= self.enough:
                return self.enough / (start + 1 + int(np.searchsorted(as_much, self.enough)))
        return (1 + reached) / (1 + self.permutations)


def _ranks(scores: Floats) -> Floats:
    """Return the rank of each, from 1; equal scores share their mean rank."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
