"""How a model's quality is counted and judged; checked once, the same in every process of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self

import numpy as np

from inprocml.monitoring.quality.counters import KEPT
from inprocml.monitoring.quality.holdout import held_out
from inprocml.monitoring.quality.tally import ClassTally, Kind, NumberTally, Tally
from inprocml.schema.once import once
from inprocml.schema.strict_json import dump

__all__ = ["MOST_SLICES", "MOST_VALUES", "Settings", "code_of"]

MOST_SLICES = 4
MOST_VALUES = 16

_DAY = 86400.0
_PLAIN = ("kind", "labels_within", "cohort", "usual", "budget", "floor", "recent", "dependence")
_NONE = 255  # of no declared value


@dataclass(frozen=True)
class Settings:
    """What is counted and when it is judged; ``ValueError`` for what does not fit together.

    ``classes``: labels in the order of the probabilities; () for a regression. ``slices``: a field's name ->
    the values to tell apart, at most 4 fields of 16 values. ``labels_within``: seconds in which a label
    comes, if it comes. ``cohort``: seconds of predictions that are judged together, an hour or a day by
    default. ``usual``: the share of predictions that gets a label, where it is known; else it is learnt.
    ``budget``: false alerts in 90 days. ``floor``: how much worse (share of rows, Brier score, or part of the
    usual absolute error) is worth an alert. ``recent``: mature cohorts that figures are computed of.
    ``reference``: counts of labelled rows that the model was not trained on. ``dependence``: rows worth one
    independent row.
    """

    kind: Kind
    classes: tuple[Any, ...] = ()
    slices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    labels_within: float = 7 * _DAY
    cohort: float | None = None
    usual: float | None = None
    budget: float = 0.5
    floor: float = 0.01
    recent: int = 7
    reference: Tally | None = None
    dependence: float = 1.0

    def __post_init__(self) -> None:
        _check_classes(self.kind, self.classes)
        _check_slices(self.slices)
        if not 0 < self.length <= self.labels_within * 24 or self.labels_within / self.length > KEPT - 32:
            raise ValueError(
                f"cohorts of {self.length:g} s do not fit labels that take {self.labels_within:g} s: at most "
                f"{KEPT - 32} cohorts may await labels. Choose longer cohorts (cohort=)."
            )
        if not (self.usual is None or 0 < self.usual <= 1) or self.recent < 1 or self.dependence < 1:
            raise ValueError("usual is a share above 0, recent and dependence are at least 1")
        if not self.budget > 0 or not self.floor >= 0:
            raise ValueError("budget is above 0, and floor not negative")
        expected = ClassTally if self.classes else NumberTally
        if self.reference is not None and not isinstance(self.reference, expected):
            raise ValueError(f"the reference counts something else than {self.kind}")
        if isinstance(self.reference, ClassTally) and self.reference.classes != len(self.classes):
            raise ValueError("the reference is of another number of classes")

    @property
    def length(self) -> float:
        """Seconds of a cohort."""
        return self.cohort or (_DAY if self.labels_within >= 2 * _DAY else 3600.0)

    @property
    def slice_names(self) -> tuple[tuple[str, int], ...]:
        """The declared slices and how many values each has."""
        return tuple((name, len(values)) for name, values in self.slices.items())

    @once
    def digest(self) -> bytes:
        """32 bytes that differ where counts could not be added up."""
        said: list[Any] = [1, self.kind, _spelt(self.classes), self.length]
        said += [[name, _spelt(values)] for name, values in self.slices.items()]
        return sha256(dump(said).encode(errors="surrogatepass")).digest()

    def document(self) -> dict[str, Any]:
        """Return what ``from_document`` takes."""
        told = {name: getattr(self, name) for name in _PLAIN}
        return told | {
            "classes": list(self.classes),
            "slices": [[name, list(values)] for name, values in self.slices.items()],
            "reference": None if self.reference is None else self.reference.document(),
        }

    @classmethod
    def from_document(cls, document: object) -> Self:
        """Return what ``document`` gave; ``ValueError`` for anything else."""
        try:
            given = dict(document)  # type: ignore[call-overload]
            classes, reference = tuple(given.pop("classes")), given.pop("reference")
            slices = {name: tuple(values) for name, values in given.pop("slices")}
            tally = None if reference is None else held_out(reference, len(classes))
            return cls(**_numbers(given), classes=classes, slices=slices, reference=tally)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError("settings of quality that are damaged, or of another release") from error

    @once
    def places(self) -> dict[tuple[type, Any], int]:
        """The place of each class; a flag is no number, a number no text."""
        return {code_of(label): place for place, label in enumerate(self.classes)}

    @once
    def codes(self) -> list[dict[tuple[type, Any], int]]:
        """For each slice the place of each value."""
        return [
            {code_of(each): place for place, each in enumerate(values)} for values in self.slices.values()
        ]

    def slices_of(self, given: Mapping[str, Sequence[object]], rows: int) -> list[int]:
        """Return one number a row that says which declared value it has in each slice."""
        packed = [0] * rows
        for place, (name, codes) in enumerate(zip(self.slices, self.codes, strict=True)):
            values = given.get(name)
            found = [_NONE] * rows if values is None else [codes.get(code_of(each), _NONE) for each in values]
            packed = [before | code << 8 * place for before, code in zip(packed, found, strict=True)]
        return packed

    def slices_in(self, packed: int) -> list[tuple[int, int]]:
        """Return (slice, value) for each slice in which the row has a declared value."""
        found = [(place, packed >> 8 * place & 255) for place in range(len(self.slices))]
        sizes = [len(values) for values in self.slices.values()]
        return [(place, code) for place, code in found if code < sizes[place]]


def _spelt(values: Sequence[Any]) -> list[list[Any]]:
    return [[type(value).__name__, value] for value in values]


def _numbers(given: dict[str, Any]) -> dict[str, Any]:
    if set(given) != set(_PLAIN):
        raise ValueError("settings of quality have other members")
    for name, value in given.items():
        optional = value is None and name in {"cohort", "usual"}
        if not optional and name != "kind" and (type(value) not in {int, float} or not 0 <= value <= 1e12):
            raise ValueError(f"settings of quality: {name} is no number that it can be")
    return given


def code_of(value: object) -> tuple[type, Any]:
    """Return a key that tells 1, True and "1" apart, and takes numpy's scalars for Python's."""
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        value = value.item()  # of a moment it may be a number
    return (type(value), value) if isinstance(value, str | int | float) else (type(None), None)


def _check_classes(kind: Kind, classes: tuple[Any, ...]) -> None:
    if kind not in {"classes", "regression"}:
        raise ValueError(f"kind is 'classes' or 'regression', not {str(kind)[:40]!r}")
    codes = {code_of(label) for label in classes}
    if (
        (kind == "classes") != (len(classes) >= 2)
        or len(codes) != len(classes)
        or (type(None), None) in codes
    ):
        raise ValueError(
            "a classifier has at least 2 classes, each once: text, numbers or flags; a regression none"
        )
    if len(classes) > 2**16:
        raise ValueError("a classifier of more than 65536 classes is not counted")


def _check_slices(slices: Mapping[str, tuple[Any, ...]]) -> None:
    if len(slices) > MOST_SLICES or any(not 0 < len(values) <= MOST_VALUES for values in slices.values()):
        raise ValueError(
            f"at most {MOST_SLICES} slices of 1 to {MOST_VALUES} values each. Declare those that matter."
        )
    if any(len({code_of(each) for each in values}) != len(values) for values in slices.values()):
        raise ValueError("a slice has each value once")
