"""Some training rows as bins, for the baseline: with what rows of now are compared, all columns together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.baseline import Baseline, came_once
from inprocml.monitoring.places import MOST_ROWS, Rows, in_rows, taken

__all__ = ["binned", "drawn", "lone", "with_sample"]

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
    alone = lone(baseline, columns)
    return replace(baseline, sample=binned(baseline, columns, outputs, chosen, alone).tobytes())


def drawn(rows: int) -> NDArray[np.intp]:
    """Return which of so many rows are in the sample, ascending."""
    return np.sort(np.random.default_rng(_SEED).permutation(rows)[:MOST_ROWS])


def lone(baseline: Baseline, columns: Mapping[str, NDArray[Any]]) -> dict[int, NDArray[np.bool_]]:
    """Return which rows hold a value that no other holds, by the place of the column, of those ``taken``."""
    names = dict(enumerate(baseline.fields))
    wanted = [place for place in taken(baseline.watched()) if names.get(place) in baseline.once]
    return {place: came_once(columns[names[place]]) for place in wanted}


def binned(
    baseline: Baseline,
    columns: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, ArrayLike],
    chosen: NDArray[np.intp],
    alone: Mapping[int, NDArray[np.bool_]],
) -> Rows:
    """Return the ``chosen`` ones of the rows that ``baseline`` was built from, as bins.

    ``alone``: from ``lone``; to all other rows, such a value is one never seen.
    """
    bins = baseline.watched()
    wanted, names = taken(bins), list(baseline.fields)
    found = baseline.places(
        {names[place]: columns[names[place]][chosen] for place in wanted if place < len(names)},
        {name: np.asarray(given)[chosen] for name, given in outputs.items()},
        wanted,
    )
    for place, places in zip(wanted, found, strict=True):
        if place in alone:
            places[alone[place][chosen]] = bins[place].size - 2
    return in_rows(found)
