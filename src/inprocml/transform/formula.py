"""Formulas: features by a closed list of operations on numbers, as another library computed them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Canonical, Field, Refused
from inprocml.schema.once import once
from inprocml.transform.limits import OVERFLOW
from inprocml.transform.numeric import number_test
from inprocml.transform.operations import run_many, run_one, run_source
from inprocml.transform.rowcode import RowCode
from inprocml.transform.specs_imported import Formula, Output
from inprocml.transform.step import emit_block

__all__ = ["FormulaStep"]

_MOST_GENERATED = 1_000  # features up to which the row path is generated: compiling takes its time
_NAN = float("nan")


@dataclass(frozen=True)
class FormulaStep:
    """One feature per output; nothing is learnt."""

    name: str
    spec: Formula
    unseen = None

    @once
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads, each once."""
        reads = {operand.field: operand.reads for operand in self.spec.operands}
        return tuple(
            Field(name, kind, required=any(map(self._needed, self._read_from(name))))
            for name, kind in reads.items()
        )

    def _read_from(self, field: str) -> list[int]:
        return [place for place, operand in enumerate(self.spec.operands) if operand.field == field]

    def _needed(self, place: int) -> bool:
        """Whether a missing value would come out of some feature as none."""
        operations = self.spec.operands[place].operations
        if run_one(operations, _NAN) == run_one(operations, _NAN):  # it is a number by now
            return False
        outputs = [output for output in self.spec.outputs if place in output.factors]
        return any(run_one(output.operations, _NAN) != run_one(output.operations, _NAN) for output in outputs)

    @once
    def sources(self) -> tuple[int, ...]:
        """For each operand the place of its field."""
        names = [field.name for field in self.fields]
        return tuple(names.index(operand.field) for operand in self.spec.operands)

    @property
    def width(self) -> int:
        """The number of features."""
        return len(self.spec.outputs)

    def names(self) -> list[str]:
        """Return the name of each feature."""
        if self.width == 1:
            return [self.name]
        return [f"{self.name}={output.label}" for output in self.spec.outputs]

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32; may raise ``Refused``."""
        numbers = [_NAN if value is None else float(value) for value in values]  # type: ignore[arg-type]
        pairs = zip(self.spec.operands, self.sources, strict=True)
        operands = [run_one(operand.operations, numbers[source]) for operand, source in pairs]
        features = [run_one(output.operations, _product(output, operands)) for output in self.spec.outputs]
        if not all(-OVERFLOW < feature < OVERFLOW for feature in features):
            raise Refused(self._reason)
        return struct.pack(f"={self.width}f", *features)

    @property
    def _reason(self) -> str:
        return f"gives a feature of {self.name} that is no finite number"

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``; may raise ``Refused``."""
        pairs = zip(self.spec.operands, self.sources, strict=True)
        operands = [run_many(operand.operations, columns[source]) for operand, source in pairs]
        good = np.ones(len(out), dtype=bool)
        for place, output in enumerate(self.spec.outputs):
            feature = run_many(output.operations, _product(output, operands))
            good &= np.abs(feature) < OVERFLOW
            out[:, place] = feature
        if not good.all():
            bad = np.flatnonzero(~good)
            raise Refused(self._reason, row=int(bad[0]), count=len(bad))

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        if self.width > _MOST_GENERATED:
            emit_block(code, raws, self, [field.judge for field in self.fields])
            return
        numbers = [_emit_number(code, raw, field) for raw, field in zip(raws, self.fields, strict=True)]
        operands = []
        for operand, source in zip(self.spec.operands, self.sources, strict=True):
            operands.append(code.variable())
            code.line(f"{operands[-1]} = {run_source(code, operand.operations, numbers[source])}")
        for output in self.spec.outputs:
            feature, product = code.variable(), operands[output.factors[-1]]
            for place in reversed(output.factors[:-1]):
                product = f"({operands[place]} * {product})"
            code.line(f"{feature} = {run_source(code, output.operations, product)}")
            code.line(f"if not {-OVERFLOW!r} < {feature} < {OVERFLOW!r}:")
            code.line("    return careful(row)")
            code.scalar(feature)

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        operands, outputs = self.spec.operands, self.spec.outputs
        return {
            "kind": "formula@1",
            "name": self.name,
            "operands": [
                {"field": one.field, "reads": one.reads, "operations": list(map(list, one.operations))}
                for one in operands
            ],
            "outputs": [
                {
                    "label": one.label,
                    "factors": list(one.factors),
                    "operations": list(map(list, one.operations)),
                }
                for one in outputs
            ],
        }


def _product(output: Output, operands: Sequence[Any]) -> Any:
    product = operands[output.factors[-1]]
    for place in reversed(output.factors[:-1]):
        product = operands[place] * product
    return product


def _emit_number(code: RowCode, raw: str, field: Field) -> str:
    """Add lines that judge ``raw``; return the variable that will hold it as a float, NaN for missing."""
    number, odd = code.variable(), code.bind(_odd(field.judge))
    if field.kind == "flag":
        code.line(f"{number} = {odd}({raw})")
        return number
    code.line(f"if {number_test(raw, field)}:")
    code.line(f"    {number} = float({raw})")
    code.line("else:")
    code.line(f"    {number} = {odd}({raw})")
    return number


def _odd(judge: Callable[[object], Any]) -> Callable[[object], float]:
    def odd(value: object) -> float:
        number = judge(value)
        return _NAN if number is None else float(number)

    return odd
