"""How far the training rows differ among themselves: what a stretch of them may look like without a change.

The rows of a training table are often in the order of time, and its months are not alike. A window of live
rows that lies as far from the whole as one of these stretches does is no news.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.alarm.evidence import Tables, normal_of_square
from inprocml.monitoring.alarm.folding import Folding
from inprocml.monitoring.baseline import Baseline
from inprocml.monitoring.series import layout_of
from inprocml.monitoring.statistics import shift

__all__ = ["CHUNKS", "with_unrest"]

CHUNKS = 16
_LEAST_CHUNKS, _LEAST_ROWS = 4, 100
_CERTAIN = 4.0  # sigma: chance has a shuffled table show unrest in one column out of 10,000
_SORTED = 0.5  # a table whose stretches differ by more is sorted by this column, and its order tells no time

_Floats = NDArray[np.float64]


def with_unrest(
    baseline: Baseline, columns: Mapping[str, NDArray[Any]], outputs: Mapping[str, ArrayLike]
) -> Baseline:
    """Return ``baseline`` with the unrest of the rows that it was built from (``build_baseline``).

    The rows are cut into up to 16 chunks in their order. Of location, scale, and shares, the variance of the
    chunks beyond that of independent rows, as a part of the variance of one row (an intraclass correlation:
    Kish, "Survey Sampling" (1965), 5.4; Rao and Scott, JASA 76 (1981), 221-230). 0 where chance may explain
    it, where there are too few rows, and where the rows are plainly sorted by the column.
    """
    folding = Folding(layout_of(baseline))
    count = min(CHUNKS, baseline.rows // _LEAST_ROWS)
    if count < _LEAST_CHUNKS or not folding.layout.series:
        return baseline
    places = np.array_split(np.arange(baseline.rows), count)
    chunks = np.stack([_chunk(baseline, folding, part, columns, outputs) for part in places])
    found = _unrest(Tables(folding, folding.reference), chunks)
    told = {
        (series.role, series.name): (float(each[0]), float(each[1]), float(each[2]))
        for series, each in zip(folding.layout.series, np.round(found, 9), strict=True)
        if each.any()
    }
    return replace(baseline, unrest=told)


def _chunk(
    baseline: Baseline,
    folding: Folding,
    rows: NDArray[np.intp],
    columns: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, ArrayLike],
) -> NDArray[np.int64]:
    inputs = baseline.count({name: columns[name][rows] for name in baseline.fields})
    answers = baseline.count_outputs({name: np.asarray(given)[rows] for name, given in outputs.items()})
    counted = {("input", name): counts for name, counts in inputs.items()}
    counted |= {("output", name): counts for name, counts in answers.items()}
    parts = [counted[each.role, each.name].counts for each in folding.layout.series]
    return folding.fold(folding.layout.joined(parts))


def _unrest(tables: Tables, chunks: NDArray[np.int64]) -> _Floats:
    """Return location, scale and shares, shape ``(series, 3)``, of ``(chunks, series, 16)``."""
    values = chunks * tables.valued
    rows, known = chunks.sum(axis=2), values.sum(axis=2)
    directed = [_between(shift(scores, values), known, np.ones(rows.shape[1])) for scores in tables.scores]
    missing, rare = tables.weights[:, :, -3], tables.weights[:, :, -1]
    rates = [(tables.counts * mask).sum(axis=1) / np.maximum(tables.rows, 1) for mask in (missing, rare)]
    shares = [
        _between((chunks * mask).sum(axis=2) / np.maximum(rows, 1), rows, rate)
        for mask, rate in zip((missing, rare), rates, strict=True)
    ]
    return np.stack([*directed, np.max([*shares, _shape(tables, values)], axis=0)], axis=1)


def _between(means: _Floats, rows: NDArray[Any], variance: _Floats) -> _Floats:
    """Return the variance of ``means`` beyond their noise, in units of the variance of one row."""
    total = np.maximum(rows.sum(axis=0), 1)
    centre = (means * rows).sum(axis=0) / total
    square = (rows * (means - centre) ** 2).sum(axis=0)
    freedom = np.full(len(total), len(means) - 1)
    return _excess(np.where(variance > 0, square / np.where(variance > 0, variance, 1), 0), freedom, rows)


def _shape(tables: Tables, values: NDArray[Any]) -> _Floats:
    """Return the same of all shares together: Pearson's chi-square of the chunks against their sum."""
    grouped = np.matmul(values.transpose(1, 0, 2).astype(np.float64), tables.grouping)
    rows = grouped.sum(axis=2)
    total = grouped.sum(axis=1, keepdims=True)
    wanted = rows[:, :, None] * total / np.maximum(rows.sum(axis=1), 1)[:, None, None]
    square = np.where(wanted > 0, (grouped - wanted) ** 2 / np.where(wanted > 0, wanted, 1), 0).sum(
        axis=(1, 2)
    )
    freedom = (len(values) - 1) * np.maximum(tables.groups - 1, 1)
    return _excess(square, freedom, rows.T)


def _excess(square: _Floats, freedom: NDArray[Any], rows: NDArray[Any]) -> _Floats:
    """Return what a chi-square says beyond chance, for each row of a chunk."""
    found = (square / freedom - 1) / np.maximum(rows.mean(axis=0), 1)
    told = (normal_of_square(square, freedom.astype(np.float64)) > _CERTAIN) & (found < _SORTED)
    return np.where(told, found, 0.0)
