"""What the numbers of a model mean: one label of several, or one number.

Decoders are called once per row in the request path, so they work on one Python list: for a handful of
classes that is quicker than any numpy call. They are frozen and hold nothing of a request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.bundle.manifest import OutputEntry
from inprocml.errors import BackendFailed, PackError
from inprocml.values import Columns, Tensors

__all__ = ["Classes", "Decoded", "Output", "Regression", "from_entry"]

Decoded: TypeAlias = tuple[Any, float | None, Mapping[Any, float] | None]
"""value, its probability, the probability of every label."""

Scores: TypeAlias = Literal["probabilities", "logits"]

_SUM_TOLERANCE = 1e-3
_TELLING_ROWS = 5  # logits of so many rows do not all sum to 1 by chance
# what a host's own backend provokes with an array of objects, one without rows or columns, or none at all
_NO_NUMBERS = (ArithmeticError, AttributeError, LookupError, TypeError)
_SAFE = 600.0  # exp of it is 1e260: a sum of that many labels cannot overflow


@dataclass(frozen=True, slots=True, init=False)
class Classes:
    """One of several labels; ``labels[i]`` belongs to column ``i`` of the model's scores.

    ``labels`` are distinct str, int or bool, at least two. For a scikit-learn estimator column ``i`` is
    ``estimator.classes_[i]``. ``scores`` says what the columns hold: ``"probabilities"`` (rows sum to
    1) or ``"logits"`` (softmax, or for one column the sigmoid, is applied here). One column with two
    labels is the score of ``labels[1]``. ``tensor`` names the output tensor when a model has several.
    Ties go to the first label. Raises ``ValueError`` or ``TypeError`` for labels that cannot be.
    """

    labels: tuple[Any, ...]
    scores: Scores
    tensor: str | None

    def __init__(
        self, labels: Sequence[Any], *, scores: Scores = "probabilities", tensor: str | None = None
    ) -> None:
        if isinstance(labels, str):
            raise TypeError("labels must be a sequence of labels, not one string")
        if isinstance(labels, AbstractSet | Mapping):
            raise TypeError("labels must be in the order of the model's scores; a set has none: use a list")
        plain = tuple(_plain(label) for label in labels)
        if len(plain) < 2:
            raise ValueError(
                f"Classes needs at least 2 labels, got {len(plain)}; for one number use Regression()"
            )
        if len(set(plain)) != len(plain):
            raise ValueError("labels must differ from one another (note that True == 1 and False == 0)")
        if scores not in {"probabilities", "logits"}:
            raise ValueError(f"scores must be 'probabilities' or 'logits', not {scores!r}")
        object.__setattr__(self, "labels", plain)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "tensor", tensor)

    def named(self, tensor: str) -> Classes:
        """Return the same decoder reading ``tensor``."""
        return Classes(self.labels, scores=self.scores, tensor=tensor)

    def decode(self, outputs: Tensors, i: int) -> Decoded:
        """Decode row ``i``; raises ``BackendFailed`` for scores that are not finite floats, or too few."""
        try:
            scores = outputs[self.tensor][i].tolist()  # type: ignore[index]  # bound when packed
            if type(scores) is not list:
                scores = [scores]
            sound = type(scores[0]) is float and math.isfinite(sum(scores))  # the first tells the dtype
        except _NO_NUMBERS:
            sound = False
        if not sound:
            raise BackendFailed(
                "the model answered one row with scores that are not finite floating-point numbers. Look at "
                "that row's features; if every row fails, pack the model anew."
            )
        if len(scores) == 1:
            upper = _sigmoid(scores[0]) if self.scores == "logits" else scores[0]
            scores = [1.0 - upper, upper]
        elif self.scores == "logits":
            scores = _softmax(scores)
        labels = self.labels
        if len(scores) != len(labels):
            raise BackendFailed(
                f"the model answered with {len(scores)} scores for {len(labels)} labels. Pack the model anew."
            )
        best = max(scores)
        # the lengths are equal by now, and the keyword would cost 0.15 us
        return labels[scores.index(best)], best, dict(zip(labels, scores))  # noqa: B905

    def columns(self, outputs: Tensors) -> Columns:
        """Decode all rows; the last digit of a softmax may differ from ``decode``. Raises as that does."""
        scores = _scores(outputs, self.tensor)
        shares = self.probabilities(scores)
        if shares.shape[1] != len(self.labels):
            raise BackendFailed(
                f"the model answered with {shares.shape[1]} scores for {len(self.labels)} labels. Pack the "
                "model anew."
            )
        return Columns(self.labels, shares.argmax(axis=1), shares)

    def probabilities(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return probabilities, shape (rows, labels), float64, of a whole tensor of scores."""
        wide = np.asarray(scores, dtype=np.float64).reshape(len(scores), -1)
        if self.scores == "logits" and wide.shape[1] > 1:
            powers = np.exp(wide - wide.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        if wide.shape[1] > 1:
            return wide
        one = 1 / (1 + np.exp(-np.clip(wide, -700, 700))) if self.scores == "logits" else wide
        return np.hstack([1 - one, one])

    def check(self, scores: NDArray[Any]) -> None:
        """Check sample scores when packing; raises ``PackError`` that says both numbers."""
        columns = _columns(scores)
        if columns != len(self.labels) and not (columns == 1 and len(self.labels) == 2):
            raise PackError(
                f"the model gives {columns} score{'s' * (columns != 1)} per row, but Classes has "
                f"{len(self.labels)} labels. Give one label per score, in the order of the scores."
            )
        _check_finite(scores)
        if not len(scores):
            return
        if self.scores == "logits":
            self._check_logits(scores)
            return
        low, high = float(scores.min()), float(scores.max())
        told = f"lie between {low:.4g} and {high:.4g}"
        total = np.abs(self.probabilities(scores).sum(axis=1) - 1).max()
        if low < -_SUM_TOLERANCE or high > 1 + _SUM_TOLERANCE:
            raise PackError(
                f"scores are declared as probabilities, but on the sample they {told}. "
                "If the model ends without softmax or sigmoid, write Classes(..., scores='logits')."
            )
        if total > _SUM_TOLERANCE:
            raise PackError(
                f"scores are declared as probabilities and {told}, but rows miss a sum of 1 by up to "
                f"{total:.4g}. If the model ends without softmax, write Classes(..., scores='logits')."
            )

    def _check_logits(self, scores: NDArray[Any]) -> None:
        """Refuse what a softmax has been through already: a second one would flatten every answer."""
        if _columns(scores) < 2 or len(scores) < _TELLING_ROWS or float(scores.min()) < 0:
            return
        if np.abs(scores.sum(axis=1) - 1).max() <= _SUM_TOLERANCE:
            raise PackError(
                f"scores are declared as logits, but all {len(scores)} sample rows sum to 1: the model "
                "seems to end with softmax. Write Classes(...) without scores='logits', or drop the softmax."
            )

    def entry(self) -> OutputEntry:
        """Return what the manifest keeps."""
        return OutputEntry(kind="classes", labels=self.labels, scores=self.scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """One number per row, as the model gives it.

    ``tensor`` names the output tensor when a model has several.
    """

    tensor: str | None = None

    def named(self, tensor: str) -> Regression:
        """Return the same decoder reading ``tensor``."""
        return Regression(tensor=tensor)

    def decode(self, outputs: Tensors, i: int) -> Decoded:
        """Decode row ``i``; raises ``BackendFailed`` for what is not one finite float."""
        try:
            value = outputs[self.tensor][i].tolist()  # type: ignore[index]  # bound when packed
        except _NO_NUMBERS:
            value = None
        if type(value) is list and len(value) == 1:
            value = value[0]
        if type(value) is not float or not math.isfinite(value):
            raise BackendFailed(
                "the model answered one row with what is not one finite number. Look at that row's features; "
                "if every row fails, pack the model anew."
            )
        return value, None, None

    def columns(self, outputs: Tensors) -> Columns:
        """Decode all rows; raises ``BackendFailed`` as ``decode`` does."""
        scores = _scores(outputs, self.tensor)
        if scores.size != len(scores):
            raise BackendFailed(f"the model answered with shape {scores.shape} for one number a row")
        return Columns(None, scores.reshape(-1).astype(np.float64), None)

    def check(self, scores: NDArray[Any]) -> None:
        """Check sample outputs when packing; raises ``PackError`` that says what was found."""
        columns = _columns(scores)
        if columns != 1:
            raise PackError(
                f"the model gives {columns} numbers per row, but Regression() takes 1. "
                "Use Classes([...]) for scores of classes, or export one number."
            )
        _check_finite(scores)

    def entry(self) -> OutputEntry:
        """Return what the manifest keeps."""
        return OutputEntry(kind="regression", labels=None, scores=None)


Output: TypeAlias = Classes | Regression


def from_entry(entry: OutputEntry, tensor: str) -> Output:
    """Build the decoder a manifest describes; raises ``ValueError`` for labels that cannot be."""
    if entry.kind == "regression" or entry.labels is None or entry.scores is None:
        return Regression(tensor=tensor)
    return Classes(entry.labels, scores=entry.scores, tensor=tensor)


def _scores(outputs: Tensors, tensor: str | None) -> NDArray[Any]:
    scores = np.asarray(outputs[tensor])  # type: ignore[index]  # bound when packed
    if scores.dtype.kind != "f" or not np.isfinite(scores).all():
        raise BackendFailed(
            "the model answered rows with what are not finite floating-point numbers. Look at the features "
            "of these rows; if every row fails, pack the model anew."
        )
    return scores


def _plain(label: object) -> bool | int | str:
    item = label.item() if isinstance(label, np.generic) else label
    if isinstance(item, bool | int | str):
        return item
    raise TypeError(f"a label must be str, int or bool, not {type(label).__name__}")


def _softmax(scores: list[float]) -> list[float]:
    top = max(scores)
    if not -_SAFE < top < _SAFE:  # the shift keeps exp in range, and is seldom needed
        scores = [score - top for score in scores]
    powers = list(map(math.exp, scores))
    total = sum(powers)
    return [power / total for power in powers]


def _sigmoid(score: float) -> float:
    power = math.exp(-abs(score))  # of a negative number only: it cannot overflow
    return 1 / (1 + power) if score >= 0 else power / (1 + power)


def _columns(scores: NDArray[Any]) -> int:
    if scores.dtype.kind != "f":
        raise PackError(
            f"the output tensor holds {scores.dtype}, not floating-point scores. "
            "Choose the tensor with the scores: Classes(..., tensor='name') or Regression(tensor='name')."
        )
    if scores.ndim not in {1, 2}:
        raise PackError(
            f"the output tensor has shape [rows, {', '.join(map(str, scores.shape[1:]))}]; "
            "one or two axes are needed: [rows] or [rows, scores]. Reshape it in the model."
        )
    return 1 if scores.ndim == 1 else int(scores.shape[1])


def _check_finite(scores: NDArray[Any]) -> None:
    bad = np.flatnonzero(~np.isfinite(scores.reshape(len(scores), -1)).all(axis=1))
    if len(bad):
        raise PackError(
            f"the model answers {len(bad)} of {len(scores)} sample rows with NaN or infinity, first row "
            f"{bad[0]} of the sample. Mend the model or the transform's scaling before packing."
        )
