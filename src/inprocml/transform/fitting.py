"""From declared fields and training rows to a plan; nothing depends on the order of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Field, Schema
from inprocml.schema.columns import Column, scalars
from inprocml.schema.missing import is_missing
from inprocml.schema.table import open_table
from inprocml.transform.category import fit_category
from inprocml.transform.hashed import HashedStep
from inprocml.transform.numeric import fit_numeric, limits_unscaled
from inprocml.transform.plan import Plan
from inprocml.transform.specs import Category, Hashed, Numeric, Spec
from inprocml.transform.step import Step
from inprocml.transform.timestamp import TimestampStep
from inprocml.values import Table

__all__ = ["fit_plan"]


def fit_plan(fields: Mapping[str, Spec], table: Table) -> tuple[Plan, dict[str, NDArray[Any]]]:
    """Return the plan, and the canonical columns of the training rows.

    Raises ``InvalidRow`` with every bad field, or ``TransformError`` where there is nothing to learn from.
    """
    opened = open_table(table, list(fields))
    if not opened.rows:
        raise TransformError("there are no rows to learn from. Fit on at least one row.")
    schema = Schema(tuple(_field(name, spec, opened.columns.get(name)) for name, spec in fields.items()))
    columns = schema.check_opened(opened)
    with np.errstate(all="ignore"):  # whatever the host set: what overflows is seen in its result
        steps = [_step(field, fields[field.name], columns[field.name]) for field in schema.fields]
    plan = Plan(tuple(steps))
    # what the scale cannot hold was not known before; training rows obey the same schema as requests
    return plan, plan.schema.check_opened(opened)


def _field(name: str, spec: Spec, raw: Column | None) -> Field:
    required = spec.missing is None
    if isinstance(spec, Numeric):
        return Field(name, "number", required=required, limits=limits_unscaled(spec))
    if isinstance(spec, Category):
        return Field(name, "category", required=required, dtype=_dtype(raw))
    if isinstance(spec, Hashed):
        return HashedStep(name, spec).field
    return TimestampStep(name, spec).field


def _dtype(raw: Column | None) -> Literal["str", "int"]:
    """The first value decides what a category is; the others must agree with it."""
    values = [] if raw is None else scalars(raw)
    first = next((value for value in values if not is_missing(value)), "")
    return "str" if isinstance(first, str) else "int"


def _step(field: Field, spec: Spec, column: NDArray[Any]) -> Step:
    if isinstance(spec, Numeric):
        return fit_numeric(field.name, spec, column)
    if isinstance(spec, Category):
        return fit_category(field.name, spec, field.dtype, column)
    return HashedStep(field.name, spec) if isinstance(spec, Hashed) else TimestampStep(field.name, spec)
