"""From declared entries and training rows to a plan; nothing depends on the order of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import TransformError
from inprocml.schema import Schema
from inprocml.schema.table import Opened, open_table
from inprocml.transform.kinds import Spec, fields_of, fields_read, fit_entry
from inprocml.transform.plan import Plan
from inprocml.values import Table

__all__ = ["fit_plan"]


def fit_plan(entries: Mapping[str, Spec], table: Table) -> tuple[Plan, Opened, dict[str, NDArray[Any]]]:
    """Return the plan, the training table, and its canonical columns.

    Raises ``InvalidRow`` with every bad field, or ``TransformError`` where there is nothing to learn from.
    """
    names = dict.fromkeys(field for name, spec in entries.items() for field in fields_read(name, spec))
    opened = open_table(table, list(names))
    if not opened.rows and not opened.issues:
        raise TransformError("there are no rows to learn from. Fit on at least one row.")
    read = {name: fields_of(name, spec, opened.columns) for name, spec in entries.items()}
    columns = Schema.merged(field for group in read.values() for field in group).check_opened(opened)
    with np.errstate(all="ignore"):  # whatever the host set: what overflows is seen in its result
        fitted = [
            fit_entry(name, spec, list(read[name]), [columns[field.name] for field in read[name]])
            for name, spec in entries.items()
        ]
    # what a scale cannot hold was not known before; training rows obey the same schema as requests
    plan = Plan(tuple(fitted))
    return plan, opened, plan.schema.check_opened(opened)
