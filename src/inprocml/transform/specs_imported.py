"""What a fitted estimator of another library becomes where no other kind says the same to the bit.

``Transform.from_sklearn`` writes these. All numbers are given and nothing is learnt, so fitting such an entry
anew changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from inprocml.transform.arguments import WIDEST, a_field, finite, one_of
from inprocml.transform.operations import Operation, checked_operations

__all__ = ["MOST_CODED", "MOST_PARTS", "Coded", "Formula", "Operand", "Output", "Row"]

MOST_CODED = 250_000
"""Values of one field that may be written down."""

MOST_PARTS = 100_000
"""Operands, and outputs, of one formula: degree 2 of 400 columns has 80,000."""

_LONGEST_LABEL = 1000
_HIGHEST_DEGREE = 10

Row: TypeAlias = tuple[tuple[int, float], ...]
"""Features that are not 0: (place, value), places rising."""


@dataclass(frozen=True, slots=True)
class Operand:
    """A number that a formula works on: the ``field``, a "number" or a "flag", after its ``operations``."""

    field: str
    reads: Literal["number", "flag"] = "number"
    operations: tuple[Operation, ...] = ()

    def __post_init__(self) -> None:
        a_field(self.field)
        one_of("reads", self.reads, ("number", "flag"))
        object.__setattr__(self, "operations", checked_operations(self.operations))


@dataclass(frozen=True, slots=True)
class Output:
    """One feature: the product of the operands at ``factors``, the last two first, then ``operations``."""

    label: str
    factors: tuple[int, ...]
    operations: tuple[Operation, ...] = ()

    def __post_init__(self) -> None:
        _a_label(self.label)
        if not 0 < len(self.factors) <= _HIGHEST_DEGREE:
            raise ValueError(f"an output is a product of 1 to {_HIGHEST_DEGREE} operands")
        object.__setattr__(self, "operations", checked_operations(self.operations))


@dataclass(frozen=True, kw_only=True, slots=True)
class Formula:
    """Features computed from numbers by a closed list of operations, in float64 and in the order given.

    Each of ``outputs`` is one feature, a product of one or more of ``operands``. A missing value is NaN and
    goes through the operations until one of them stands in for it; a field may be missing where all features
    that read it are numbers then. A row is refused if a feature would be no number that float32 holds.
    Raises ``TypeError`` or ``ValueError`` for arguments that make no sense.
    """

    operands: tuple[Operand, ...]
    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        if max(len(self.operands), len(self.outputs)) > MOST_PARTS:
            raise ValueError(f"a formula has at most {MOST_PARTS} operands and as many outputs")
        object.__setattr__(self, "operands", tuple(self.operands))
        object.__setattr__(self, "outputs", tuple(self.outputs))
        if not self.operands or not 0 < len(self.outputs) <= WIDEST:
            raise ValueError("a formula has at least one operand and one output")
        places = set(range(len(self.operands)))
        reads: dict[str, str] = {}
        for operand in self.operands:
            if reads.setdefault(operand.field, operand.reads) != operand.reads:
                raise ValueError("a formula reads each field in one way")
        for output in self.outputs:
            if not set(output.factors) <= places:
                raise ValueError("factors are the places of operands")
        if {place for output in self.outputs for place in output.factors} != places:
            raise ValueError("every operand is a factor of some output")
        _distinct([output.label for output in self.outputs])


@dataclass(frozen=True, kw_only=True, slots=True)
class Coded:
    """A value becomes the features that were written down for it.

    ``categories`` are the known values, sorted: strings ("text"), integers of 64 bits ("integer"), floats
    ("number") or booleans ("flag") as ``reads`` says. ``rows`` holds for each of them its features that are
    not 0, ``labels`` the name of each feature. ``unseen`` and ``missing`` are the features of any other value
    and of none; ``None`` refuses such rows. Raises ``TypeError`` or ``ValueError`` for arguments that make no
    sense.
    """

    reads: Literal["text", "integer", "number", "flag"]
    categories: tuple[str, ...] | tuple[int, ...] | tuple[float, ...] | tuple[bool, ...]
    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    unseen: Row | None = None
    missing: Row | None = None
    field: str | None = None

    def __post_init__(self) -> None:
        if len(self.categories) > MOST_CODED:
            raise ValueError(f"at most {MOST_CODED} values can be written down; use Category or Hashed")
        one_of("reads", self.reads, ("text", "integer", "number", "flag"))
        a_field(self.field)
        own: type = {"text": str, "integer": int, "number": float, "flag": bool}[self.reads]
        if any(type(category) is not own for category in self.categories):
            raise ValueError("categories must be of the declared type")
        if list(self.categories) != sorted(set(self.categories)):  # type: ignore[type-var]
            raise ValueError("categories must be sorted, and none may appear twice")
        if len(self.rows) != len(self.categories):
            raise ValueError("rows holds the features of each category")
        if not 0 < len(self.labels) <= WIDEST:
            raise ValueError("labels must name at least one feature")
        _distinct([_a_label(label) for label in self.labels])
        for name in ("unseen", "missing"):
            row = getattr(self, name)
            object.__setattr__(self, name, None if row is None else _a_row(row, len(self.labels)))
        object.__setattr__(self, "rows", tuple(_a_row(row, len(self.labels)) for row in self.rows))


def _a_row(row: Row, width: int) -> Row:
    places = [place for place, _ in row]
    if places != sorted(set(places)) or not all(0 <= place < width for place in places):
        raise ValueError("the places of features must rise, and be those of a label")
    return tuple((place, finite("rows", value)) for place, value in row)


def _a_label(label: object) -> str:
    if not isinstance(label, str) or len(label) > _LONGEST_LABEL:
        raise ValueError(f"a label is a string of at most {_LONGEST_LABEL} characters")
    return label


def _distinct(labels: list[str]) -> None:
    if len(set(labels)) != len(labels):
        raise ValueError("no two features may have one label")
