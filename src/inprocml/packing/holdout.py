"""Labelled rows that the model was not trained on, scored with the packed model and counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.bundle import Classes, Output
from inprocml.bundle.golden import as_tensors
from inprocml.errors import PackError
from inprocml.monitoring.quality import Tally, reference
from inprocml.packing.labels import listed, spelling, strangers
from inprocml.packing.sample import WHOLE
from inprocml.packing.table_digest import table_digest
from inprocml.transform import Transform
from inprocml.values import Tensors

__all__ = ["count_holdout"]

_MOST_ROWS = 2**31


def count_holdout(
    holdout: object,
    score: Callable[[Tensors], NDArray[Any]],
    *,
    transform: Transform,
    output: Output,
    classes: tuple[Any, ...] | None,
    training: str,
) -> Tally:
    """Return the counts of ``holdout``, a pair of a table and its labels, as ``score`` answers the rows.

    ``classes`` is what the estimator was fitted on, ``training`` the digest of the training table. Raises
    ``InvalidRow`` for a bad row, and ``PackError`` for labels that do not fit, for no rows, and for the
    training table itself: on that every model looks better than it is. Its rows in another order, or a part
    of them, are not recognised.
    """
    if not isinstance(holdout, tuple) or len(holdout) != 2:
        raise PackError(
            f"holdout= is {type(holdout).__name__}; give a pair: a table that the model was not trained on, "
            "and its labels."
        )
    table, labels = holdout
    columns = transform.schema.check_table(table)
    rows = len(next(iter(columns.values())))
    if not 1 <= rows <= _MOST_ROWS:
        raise PackError(f"holdout has {rows} rows. Give some hundreds that the model was not trained on.")
    if table_digest(transform.schema, columns) == training:
        raise PackError(
            "holdout is the training table: on its own training rows a model is too sure, and every honest "
            "label would look like drift. Give labelled rows that it was not trained on, or none."
        )
    truths = _truths(labels, output, classes, rows)
    parts = [score(part) for part in map(as_tensors, transform.batches(table, rows=WHOLE))]
    answers = np.concatenate(parts)
    output.check(answers)
    if isinstance(output, Classes):
        return reference(output.labels, output.probabilities(answers), truths)
    return reference((), answers.reshape(-1), truths)


def _truths(labels: Any, output: Output, classes: tuple[Any, ...] | None, rows: int) -> list[Any]:
    try:
        values = listed(labels)
    except (TypeError, ValueError) as error:
        raise PackError("the labels of holdout are no list of values. Give one label per row.") from error
    if len(values) != rows:
        raise PackError(f"holdout has {rows} rows, and {len(values)} labels. Give one label per row.")
    if isinstance(output, Classes):
        names = spelling(values, output, classes)
        if names is None:
            raise PackError(f"holdout: of its labels {strangers(values, output)} Spell them as the classes.")
        places = {name: place for place, name in enumerate(names)}
        return [output.labels[places[value]] for value in values]
    bad = [place for place, value in enumerate(values) if not _is_number(value)]
    if bad:
        raise PackError(
            f"holdout: the label of row {bad[0]}, and {len(bad) - 1} more, are no finite numbers. "
            "Leave these rows out."
        )
    return values


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e30
