"""How far stretches of the training rows lie apart, all columns together: measured when a model is packed.

One day of training is not like all of it: a storm, a Sunday, a month. What is measured is what the hourly
look at rows of now (``joint``) sees if nothing has changed since: on the same bins, with as many rows and the
same classifier. Only the stretches that lie farthest out by their single columns are tried: fitting costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.baseline import Baseline
from inprocml.monitoring.bins import Bins
from inprocml.monitoring.places import MOST_ROWS, Rows, numbers, taken
from inprocml.monitoring.sample import binned, drawn, lone
from inprocml.monitoring.statistics import domain_auc
from inprocml.monitoring.statistics.result import Undefined
from inprocml.monitoring.stretches import CALM, FEWEST_ROWS, NOISE, Stretch, spread

__all__ = ["with_stretches"]

_LENGTHS = (500, 2_000, 8_000, 32_000)  # rows; a day of now is held to the longest that is no longer than it
_LEAST_STRETCHES = 8  # in a table, one after the other
_MOST_CELLS = 400  # halves of stretches that are read
_RUN = 4  # of them one after the other where not all are: two stretches
_TRIED = 8  # stretches of a length, ...
_FITS = 2_000  # ... fewer by the square of the columns, with which the cost of each grows
_CERTAIN = 4.0  # sigma: chance has the largest of so many AUCs show as much in few of a hundred tables
_SORTED = 0.8  # the AUC of a stretch like most from which the table is sorted, and its order tells no time


def with_stretches(
    baseline: Baseline, columns: Mapping[str, NDArray[Any]], outputs: Mapping[str, ArrayLike]
) -> Baseline:
    """Return ``baseline`` with how far stretches of its rows lie apart (``build_baseline``, ``with_sample``).

    For each of up to four lengths the largest AUC by which a stretch was told from the sample of all rows,
    and from the stretch before it. None of a table of under 800 rows, of one whose rows come in no order, and
    of one that is plainly sorted by a column. A second or two: of a length 400 half stretches are read, 250
    rows of each, and up to 16 classifiers fitted. Values that came once are sought in all rows besides.
    """
    bins = baseline.watched()
    if not baseline.sample:
        return baseline
    found: list[Stretch] = []
    lengths, alone = _lengths(baseline.rows), lone(baseline, columns)
    for length in lengths:
        cells, begins = _cells(baseline.rows, length // 2)
        rows = binned(baseline, columns, outputs, cells.reshape(-1), alone).reshape(*cells.shape, -1)
        table = _Table(bins, rows, begins, length // 2, baseline.sampled, drawn(baseline.rows))
        if length == lengths[0] and table.is_sorted():
            break
        each = table.measured(found[-1] if found else None)
        if found or (each.train, each.live) != (CALM, CALM):
            found.append(each)
    return replace(baseline, stretches=tuple(found))


def _lengths(rows: int) -> list[int]:
    fit = [length for length in _LENGTHS if length * _LEAST_STRETCHES <= rows]
    short = rows // _LEAST_STRETCHES
    return fit or ([short] if short // 2 * 2 >= FEWEST_ROWS else [])


def _cells(rows: int, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows read of halves of stretches, shape ``(cells, rows)``, and which halves these are."""
    every = rows // size
    begins = np.arange(every)
    if every > _MOST_CELLS:
        runs = _MOST_CELLS // _RUN
        begins = (np.arange(runs)[:, None] * (every - _RUN) // (runs - 1) + np.arange(_RUN)).reshape(-1)
    read = min(size, MOST_ROWS // 2)
    return begins[:, None] * size + np.arange(read) * size // read, begins


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows of halves of stretches as bins, shape ``(cells, rows, columns)``.

    ``begins`` says which halves, ``size`` how long they are; ``sample`` is of all rows, from where ``drawn``.
    """

    bins: Sequence[Bins]
    cells: Rows
    begins: NDArray[np.intp]
    size: int
    sample: Rows
    drawn: NDArray[np.intp]

    def is_sorted(self) -> bool:
        """Whether even a stretch that lies as far out as most can hardly be mistaken."""
        alone, _ = self._ranked()
        return len(alone) > 0 and self._from_all(int(alone[len(alone) // 2])) > _SORTED

    def measured(self, shorter: Stretch | None) -> Stretch:
        """Return what the stretches show that lie farthest out.

        Where shorter ones have shown that training is restless, it need not be beyond chance again. What
        leaves no room for a look to lie beyond it is a seam of the table, and counts for nothing.
        """
        tried = max(1, min(_TRIED, _FITS // self.cells.shape[2] ** 2))
        alone, pairs = (ranked[:tried].tolist() for ranked in self._ranked())
        rows = len(self._stretch(0))
        certain, seam = CALM + _CERTAIN * spread(rows, rows), 1 - NOISE * spread(MOST_ROWS, MOST_ROWS)

        def largest(look: Callable[[int], float], places: Sequence[int], known: float) -> float:
            found = max((auc for auc in map(look, places) if auc < seam), default=CALM)
            return round(found, 3) if found > (CALM if known > CALM else certain) else CALM

        calm = Stretch(0, CALM, CALM)
        train = largest(self._from_all, alone, (shorter or calm).train)
        return Stretch(2 * self.size, train, largest(self._from_before, pairs, (shorter or calm).live))

    def _ranked(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the stretches, and pairs of them, by squared Hellinger distances summed over the columns.

        The farthest come first; a stretch is said by its first half.
        """
        alone, pairs = np.zeros(len(self.cells) - 1), np.zeros(max(len(self.cells) - 3, 0))
        for column, place in enumerate(taken(self.bins)):
            size, cells = self.bins[place].size, len(self.cells)
            flat = np.arange(cells)[:, None] * size + self.cells[:, :, column]
            counts = np.bincount(flat.reshape(-1), minlength=cells * size).reshape(cells, size)
            both = counts[:-1] + counts[1:]
            shares = np.sqrt(both / both.sum(axis=1, keepdims=True))
            alone += 1 - shares @ np.sqrt(counts.sum(axis=0) / counts.sum())
            pairs += 1 - (shares[:-2] * shares[2:]).sum(axis=1)
        whole = np.flatnonzero(self.begins[1:] - self.begins[:-1] == 1)
        twice = np.flatnonzero(self.begins[3:] - self.begins[:-3] == 3)
        return (
            whole[np.argsort(-alone[whole], kind="stable")],
            twice[np.argsort(-pairs[twice], kind="stable")],
        )

    def _stretch(self, place: int) -> Rows:
        return np.concatenate([self.cells[place], self.cells[place + 1]])

    def _from_all(self, place: int) -> float:
        """Return the AUC of a stretch against the sample, less those of its own rows that are in it."""
        first = int(self.begins[place]) * self.size
        others = (self.drawn < first) | (self.drawn >= first + 2 * self.size)
        return self._auc(self.sample[others], self._stretch(place))

    def _from_before(self, place: int) -> float:
        return self._auc(self._stretch(place), self._stretch(place + 2))

    def _auc(self, reference: Rows, current: Rows) -> float:
        found = domain_auc(numbers(reference, self.bins), numbers(current, self.bins))
        return CALM if isinstance(found, Undefined) else found
