"""What formulas and coded values say of themselves in JSON; checked again by the declaration and the step."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from inprocml.schema.sound import Strict
from inprocml.transform.arguments import WIDEST
from inprocml.transform.coded import CodedStep
from inprocml.transform.documents import EntryModel
from inprocml.transform.formula import FormulaStep
from inprocml.transform.specs_imported import MOST_PARTS, Coded, Formula, Operand, Output, Row
from inprocml.transform.step import Entry

__all__ = ["IMPORTED_MODELS"]

Operation: TypeAlias = Annotated[list[str | float], Field(max_length=10), Field(fail_fast=True)]
Operations: TypeAlias = Annotated[list[Operation], Field(max_length=100), Field(fail_fast=True)]
Cells: TypeAlias = Annotated[
    list[Annotated[list[float], Field(min_length=2, max_length=2)]],
    Field(max_length=WIDEST),
    Field(fail_fast=True),
]


class _Operand(Strict):
    field: str
    reads: Literal["number", "flag"]
    operations: Operations


class _Output(Strict):
    label: str
    factors: Annotated[list[int], Field(max_length=100), Field(fail_fast=True)]
    operations: Operations


class _Formula(EntryModel):
    kind: Literal["formula@1"]
    operands: Annotated[list[_Operand], Field(max_length=MOST_PARTS), Field(fail_fast=True)]
    outputs: Annotated[list[_Output], Field(max_length=MOST_PARTS), Field(fail_fast=True)]

    def step(self) -> Entry:
        operands: list[Any] = [
            Operand(one.field, one.reads, tuple(map(tuple, one.operations))) for one in self.operands
        ]
        outputs: list[Any] = [
            Output(one.label, tuple(one.factors), tuple(map(tuple, one.operations))) for one in self.outputs
        ]
        return FormulaStep(self.name, Formula(operands=tuple(operands), outputs=tuple(outputs)))


class _Coded(EntryModel):
    kind: Literal["coded@1"]
    field: str | None
    reads: Literal["text", "integer", "number", "flag"]
    categories: Annotated[
        Annotated[list[str], Field(fail_fast=True)]
        | Annotated[list[bool], Field(fail_fast=True)]
        | Annotated[list[int], Field(fail_fast=True)]
        | Annotated[list[float], Field(fail_fast=True)],
        Field(max_length=WIDEST),
    ]
    labels: Annotated[list[str], Field(max_length=WIDEST), Field(fail_fast=True)]
    rows: Annotated[list[Cells], Field(max_length=WIDEST), Field(fail_fast=True)]
    unseen: Cells | None
    missing: Cells | None

    def step(self) -> Entry:
        categories: Any = tuple(self.categories)
        spec = Coded(
            reads=self.reads,
            categories=categories,
            labels=tuple(self.labels),
            rows=tuple(_row(cells) for cells in self.rows),
            unseen=None if self.unseen is None else _row(self.unseen),
            missing=None if self.missing is None else _row(self.missing),
            field=self.field,
        )
        return CodedStep(self.name, spec)


def _row(cells: Cells) -> Row:
    if any(place != int(place) for place, _ in cells):
        raise ValueError("the places of features are whole numbers")
    return tuple((int(place), value) for place, value in cells)


IMPORTED_MODELS: dict[str, type[EntryModel]] = {"coded@1": _Coded, "formula@1": _Formula}
