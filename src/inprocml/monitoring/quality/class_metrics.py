"""What counts of labelled rows say of a classifier, each figure with its 95 % interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.quality.interval import WIDTH, Interval, mean, share
from inprocml.monitoring.quality.tally import BINS, LOSS_UNIT, UNIT, ClassTally

__all__ = ["binned_auc", "class_metrics"]

_ECE_BINS = 10
_ZERO = math.sqrt(2 / math.pi)  # the mean of the absolute value of a standard normal


def class_metrics(tally: ClassTally) -> dict[str, Interval | None]:
    """Return each figure with its interval; None where the labels do not define it.

    Two classes: precision, recall, F1 and AUC of the second, Brier score, log loss. More: precision, recall
    and F1 are means over the classes that occur; AUC, Brier score and log loss would need the probabilities
    of all classes, which are not kept. Definitions: ``sklearn.metrics``.
    """
    rows = tally.labelled
    if tally.classes == 2:
        right = int(np.trace(tally.confusion))
        log, logs, brier, briers = (tally.losses / LOSS_UNIT).tolist()
        return {
            "accuracy": share(right, rows),
            **_of_second(tally.confusion),
            "auc": _auc(tally),
            "brier": _within(mean(brier, briers, rows), 1.0),
            "log_loss": _within(mean(log, logs, rows), math.inf),
            "ece": _ece(tally),
        }
    found: dict[str, Interval | None] = {"accuracy": share(int(tally.positives.sum()), rows)}
    if len(tally.confusion):
        found |= _averaged(tally.confusion)
    return found | {"ece": _ece(tally)}


def _of_second(confusion: NDArray[np.int64]) -> dict[str, Interval | None]:
    hits, answered, true = int(confusion[1, 1]), int(confusion[:, 1].sum()), int(confusion[1].sum())
    # F1 = 2 J / (1 + J) rises with J = hits / (hits + misses + false alarms), which is a share
    jaccard = share(hits, answered + true - hits)
    f1 = None if jaccard is None else tuple(2 * each / (1 + each) for each in jaccard)
    return {
        "precision": share(hits, answered),
        "recall": share(hits, true),
        "f1": None if f1 is None else (f1[0], f1[1], f1[2]),
    }


def _averaged(confusion: NDArray[np.int64]) -> dict[str, Interval | None]:
    """Means over the classes that occur, with intervals by the delta method on the table of shares."""
    right, true, answered = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    occurs = (true + answered) > 0
    slopes: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for name, whole, rows, columns in (
        ("precision", answered, 0.0, 1.0),
        ("recall", true, 1.0, 0.0),
        ("f1", (true + answered) / 2, 0.5, 0.5),
    ):
        each = np.divide(right, whole, out=np.zeros(len(right)), where=whole > 0)
        pull = np.divide(each, whole, out=np.zeros(len(right)), where=whole > 0)
        gain = np.divide(1.0, whole, out=np.zeros(len(right)), where=whole > 0)
        slopes[name] = each, np.diag(gain) - rows * pull[:, None] - columns * pull[None, :]
    return {name: _by_slope(each[occurs], slope, confusion) for name, (each, slope) in slopes.items()}


def _by_slope(
    each: NDArray[np.float64], slope: NDArray[np.float64], confusion: NDArray[np.int64]
) -> Interval | None:
    if not len(each):
        return None
    value, rows = float(each.mean()), int(confusion.sum())
    slope = slope / len(each)
    spread = float((confusion * slope**2).sum()) - float((confusion * slope).sum()) ** 2 / rows
    half = WIDTH * math.sqrt(max(0.0, spread))
    return value, max(0.0, value - half), min(1.0, value + half)


def binned_auc(positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve from weights per bin of score, ties within a bin counted half.

    Shapes ``(bins,)``; None without positives or without negatives.
    """
    up, down = positives.sum(), negatives.sum()
    if not (up > 0 and down > 0):
        return None
    below = np.cumsum(negatives) - negatives / 2
    return float(positives @ below / (up * down))


def _auc(tally: ClassTally) -> Interval | None:
    """AUC with DeLong's variance on the bins, on the scale of log odds.

    Source: E. DeLong et al., Comparing the areas under two or more correlated ROC curves, Biometrics 44
    (1988).
    """
    positives, negatives = (
        each.astype(np.float64) for each in (tally.positives, tally.rows - tally.positives)
    )
    value = binned_auc(positives, negatives)
    if value is None:
        return None
    up, down = float(positives.sum()), float(negatives.sum())
    if min(up, down) < 2 or not 0 < value < 1:
        return share(value * min(up, down), min(up, down))
    below = (np.cumsum(negatives) - negatives / 2) / down
    above = (up - np.cumsum(positives) + positives / 2) / up
    spread = positives @ (below - value) ** 2 / ((up - 1) * up)
    spread += negatives @ (above - value) ** 2 / ((down - 1) * down)
    odds = math.log(value / (1 - value))
    half = WIDTH * math.sqrt(float(spread)) / (value * (1 - value))
    return value, _share(odds - half), _share(odds + half)


def _share(odds: float) -> float:
    return 1 / (1 + math.exp(-odds)) if odds > 0 else math.exp(odds) / (1 + math.exp(odds))


def _ece(tally: ClassTally) -> Interval | None:
    """Expected calibration error on ten bins of equal width, which chance makes too large, never too small.

    The lower end takes off what chance adds to a model without any error: the interval is a careful one.
    """
    rows = tally.rows.reshape(_ECE_BINS, BINS // _ECE_BINS).sum(1)
    positives = tally.positives.reshape(_ECE_BINS, -1).sum(1)
    sums = tally.sums.reshape(_ECE_BINS, -1).sum(1) / UNIT
    total = int(rows.sum())
    if total < 2:
        return None
    value = float(np.abs(positives - sums).sum()) / total
    smoothed = (positives + 1) / (rows + 2)
    spread = rows * smoothed * (1 - smoothed)
    half = WIDTH * math.sqrt(float(spread.sum())) / total
    chance = _ZERO * float(np.sqrt(spread).sum()) / total
    return value, max(0.0, value - chance - half), min(1.0, value + half)


def _within(interval: Interval | None, largest: float) -> Interval | None:
    return None if interval is None else (interval[0], max(0.0, interval[1]), min(largest, interval[2]))
