"""What labels said, as numbers that add up: over rows, workers, hosts and hours.

Nothing else is kept of a labelled row, and every figure is computed from sums of these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BINS",
    "LARGEST",
    "LOSS_UNIT",
    "MOST_CLASSES",
    "UNIT",
    "ClassTally",
    "Kind",
    "NumberTally",
    "Tally",
    "added",
    "built",
    "empty",
    "from_document",
]

Kind = Literal["classes", "regression"]

Integers: TypeAlias = NDArray[np.int64]

BINS = 100
"""Bins of equal width on scores from 0 to 1: ``b <= 100 * score < b + 1``, the last one holds 1 as well."""

UNIT = 2**30
"""Scores are summed as integers of 2^-30, so that sums are the same in any order."""

LOSS_UNIT = 2**24
"""Losses are summed as integers of 2^-24."""

MOST_CLASSES = 32
"""With more, who was taken for whom is not counted: precision, recall and F1 are left out."""

LARGEST = 1e30
"""Numbers beyond are no answers and no labels; the fourth power of an error must stay finite."""

_MOST_ROWS = 2**48  # of one bin; sums over bins, cohorts and hosts stay integers of 64 bits

_LEAST = 1e-7  # float32 does not tell probabilities nearer to 0 or 1; a log loss is at most 16.1


class ClassTally:
    """The counts of a classifier, views on one vector of integers.

    Two classes: the score is the probability of the second, a positive is a row that is of the second.
    More: the score is the probability of the class that was answered, a positive is a row answered rightly.

    ``rows``, ``positives``, ``sums`` (units of 2^-30), shape ``(100,)``: labelled rows by score.
    ``seen_rows``, ``seen_sums``, shape ``(planes, 100)``: all predictions by score, for two classes apart by
    the class answered. ``confusion[truth, answer]``, shape ``(k, k)``, or ``(0, 0)`` for over 32 classes.
    ``losses``: sums of log loss, its square, Brier score, its square (two classes only).
    """

    def __init__(self, classes: int, counts: Integers | None = None) -> None:
        if classes < 2:
            raise ValueError("a classifier has at least 2 classes")
        self.classes = classes
        planes, side = (2 if classes == 2 else 1), (classes if classes <= MOST_CLASSES else 0)
        seen, confusion = 3 * BINS, (3 + 2 * planes) * BINS
        size = confusion + side * side + 4
        if counts is None:
            counts = np.zeros(size, np.int64)
        if counts.shape != (size,):
            raise ValueError(f"counts of {classes} classes are {size} integers")
        self.counts = counts
        self.rows, self.positives, self.sums = counts[:BINS], counts[BINS : 2 * BINS], counts[2 * BINS : seen]
        middle = seen + planes * BINS
        self.seen_rows = counts[seen:middle].reshape(planes, BINS)
        self.seen_sums = counts[middle:confusion].reshape(planes, BINS)
        self.confusion = counts[confusion : size - 4].reshape(side, side)
        self.losses = counts[size - 4 :]

    @property
    def labelled(self) -> int:
        """How many labels came."""
        return int(self.rows.sum())

    @property
    def seen(self) -> int:
        """How many predictions were made."""
        return int(self.seen_rows.sum())

    def saw(self, scores: NDArray[np.float64], choices: Integers) -> None:
        """Count predictions: scores from 0 to 1, and the place of the class answered."""
        bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
        place = bins + BINS * choices if self.classes == 2 else bins
        np.add.at(self.seen_rows.reshape(-1), place, 1)
        np.add.at(self.seen_sums.reshape(-1), place, np.rint(scores * UNIT).astype(np.int64))

    def label(self, score: float, choice: int, truth: int) -> None:
        """Count one labelled row: ``truth`` is the place of its class."""
        place = min(int(score * BINS), BINS - 1)
        positive = truth if self.classes == 2 else int(truth == choice)
        self.rows[place] += 1
        self.positives[place] += positive
        self.sums[place] += round(score * UNIT)
        if len(self.confusion):
            self.confusion[truth, choice] += 1
        if self.classes == 2:
            log = -math.log(max(_LEAST, score if truth else 1.0 - score))
            brier = (score - truth) ** 2
            self.losses += [round(each * LOSS_UNIT) for each in (log, log * log, brier, brier * brier)]

    def label_rows(self, scores: NDArray[np.float64], choices: Integers, truths: NDArray[np.float64]) -> None:
        """Count many labelled rows, as ``label`` counts each."""
        places = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
        classes = truths.astype(np.int64)
        positives = classes if self.classes == 2 else (classes == choices).astype(np.int64)
        np.add.at(self.rows, places, 1)
        np.add.at(self.positives, places, positives)
        np.add.at(self.sums, places, np.rint(scores * UNIT).astype(np.int64))
        if len(self.confusion):
            np.add.at(self.confusion, (classes, choices), 1)
        if self.classes == 2:
            log = -np.log(np.maximum(_LEAST, np.where(classes == 1, scores, 1.0 - scores)))
            brier = (scores - classes) ** 2
            losses = np.stack([log, log * log, brier, brier * brier], axis=1)
            self.losses += np.rint(losses * LOSS_UNIT).astype(np.int64).sum(axis=0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClassTally):
            return NotImplemented
        return self.classes == other.classes and bool(np.array_equal(self.counts, other.counts))

    __hash__ = None  # type: ignore[assignment]  # it counts on

    def __add__(self, other: Self) -> Self:
        return type(self)(self.classes, self.counts + other.counts)

    def copy(self) -> Self:
        """Return one that may be changed on its own."""
        return type(self)(self.classes, self.counts.copy())

    def document(self) -> dict[str, Any]:
        """Return what ``from_document`` takes."""
        return {"kind": "classes@1", "classes": self.classes, "counts": self.counts.tolist()}


class NumberTally:
    """The sums of a regression: labelled rows, |e|, e^2, e^4, e, y, y^2, and all predictions; float64.

    e is answer less truth, y the truth.
    """

    NAMES = ("labelled", "absolute", "squares", "fourths", "errors", "truths", "truth_squares", "seen")

    def __init__(self, counts: NDArray[np.float64] | None = None) -> None:
        self.counts = np.zeros(len(self.NAMES)) if counts is None else counts
        if self.counts.shape != (len(self.NAMES),):
            raise ValueError(f"the sums of a regression are {len(self.NAMES)} numbers")

    @property
    def labelled(self) -> int:
        """How many labels came."""
        return int(self.counts[0])

    @property
    def seen(self) -> int:
        """How many predictions were made."""
        return int(self.counts[7])

    def saw(self, scores: NDArray[np.float64], choices: Integers) -> None:  # noqa: ARG002 - as ClassTally's
        """Count predictions."""
        self.counts[7] += len(scores)

    def label(self, score: float, truth: float) -> None:
        """Count one labelled row: what was answered, and what is true."""
        error = score - truth
        squared = error * error
        self.counts[:7] += [1.0, abs(error), squared, squared * squared, error, truth, truth * truth]

    def label_rows(
        self,
        scores: NDArray[np.float64],
        choices: Integers,  # noqa: ARG002 - as ClassTally's
        truths: NDArray[np.float64],
    ) -> None:
        """Count many labelled rows, as ``label`` counts each."""
        errors = scores - truths
        squares = errors * errors
        sums = [np.abs(errors), squares, squares * squares, errors, truths, truths * truths]
        self.counts[:7] += [float(len(errors)), *(float(each.sum()) for each in sums)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NumberTally):
            return NotImplemented
        return bool(np.array_equal(self.counts, other.counts))

    __hash__ = None  # type: ignore[assignment]  # it counts on

    def __add__(self, other: Self) -> Self:
        return type(self)(self.counts + other.counts)

    def copy(self) -> Self:
        """Return one that may be changed on its own."""
        return type(self)(self.counts.copy())

    def document(self) -> dict[str, Any]:
        """Return what ``from_document`` takes."""
        return {"kind": "numbers@1", "counts": self.counts.tolist()}


Tally: TypeAlias = ClassTally | NumberTally


def empty(classes: int) -> Tally:
    """Return a tally of nothing: of so many classes, or of a regression for 0."""
    return ClassTally(classes) if classes else NumberTally()


def added(first: Tally, second: Tally) -> Tally:
    """Return the sum; ``ValueError`` where they count different things."""
    if isinstance(first, ClassTally) and isinstance(second, ClassTally) and first.classes == second.classes:
        return first + second
    if isinstance(first, NumberTally) and isinstance(second, NumberTally):
        return first + second
    raise ValueError("counts of different models do not add up: the kind or the number of classes differs")


def from_document(document: Mapping[str, Any], classes: int) -> Tally:
    """Return what ``document`` gave; ``ValueError`` for anything else."""
    kind = "classes@1" if classes else "numbers@1"
    if document.get("kind") != kind:
        raise ValueError(f"counts of kind {kind} were expected")
    if document.get("classes", 0) != classes:
        raise ValueError(f"counts of {classes} classes were expected")
    given = document.get("counts")
    wanted: tuple[type, ...] = (int,) if classes else (int, float)
    if not isinstance(given, list) or any(type(each) not in wanted for each in given):
        raise ValueError("counts are a list of numbers")
    return built(given, classes)


def built(given: Sequence[Any] | Integers, classes: int) -> Tally:
    """Return the tally of counts; ``ValueError`` for too many or too few, and for what cannot be."""
    try:
        if not classes:
            numbers = np.array(given, np.float64)
            if not np.isfinite(numbers).all() or (numbers[[0, 1, 2, 3, 6, 7]] < 0).any():
                raise ValueError("sums of a regression are finite, and those of squares not negative")
            return NumberTally(numbers)
        tally = ClassTally(classes, np.array(given, np.int64))
    except (OverflowError, IndexError) as error:
        raise ValueError("counts are out of range") from error
    if (tally.counts < 0).any() or (tally.positives > tally.rows).any():
        raise ValueError("counts are not negative, and positives are some of the rows")
    if any((rows > _MOST_ROWS).any() for rows in (tally.rows, tally.seen_rows, tally.confusion)):
        raise ValueError("no model has so many rows")
    return tally
