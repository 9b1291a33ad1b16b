"""How good answers are, by the usual figures; computed by scikit-learn.

scikit-learn 1.6, ``sklearn.metrics``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inprocml.checking.scored import Answers
from inprocml.errors import BackendMissing, PackError

__all__ = ["HIGHER_IS_BETTER", "measure"]

HIGHER_IS_BETTER = {"accuracy", "auc", "f1", "r2", "precision", "recall"}
"""Of any other figure the lower is taken to be the better."""


def measure(
    answers: Answers, truth: Sequence[Any], labels: tuple[Any, ...] | None, *, column: str | None = None
) -> dict[str, float]:
    """Return figures of ``answers`` against ``truth``.

    A classifier (``labels`` given): accuracy, f1 and auc (of the second of two labels; else macro averages,
    one against the rest), log_loss. A regression: mae, rmse, r2. Figures that the truth does not define (auc
    of one class alone) are left out. ``column`` is what the truth is called, for errors. Raises ``PackError``
    for labels that the model does not know and ``BackendMissing`` without scikit-learn.
    """
    try:
        from sklearn import metrics
    except ImportError as error:
        raise BackendMissing("comparing metrics needs scikit-learn: pip install 'inprocml[check]'") from error
    if labels is None:
        numbers = np.asarray(truth, dtype=np.float64), np.asarray(answers.values, dtype=np.float64)
        return {
            "mae": float(metrics.mean_absolute_error(*numbers)),
            "rmse": float(np.sqrt(metrics.mean_squared_error(*numbers))),
            "r2": float(metrics.r2_score(*numbers)),
        }
    right = _numbered(truth, labels, column)
    said = _numbered(answers.values, labels, column)
    average = "binary" if len(labels) == 2 else "macro"
    figures = {
        "accuracy": float(metrics.accuracy_score(right, said)),
        "f1": float(metrics.f1_score(right, said, average=average, zero_division=0.0)),
    }
    if answers.probabilities is None:
        return figures
    # float32 rows add up to 1 only nearly
    probabilities = answers.probabilities / answers.probabilities.sum(axis=1, keepdims=True)
    places = np.arange(len(labels))
    figures["log_loss"] = float(metrics.log_loss(right, probabilities, labels=places))
    if len(np.unique(right)) == len(labels):
        scores = probabilities[:, 1] if len(labels) == 2 else probabilities
        figures["auc"] = float(metrics.roc_auc_score(right, scores, multi_class="ovr", labels=places))
    return figures


def _numbered(
    values: Sequence[Any], labels: tuple[Any, ...], column: str | None
) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return each value's place among the labels; files spell labels as text, so that counts too."""
    places: dict[Any, int] = {str(label): place for place, label in enumerate(labels)}
    found = [places.get(str(value), -1) for value in values]
    if -1 in found:
        row = found.index(-1)
        where = "" if column is None else f", in column {column[:64]!r},"
        known = ", ".join(repr(str(label)[:40]) for label in labels[:10])
        raise PackError(
            f"the label {str(values[row])[:40]!r} of row {row}{where} is none of the model's ({known}). Name "
            "the column that holds them, spelt as the model was packed with."
        )
    return np.array(found, dtype=np.intp)
