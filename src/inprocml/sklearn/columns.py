"""What each column of a fitted estimator's output is made of, before it is decided which entry says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from inprocml.transform.operations import Operation, run_one
from inprocml.transform.specs_media import Text

__all__ = ["Block", "Code", "Column", "Denied", "Issue", "Number", "Raw", "Walk", "Words", "applied"]


@dataclass(frozen=True)
class Named:
    """A column's entry is called ``group``, the column ``label``; columns of one ``key`` share an entry."""

    group: str
    label: str
    key: object = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Raw(Named):
    """A field as it comes; ``fill``, unless ``None``, stands in for a missing value that is no number."""

    field: str
    fill: Any = None


@dataclass(frozen=True)
class Number(Named):
    """The product of ``factors``, each a field and what is done to it first, then ``operations``."""

    factors: tuple[tuple[str, tuple[Operation, ...]], ...]
    operations: tuple[Operation, ...] = ()
    fill_by: str | None = None  # how the one fill, and the last offset and divisor, were learnt:
    scale_by: str | None = None  # for the declaration; the features do not depend on it

    @property
    def single(self) -> tuple[str, tuple[Operation, ...]] | None:
        """The field and all that is done to it, if there is one factor only."""
        if len(self.factors) != 1:
            return None
        name, operations = self.factors[0]
        return name, operations + self.operations


@dataclass(frozen=True)
class Code(Named):
    """A number for each value: of ``categories``, ``rest`` for those that ``values`` does not list.

    ``unseen`` and ``missing`` are the numbers of other values and of none; ``None`` refuses the row.
    """

    field: str
    categories: tuple[Any, ...]
    values: Mapping[Any, float]
    rest: float
    unseen: float | None
    missing: float | None


@dataclass(frozen=True)
class Words(Named):
    """The number at ``place`` of the n-grams that ``spec`` counts in the text of a field."""

    spec: Text
    place: int


Column: TypeAlias = Raw | Number | Code | Words


@dataclass(frozen=True)
class Block:
    """Columns side by side; scikit-learn's arithmetic on ``sparse`` ones is not that on others."""

    columns: tuple[Column, ...]
    sparse: bool = False


@dataclass(frozen=True)
class Issue:
    """What cannot be converted: the way to the step, the column if it is but one, and why."""

    path: tuple[str, ...]
    column: str | None
    reason: str

    def __str__(self) -> str:
        where = " > ".join(self.path)
        return f"{where}{'' if self.column is None else f', column {self.column}'}: {self.reason}"


class Denied(Exception):
    """A step cannot be converted; why was noted. ``columns`` are those of its parts that can."""

    def __init__(self, columns: tuple[Column, ...] = ()) -> None:
        super().__init__("cannot be converted")
        self.columns = columns


@dataclass
class Walk:
    """One pass over an estimator: what the fields hold, where we are, and what was found to be impossible."""

    kinds: Mapping[str, str]
    path: tuple[str, ...] = ()
    issues: list[Issue] = field(default_factory=list)

    def into(self, *names: str) -> Walk:
        """Return the walk one step further in; issues are shared."""
        return Walk(self.kinds, (*self.path, *names), self.issues)

    def note(self, reason: str, column: Named | None = None) -> None:
        """Remember what is impossible, and go on."""
        self.issues.append(Issue(self.path, None if column is None else column.group, reason))

    def deny(self, reason: str) -> Denied:
        """Remember that the step is impossible; to be raised."""
        self.note(reason)
        return Denied()

    def finish(self, found: list[Any], before: int) -> Any:
        """Return what was found as a tuple, unless something was noted since there were ``before`` issues."""
        if len(self.issues) > before:
            raise Denied
        return tuple(found)

    def number(self, column: Column) -> Number | Code:
        """Return the column as one that arithmetic can be done on; raises ``Denied``."""
        if isinstance(column, Words):
            self.note("hashed text goes to the model as it is: leave the steps after it out", column)
            raise Denied
        if not isinstance(column, Raw):
            return column
        kind = self.kinds[column.field]
        if kind not in {"number", "integer", "flag", "unknown"} or column.fill is not None:
            holds = "text" if column.fill is not None else kind
            self.note(
                f"it holds {holds.removeprefix('other: ')}, which is no number: encode it first", column
            )
            raise Denied
        return Number(column.group, column.label, ((column.field, ()),), key=column.key)


def applied(column: Number | Code, *operations: Operation, **learnt: Any) -> Number | Code:
    """Return the column after further operations."""
    if isinstance(column, Number):
        return replace(column, operations=column.operations + operations, **learnt)

    def one(number: float | None) -> float | None:
        return None if number is None else run_one(operations, number)

    return replace(
        column,
        values={value: run_one(operations, number) for value, number in column.values.items()},
        rest=run_one(operations, column.rest),
        unseen=one(column.unseen),
        missing=one(column.missing),
    )
