"""Some training rows as bins, for the baseline: with what rows of now are compared, all columns together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.baseline import Baseline, came_once
from inprocml.monitoring.places import MOST_ROWS, Rows, in_rows, taken

__all__ = ["binned", "drawn", "with_sample"]

_SEED = 20130101


def with_sample(
    baseline: Baseline, columns: Mapping[str, NDArray[Any]], outputs: Mapping[str, ArrayLike]
) -> Baseline:
    """Return ``baseline`` with at most 500 of the rows that it was built from (``build_baseline``).

    Drawn by a fixed seed, so that the same table gives the same bundle; kept as the bins that their values
    lie in, of the first 48 columns that are no times of the week (``places``).
    """
    chosen = drawn(baseline.rows)
    if not taken(baseline.watched()) or not len(chosen):
        return baseline
    return replace(baseline, sample=binned(baseline, columns, outputs, chosen).tobytes())


def drawn(rows: int) -> NDArray[np.intp]:
    """Return which of so many rows are in the sample, ascending."""
    return np.sort(np.random.default_rng(_SEED).permutation(rows)[:MOST_ROWS])


def binned(
    baseline: Baseline,
    columns: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, ArrayLike],
    chosen: NDArray[np.intp],
) -> Rows:
    """Return the ``chosen`` ones of the rows that ``baseline`` was built from, as bins."""
    places = baseline.places(
        {name: columns[name][chosen] for name in baseline.fields},
        {name: np.asarray(given)[chosen] for name, given in outputs.items()},
    )
    for place, (name, counted) in enumerate(baseline.fields.items()):
        if name in baseline.once:  # to all other rows, its value is one never seen
            places[place][came_once(columns[name])[chosen]] = counted.bins.size - 2
    return in_rows([places[place] for place in taken(baseline.watched())])
