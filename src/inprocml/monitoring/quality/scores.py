"""From a model's outputs to the one score a row that is kept; and the counts of rows labelled beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.quality.settings import code_of
from inprocml.monitoring.quality.tally import LARGEST, ClassTally, NumberTally, Tally

__all__ = ["reference", "scored", "sound"]

_PORTION = 65_536


def scored(
    outputs: NDArray[np.float64], classes: int, chosen: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the score of each row, in float32 as it is kept, and the place of the class answered.

    ``outputs``: shape ``(rows, classes)``, or ``(rows,)`` of the second of two classes, or ``(rows,)`` of a
    regression, for which ``classes`` is 0. ``ValueError`` for another shape.
    """
    if not classes:
        if outputs.ndim != 1:
            raise ValueError("the outputs of a regression are of shape (rows,)")
        with np.errstate(over="ignore"):  # too large is infinite, and then not kept
            return outputs.astype(np.float32).astype(np.float64), np.zeros(len(outputs), np.int64)
    if outputs.ndim == 1 and classes == 2:
        outputs = np.column_stack([1 - outputs, outputs])
    if outputs.ndim != 2 or outputs.shape[1] != classes:
        raise ValueError(f"outputs are of shape (rows, {classes})")
    if chosen is None:
        chosen = outputs.argmax(axis=1)
    answered = np.clip(chosen, 0, classes - 1)
    scores = outputs[:, 1] if classes == 2 else outputs[np.arange(len(outputs)), answered]
    return np.clip(scores, 0.0, 1.0).astype(np.float32).astype(np.float64), chosen


def sound(scores: NDArray[np.float64], choices: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Return which rows can be counted: a finite score, and a class that there is."""
    return np.isfinite(scores) & (np.abs(scores) <= LARGEST) & (choices >= 0) & (choices < max(1, classes))


def reference(
    classes: Sequence[Any], outputs: ArrayLike, labels: Sequence[Any], *, chosen: ArrayLike | None = None
) -> Tally:
    """Count rows whose labels are known, for ``Settings(reference=)``: rows the model was not trained on.

    ``classes``: in the order of the outputs; () for a regression. ``outputs`` and ``chosen``: as
    ``Quality.predicted`` takes them. Rows with an output that is no number are left out. ``ValueError`` for a
    label that is no class or no finite number, and for different lengths.
    """
    places = {code_of(label): place for place, label in enumerate(classes)}
    given = np.asarray(outputs, np.float64)
    scores, choices = scored(given, len(places), None if chosen is None else np.asarray(chosen, np.int64))
    truths = _truths(places, labels)
    if not len(scores) == len(choices) == len(truths):
        raise ValueError("outputs, labels and chosen are of different lengths")
    kept = sound(scores, choices, len(places))
    scores, choices, truths = scores[kept], choices[kept], truths[kept]
    tally: Tally = ClassTally(len(places)) if places else NumberTally()
    for start in range(0, len(scores), _PORTION):
        part = slice(start, start + _PORTION)
        tally.saw(scores[part], choices[part])
        tally.label_rows(scores[part], choices[part], truths[part])
    return tally


def _truths(places: dict[tuple[type, Any], int], labels: Sequence[Any]) -> NDArray[np.float64]:
    if not places:
        numbers = np.asarray(labels, np.float64)
        if numbers.ndim != 1 or not (np.abs(numbers) <= LARGEST).all():
            raise ValueError("the labels of a regression are finite numbers, one a row")
        return numbers
    found = [places.get(code_of(label), -1) for label in labels]
    if -1 in found:
        raise ValueError(
            f"the label of row {found.index(-1)} is no class, or of another type than the classes. "
            "Spell labels as the classes are spelt."
        )
    return np.array(found, np.float64)
