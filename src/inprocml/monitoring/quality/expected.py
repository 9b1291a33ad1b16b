"""What figures are to be expected from the scores alone, before a label has come.

If a row of score s is positive as often as such rows were in the reference, accuracy and the rest follow from
how many rows have which score. That is confidence-based performance estimation (CBPE) of NannyML, on counts:
https://nannyml.readthedocs.io/en/stable/how_it_works/performance_estimation.html. It cannot see that the
relation of row and label has changed: then labels and expectation part, which ``residual`` tests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.quality.calibration import Calibration
from inprocml.monitoring.quality.class_metrics import binned_auc
from inprocml.monitoring.quality.tally import UNIT, ClassTally

__all__ = ["expected_metrics"]


def expected_metrics(tally: ClassTally, calibration: Calibration | None) -> dict[str, float]:
    """Return expected figures of all predictions counted; figures that scores do not define are left out.

    Without a calibration scores are taken at their word. Two classes: accuracy, precision, recall, F1, AUC
    and Brier score; more: accuracy.
    """
    rows = tally.seen_rows.astype(np.float64)
    if not rows.sum():
        return {}
    scores = np.divide(tally.seen_sums / UNIT, rows, out=np.zeros_like(rows), where=rows > 0)
    shares = scores if calibration is None else np.broadcast_to(calibration.shares, rows.shape)
    if tally.classes > 2:
        return {"accuracy": float((rows * shares).sum() / rows.sum())}
    return _of_two(rows, scores, shares)


def _of_two(
    rows: NDArray[np.float64], scores: NDArray[np.float64], shares: NDArray[np.float64]
) -> dict[str, float]:
    positives, negatives = rows * shares, rows * (1 - shares)
    (missed, hits), (rejected, false) = positives.sum(1).tolist(), negatives.sum(1).tolist()
    total = float(rows.sum())
    brier = (rows * (scores**2 - 2 * scores * shares + shares)).sum() / total
    found = {
        "accuracy": (hits + rejected) / total,
        "precision": hits / (hits + false) if hits + false else None,
        "recall": hits / (hits + missed) if hits + missed else None,
        "f1": 2 * hits / (2 * hits + false + missed) if hits + false + missed else None,
        "auc": binned_auc(positives.sum(0), negatives.sum(0)),
        "brier": float(brier),
    }
    return {name: value for name, value in found.items() if value is not None}
