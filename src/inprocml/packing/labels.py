"""Counting the training labels, so that the bundle knows how common each class was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from inprocml.bundle import Classes, Output
from inprocml.errors import PackError

__all__ = ["count_labels"]


def count_labels(
    labels: Iterable[Any], output: Output, classes: tuple[Any, ...] | None, rows: int
) -> tuple[int, ...] | None:
    """Count ``labels`` (one per baseline row) in the order of the output's labels.

    Each is one of the output's labels, or one of ``classes`` (what the estimator was fitted on), or a
    position among the labels: the first of these that fits all. ``None`` for a regression, whose
    targets are not counted. Raises ``PackError`` when none fits or the length differs.
    """
    values = np.asarray(labels if hasattr(labels, "__len__") else list(labels)).tolist()
    values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]
    if len(values) != rows:
        raise PackError(
            f"labels has {len(values)} entries, the baseline {rows} rows. Give one label per row."
        )
    if not isinstance(output, Classes):
        return None
    counts = Counter(values) if all(isinstance(value, str | int | float) for value in values) else Counter()
    for names in (output.labels, classes or (), tuple(range(len(output.labels)))):
        if counts and counts.keys() <= set(names):
            return tuple(counts[name] for name in names)
    strange = len([value for value in values if value not in set(output.labels)])
    raise PackError(
        f"labels: {strange} of {rows} are neither one of the output's labels nor a class of the model nor a "
        "position among the labels. Give the y that the model was trained on."
    )
