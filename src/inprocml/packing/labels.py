"""Counting the training labels, so that the bundle knows how common each class was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from inprocml.bundle import Classes, Output
from inprocml.errors import PackError

__all__ = ["count_labels", "listed", "spelling", "strangers"]


def count_labels(
    labels: Iterable[Any], output: Output, classes: tuple[Any, ...] | None, rows: int
) -> tuple[int, ...] | None:
    """Count ``labels`` (one per baseline row) in the order of the output's labels.

    Each is one of the output's labels, or one of ``classes`` (what the estimator was fitted on), or a
    position among the labels: the first of these that fits all. ``None`` for a regression, whose
    targets are not counted. Raises ``PackError`` when none fits or the length differs.
    """
    values = listed(labels)
    if len(values) != rows:
        raise PackError(
            f"labels has {len(values)} entries, the baseline {rows} rows. Give one label per row."
        )
    if not isinstance(output, Classes):
        return None
    names = spelling(values, output, classes)
    if names is None:
        raise PackError(f"labels: {strangers(values, output)} Give the y that the model was trained on.")
    counts = Counter(values)
    return tuple(counts[name] for name in names)


def listed(labels: Iterable[Any]) -> list[Any]:
    """Return labels as Python's own values; those of a column with one entry a row are taken out of it."""
    values = np.asarray(labels if hasattr(labels, "__len__") else list(labels)).tolist()
    values = values if isinstance(values, list) else [values]
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]


def spelling(values: list[Any], output: Classes, classes: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    """Return how the labels are spelt, in the order of the output's: the first spelling that fits all."""
    if not values or not all(isinstance(value, str | int | float) for value in values):
        return None
    found = set(values)
    spellings = (output.labels, classes or (), tuple(range(len(output.labels))))
    return next((names for names in spellings if found <= set(names)), None)


def strangers(values: list[Any], output: Classes) -> str:
    """Say how many labels are of no class."""
    known = set(output.labels)
    strange = sum(not isinstance(value, str | int | float) or value not in known for value in values)
    return (
        f"{strange} of {len(values)} are neither one of the output's labels nor a class of the model nor a "
        "position among the labels."
    )
