"""Some training rows as bins, for the baseline: with what rows of now are compared, all columns together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.baseline import Baseline, came_once
from inprocml.monitoring.places import MOST_ROWS, in_rows, taken

__all__ = ["with_sample"]

_SEED = 20130101


def with_sample(
    baseline: Baseline, columns: Mapping[str, NDArray[Any]], outputs: Mapping[str, ArrayLike]
) -> Baseline:
    """Return ``baseline`` with at most 500 of the rows that it was built from (``build_baseline``).

    Drawn by a fixed seed, so that the same table gives the same bundle; kept as the bins that their values
    lie in, of the first 48 columns that are no times of the week (``places``).
    """
    bins = baseline.watched()
    chosen = np.sort(np.random.default_rng(_SEED).permutation(baseline.rows)[:MOST_ROWS])
    if not taken(bins) or not len(chosen):
        return baseline
    places = baseline.places(
        {name: columns[name][chosen] for name in baseline.fields},
        {name: np.asarray(given)[chosen] for name, given in outputs.items()},
    )
    for place, (name, counted) in enumerate(baseline.fields.items()):
        if name in baseline.once:  # to all other rows, its value is one never seen
            places[place][came_once(columns[name])[chosen]] = counted.bins.size - 2
    return replace(baseline, sample=in_rows([places[place] for place in taken(bins)]).tobytes())
