"""From columns to fitted entries: the plainest kind that says a column to the bit, else formula or codes."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from inprocml.sklearn.columns import Block, Code, Column, Denied, Named, Number, Walk, Words
from inprocml.transform.binned import BinnedStep
from inprocml.transform.coded import CodedStep
from inprocml.transform.derived import DerivedStep
from inprocml.transform.flag import FlagStep
from inprocml.transform.formula import FormulaStep
from inprocml.transform.naming import LONGEST_NAME
from inprocml.transform.numeric import NumericStep
from inprocml.transform.operations import Operation
from inprocml.transform.specs import Flag, Numeric
from inprocml.transform.specs_derived import Derived
from inprocml.transform.specs_imported import Coded, Formula, Operand, Output, Row
from inprocml.transform.step import Step
from inprocml.transform.text_step import NgramStep

__all__ = ["fitted_steps"]

_WHOLE = range(-(2**63), 2**63)
_WIDEST_CODES = 4_000_000  # numbers that are not 0 in the codes of one field


def fitted_steps(block: Block, walk: Walk) -> list[Step]:
    """Return an entry for each column, or for those that belong together; notes what can have none."""
    columns = [column for column in (_outermost(column, walk) for column in block.columns) if column]
    summed = {field for column in columns if isinstance(column, Number) for field, _ in column.factors}
    steps: list[Step] = []
    taken: set[str] = set()
    for _, side_by_side in groupby(enumerate(columns), key=_together):
        group = [column for _, column in side_by_side]
        name = _name(group[0].group, taken)
        try:
            steps.append(_step(name, group, walk, summed))
        except Denied:
            continue
        except ValueError as refused:
            walk.note(f"its numbers are none that an entry may have: {refused}", group[0])
    return steps


def _outermost(column: Column, walk: Walk) -> Number | Code | Words | None:
    """Return the column as features can be made of it."""
    if isinstance(column, Words):
        return column
    try:
        return walk.number(column)
    except Denied:
        return None


def _together(numbered: tuple[int, Named]) -> object:
    place, column = numbered
    return place if column.key is None else (id(column.key), column.group)


def _name(group: str, taken: set[str]) -> str:
    """Return a name that no other entry has, without the marks that features' names are made with."""
    plain = "".join("_" if c in "=#" or not c.isprintable() else c for c in group)[: LONGEST_NAME - 8]
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    taken.add(name)
    return name


def _step(name: str, group: Sequence[Any], walk: Walk, summed: set[str]) -> Step:
    first = group[0]
    if isinstance(first, Code):
        return _codes(name, group, walk, summed)
    if isinstance(first, Words):
        return _words(name, group, walk)
    single = _simple(name, first, walk) if len(group) == 1 else _bins(name, group, walk)
    return _formula(name, group, walk) if single is None else single


def _words(name: str, group: Sequence[Words], walk: Walk) -> Step:
    if [column.place for column in group] != list(range(group[0].spec.ngram_options.buckets)):
        walk.note("some of its buckets were left out: keep them all", group[0])
        raise Denied
    return NgramStep(name, group[0].spec)


def _simple(name: str, column: Number, walk: Walk) -> Step | None:
    """Return the column as one of the kinds that are declared by hand, ``None`` if it is none of them."""
    if column.single is None:
        return None
    field, operations = column.single
    if walk.kinds[field] == "flag":
        return FlagStep(name, Flag(field=field)) if not operations else None
    if operations == (("is_missing",),):
        return DerivedStep(name, Derived("is_missing", field), NumericStep(name, Numeric()))
    if operations and operations[-1][0] == "bin":
        return _binned(name, field, operations, "ordinal")
    return _numeric(name, column, field, operations)


def _numeric(name: str, column: Number, field: str, operations: tuple[Operation, ...]) -> Step | None:
    rest = list(operations)
    fill = float(rest.pop(0)[1]) if rest and rest[0][0] == "fill" else None
    bends: dict[str, dict[str, Any]] = {"log1p": {"log": True}, "yeo-johnson": {"power": "yeo-johnson"}}
    bends |= {power: {"power": power} for power in ("sqrt", "square")}
    bend: dict[str, Any] = {}
    exponent = 1.0
    if rest and rest[0][0] in bends:
        called, *numbers = rest.pop(0)
        bend, exponent = bends[str(called)], float(numbers[0]) if numbers else 1.0
    scale, offset, divisor = "none", 0.0, 1.0
    if column.scale_by is not None and [one[0] for one in rest] == ["subtract", "divide"]:
        scale, offset, divisor = column.scale_by, float(rest[0][1]), float(rest[1][1])
        rest = []
    if rest:
        return None
    missing: Any = fill if column.fill_by is None or fill is None else column.fill_by
    try:
        spec = Numeric(missing=missing, scale=scale, field=field, **bend)  # type: ignore[arg-type]
        return NumericStep(name, spec, fill, offset, divisor, exponent)
    except ValueError:  # a formula asks less of its numbers
        return None


def _bins(name: str, group: Sequence[Number], walk: Walk) -> Step | None:
    """Return the columns as one feature per bin, ``None`` if they are not just that."""
    singles = [column.single for column in group]
    first = singles[0]
    if (
        first is None
        or walk.kinds[first[0]] == "flag"
        or [one[0] for one in first[1]][-2:] != ["bin", "equals"]
    ):
        return None
    before = first[1][:-1]
    wanted = [(first[0], (*before, ("equals", float(bin_)))) for bin_ in range(len(before[-1]))]
    return _binned(name, first[0], before, "onehot") if singles == wanted else None


def _binned(
    name: str, field: str, operations: tuple[Operation, ...], encoding: Literal["onehot", "ordinal"]
) -> Step | None:
    *before, (_, *numbers) = operations
    if [one[0] for one in before] not in ([], ["fill"]):
        return None
    fill = float(before[0][1]) if before else None
    edges = tuple(float(edge) for edge in numbers)
    return BinnedStep(name, Numeric(missing=fill, bins=edges, encoding=encoding, field=field), edges, fill)


def _formula(name: str, group: Sequence[Number], walk: Walk) -> Step:
    factors = [column.factors for column in group]
    rests = [column.operations for column in group]
    singles = [column.single for column in group]
    if len({one[0] if one else None for one in singles}) == 1 and singles[0] is not None:
        # one number: what all its features have in common is computed once
        shared = _in_common([one[1] for one in singles if one is not None])
        field, common = singles[0][0], singles[0][1][:shared]
        factors = [((field, common),) for _ in group]
        rests = [one[1][shared:] for one in singles if one is not None]
    operands = list(dict.fromkeys(factor for product in factors for factor in product))
    places = {operand: place for place, operand in enumerate(operands)}
    labels = _distinct([column.label for column in group])
    outputs = [
        Output(label, tuple(places[factor] for factor in product), rest)
        for label, product, rest in zip(labels, factors, rests, strict=True)
    ]
    read = tuple(Operand(field, _number_or_flag(walk.kinds[field]), before) for field, before in operands)
    return FormulaStep(name, Formula(operands=read, outputs=tuple(outputs)))


def _number_or_flag(kind: str) -> Literal["number", "flag"]:
    return "flag" if kind == "flag" else "number"


def _in_common(chains: Sequence[tuple[Operation, ...]]) -> int:
    shortest = min(len(chain) for chain in chains)
    return next((at for at in range(shortest) if len({chain[at] for chain in chains}) > 1), shortest)


def _codes(name: str, group: Sequence[Code], walk: Walk, summed: set[str]) -> Step:
    first = group[0]
    reads = _reads(first, walk, summed=first.field in summed)
    canonical = _canonical(first, reads, walk)
    codes = {value: _row(group, value) for value in first.categories}
    if sum(map(len, codes.values())) > _WIDEST_CODES:
        walk.note("it would write down too many numbers: let rare categories share one code", first)
        raise Denied
    if any(not math.isfinite(number) for row in codes.values() for _, number in row):
        walk.note("a category would be encoded as NaN or infinity, and features are numbers", first)
        raise Denied
    known = sorted((canonical[value], codes[value]) for value in first.categories)
    spec = Coded(
        reads=reads,
        categories=tuple(value for value, _ in known),
        labels=tuple(_distinct([column.label for column in group])),
        rows=tuple(row for _, row in known),
        unseen=_outside([column.unseen for column in group]),
        missing=_outside([column.missing for column in group]),
        field=first.field,
    )
    return CodedStep(name, spec)


def _reads(code: Code, walk: Walk, *, summed: bool) -> Literal["text", "integer", "number", "flag"]:
    """Say how the field is read; two entries that read one field must read it alike."""
    kind = walk.kinds[code.field]
    if kind.startswith("other"):
        walk.note(f"it holds {kind.removeprefix('other: ')}: make these strings, numbers or booleans", code)
        raise Denied
    if kind == "flag":
        return "flag"
    if kind == "text" or (kind == "unknown" and any(isinstance(value, str) for value in code.categories)):
        return "text"
    whole = all(isinstance(value, int) and value in _WHOLE for value in code.categories)
    return "integer" if kind == "integer" and whole and not summed else "number"


def _canonical(code: Code, reads: str, walk: Walk) -> dict[Any, Any]:
    """Return each category as rows hold it."""
    own: dict[str, Any] = {"text": _text, "integer": int, "number": float, "flag": bool}
    accepted: Any = {"text": str, "integer": int, "number": (int, float), "flag": (bool, int, float)}[reads]
    if not all(isinstance(value, accepted) for value in code.categories):
        walk.note("its categories are of another type than the values of the table", code)
        raise Denied
    canonical = {value: own[reads](value) for value in code.categories}
    if reads != "text" and any(value != canonical[value] for value in canonical):
        walk.note("its categories are numbers that float64 does not hold exactly: make them strings", code)
        raise Denied
    if len(set(canonical.values())) != len(canonical):
        walk.note("two of its categories are one in Unicode normal form C: make them one", code)
        raise Denied
    return canonical


def _text(value: str) -> str:
    return unicodedata.normalize("NFC", value)


def _row(group: Sequence[Code], value: Any) -> Row:
    numbers = (column.values.get(value, column.rest) for column in group)
    return tuple((place, number) for place, number in enumerate(numbers) if number != 0.0)


def _outside(numbers: list[float | None]) -> Row | None:
    """Return the features of a value that is none of the known; ``None`` where scikit-learn has no number."""
    known = [number for number in numbers if number is not None and math.isfinite(number)]
    if len(known) < len(numbers):
        return None
    return tuple((place, number) for place, number in enumerate(known) if number != 0.0)


def _distinct(labels: Sequence[str]) -> list[str]:
    found: list[str] = []
    for label in labels:
        short, number = label[:900], 2
        unique = short
        while unique in found:
            unique, number = f"{short} ({number})", number + 1
        found.append(unique)
    return found
