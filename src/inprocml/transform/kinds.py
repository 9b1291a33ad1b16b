"""The kinds of entry there are: what may be declared, how each is read, fitted and rebuilt."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Field
from inprocml.schema.columns import Column, scalars
from inprocml.schema.missing import is_missing
from inprocml.transform.binned import fit_binned
from inprocml.transform.category import CategoryStep, fit_category
from inprocml.transform.coded import CodedStep
from inprocml.transform.curve import Curve
from inprocml.transform.custom import fit_custom
from inprocml.transform.derived import derived_fields, fit_derived
from inprocml.transform.flag import FlagStep
from inprocml.transform.formula import FormulaStep
from inprocml.transform.hashed import HashedStep
from inprocml.transform.media_kinds import MEDIA, fit_media, media_field
from inprocml.transform.numeric import fit_numeric
from inprocml.transform.specs import Category, Flag, Hashed, Numeric, Timestamp, Vector
from inprocml.transform.specs_derived import Custom, Derived
from inprocml.transform.specs_imported import Coded, Formula
from inprocml.transform.specs_media import Audio, Image, Text
from inprocml.transform.step import Entry
from inprocml.transform.timestamp import TimestampStep
from inprocml.transform.vector import fit_vector

__all__ = ["SPECS", "Spec", "fields_read", "fit_entry"]

Spec: TypeAlias = (
    Numeric
    | Category
    | Hashed
    | Flag
    | Vector
    | Timestamp
    | Derived
    | Custom
    | Formula
    | Coded
    | Text
    | Image
    | Audio
)
SPECS = (Numeric, Category, Hashed, Flag, Vector, Timestamp, Derived, Custom, Formula, Coded, *MEDIA)

_UNFITTED: dict[type, Any] = {
    Hashed: HashedStep,
    Flag: FlagStep,
    Timestamp: TimestampStep,
    Formula: FormulaStep,
    Coded: CodedStep,
    **dict.fromkeys(MEDIA, fit_media),
}


def fields_read(name: str, spec: Spec) -> tuple[str, ...]:
    """Return the names of the fields that an entry reads."""
    if isinstance(spec, Derived):
        return tuple(field.name for field in derived_fields(spec))
    if isinstance(spec, Formula):
        return tuple(dict.fromkeys(operand.field for operand in spec.operands))
    return tuple(spec.reads) if isinstance(spec, Custom) else (spec.field or name,)


def fields_of(name: str, spec: Any, raws: dict[str, Column]) -> tuple[Field, ...]:
    """Return the fields as they are judged while fitting, before anything is known of their values."""
    if isinstance(spec, Derived):
        return derived_fields(spec)
    if isinstance(spec, (Custom, Formula)):
        return (fit_custom(name, spec) if isinstance(spec, Custom) else FormulaStep(name, spec)).fields
    read = spec.field or name
    if isinstance(spec, Numeric):
        return (Field(read, "number", required=spec.missing is None, limits=Curve.of(spec).domain),)
    if isinstance(spec, Vector):
        return (Field(read, "vector", required=spec.missing is None, size=spec.size),)
    if isinstance(spec, Category):
        return CategoryStep(name, spec, _dtype(raws.get(read)), ()).fields
    media = isinstance(spec, MEDIA)
    fields: tuple[Field, ...] = (
        (media_field(name, spec),) if media else _UNFITTED[type(spec)](name, spec).fields
    )
    return fields


def fit_entry(name: str, spec: Any, fields: list[Field], columns: list[NDArray[Any]]) -> Entry:
    """Return the fitted entry; ``TransformError`` where there is nothing to learn from."""
    if isinstance(spec, Derived):
        return fit_derived(name, spec, columns)
    if isinstance(spec, Custom):
        return fit_custom(name, spec)
    column = columns[0]
    if isinstance(spec, Numeric):
        step: Entry = (fit_numeric if spec.bins is None else fit_binned)(name, spec, column)
        return step
    if isinstance(spec, Category):
        return fit_category(name, spec, fields[0].dtype, column)
    if isinstance(spec, Vector):
        return fit_vector(name, spec, column)
    unfitted: Entry = _UNFITTED[type(spec)](name, spec)
    return unfitted


def _dtype(raw: Column | None) -> Literal["str", "int"]:
    """The first value decides what a category is; the others must agree with it."""
    values = [] if raw is None else scalars(raw)
    first = next((value for value in values if not is_missing(value)), "")
    return "int" if isinstance(first, (int, np.integer)) else "str"
