"""From a fitted scikit-learn transformer to a fitted ``Transform`` that gives the same features, measured."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from inprocml.errors import InvalidRow, ParityError, TransformError
from inprocml.schema.columns import Column, scalars
from inprocml.schema.missing import is_missing
from inprocml.schema.table import open_table
from inprocml.sklearn.columns import Block, Denied, Issue, Raw, Walk
from inprocml.sklearn.entries import fitted_steps
from inprocml.sklearn.steps import converted
from inprocml.transform import Transform
from inprocml.transform.operations import BENDS
from inprocml.transform.plan import Plan

__all__ = ["from_sklearn"]

_END = "(features)"
_BENT_RTOL = 1e-6
_SHOWN = 40


def from_sklearn(fitted: Any, table: Any, rtol: float | None) -> Transform:
    """Return the transform; see ``Transform.from_sklearn``."""
    names = _field_names(fitted, table)
    walk = Walk(_kinds(table, names))
    try:
        block = converted(fitted, Block(tuple(Raw(name, name, name) for name in names)), walk)
    except Denied as denied:
        fitted_steps(
            Block(denied.columns), walk.into(_END)
        )  # so that what is wrong with the other parts is told too
        raise _refused(walk.issues) from None
    steps = fitted_steps(block, walk.into(_END))
    if walk.issues:
        raise _refused(walk.issues)
    if not steps:
        raise TransformError("the fitted transformer gives no features, so there is nothing to convert.")
    try:
        plan = Plan(tuple(steps))
        transform = Transform._of(plan)  # noqa: SLF001 - what was fitted elsewhere has no other way in
    except ValueError as refused:
        raise TransformError(f"the converted steps do not fit together: {refused}.") from None
    _check_parity(transform, plan, _features(fitted, table, names), table, rtol)
    return transform


def _field_names(fitted: Any, table: Any) -> list[str]:
    if not hasattr(table, "columns") or not hasattr(table, "__len__"):
        raise TypeError(
            f"table must be a DataFrame with the columns that were fitted on, not {type(table).__name__}"
        )
    try:
        check_is_fitted(fitted)
    except NotFittedError:
        raise TransformError("the transformer is not fitted. Call its fit(table) first.") from None
    except TypeError:
        raise TypeError(f"fitted must be a scikit-learn transformer, not {type(fitted).__name__}") from None
    if not len(table):
        raise TransformError("table has no rows, so nothing can be compared. Give some of the training rows.")
    reader = _reader(fitted)
    names = list(getattr(reader, "feature_names_in_", table.columns))
    if any(not isinstance(name, str) for name in names):
        raise TransformError("fields have names, and these columns have none: name them by strings.")
    if len(names) != getattr(reader, "n_features_in_", len(names)):
        raise TransformError(
            f"table has {len(names)} columns, and an array of {reader.n_features_in_} was fitted on: give a "
            "table of as many, in the same order."
        )
    lacking = [name for name in names if name not in set(table.columns)]
    if lacking:
        listed = ", ".join(map(repr, lacking[:_SHOWN]))
        raise TransformError(
            f"table lacks columns that were fitted on: {listed}. Give a table that has them."
        )
    return names


def _kinds(table: Any, names: list[str]) -> dict[str, str]:
    """Say what each column holds: number, integer, flag, text, unknown if all is missing, else its type."""
    opened = open_table(table, names)
    if opened.issues:
        name, refused = next(iter(opened.issues.items()))
        raise TransformError(f"column {name!r} of the table {refused.reason}.")
    return {name: _kind(column) for name, column in opened.columns.items()}


def _kind(column: Column) -> str:
    if isinstance(column, np.ndarray) and column.dtype.kind in "iufb":
        return {"f": "number", "b": "flag"}.get(column.dtype.kind, "integer")
    types = {type(value) for value in scalars(column) if not is_missing(value)}
    if not types:
        return "unknown" if not _floats(column) else "number"
    for kind, accepted in (
        ("flag", (bool, np.bool_)),
        ("text", (str,)),
        ("integer", (int, np.integer)),
        ("number", (int, float, np.integer, np.floating)),
    ):
        if all(issubclass(own, accepted) and (kind == "flag" or own is not bool) for own in types):
            return kind
    return "other: " + ", ".join(sorted(own.__name__ for own in types))


def _floats(column: Column) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind == "f"


def _refused(issues: list[Issue]) -> TransformError:
    listed = "".join(f"\n- {issue}" for issue in dict.fromkeys(issues))
    return TransformError(
        "this transformer cannot be converted, for these reasons:"
        f"{listed}\nReplace these steps, or declare the transform by hand and train on its features."
    )


def _check_parity(
    transform: Transform, plan: Plan, wanted: NDArray[np.float64], table: Any, rtol: float | None
) -> None:
    with np.errstate(all="ignore"):
        theirs = wanted.astype(np.float32)
    try:
        ours = transform.transform(table)
    except InvalidRow as refused:
        raise TransformError(
            f"rows of the table are refused once converted: {refused} Where scikit-learn gives NaN or takes "
            "what no feature can be made of, impute, or give unknown_value and encoded_missing_value."
        ) from None
    if ours.shape != theirs.shape:
        raise TransformError(
            f"converted, there are {ours.shape[1]} features, and scikit-learn gives {theirs.shape[1]}: a "
            "step does something that its class does not usually do. Declare the transform by hand."
        )
    limits = _limits(plan, theirs, rtol)
    with np.errstate(all="ignore"):
        apart = np.abs(ours.astype(np.float64) - theirs)
    over = ~((apart <= limits) | (ours == theirs))
    if over.any():
        known = np.where(np.isnan(apart), np.inf, apart)
        raise _parity_error(transform, np.where(over, known, 0.0), limits)


def _features(fitted: Any, table: Any, names: list[str]) -> NDArray[np.float64]:
    chosen = table[names] if hasattr(_reader(fitted), "feature_names_in_") else table.to_numpy()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of unknown categories, and of names: the features are compared
        found: Any = fitted.transform(chosen)
    dense: Any = found.toarray() if issparse(found) else found
    features: NDArray[np.float64] = np.asarray(dense, dtype=np.float64)
    return features


def _reader(fitted: Any) -> Any:
    """Return the first step that reads the table: it knows the names of what it reads."""
    while isinstance(fitted, Pipeline):
        working = [step for _, step in fitted.steps if step is not None and step != "passthrough"]
        if not working:
            return fitted
        fitted = working[0]
    return fitted


def _limits(plan: Plan, theirs: NDArray[np.float32], rtol: float | None) -> NDArray[np.float64]:
    """Return how far each feature may be off, relative to the largest value of its column."""
    largest: NDArray[np.float64] = np.abs(theirs.astype(np.float64)).max(axis=0)
    if rtol is not None:
        return largest * rtol
    bent = [_is_bent(step) for step in plan.steps for _ in range(step.width)]
    return np.where(bent, largest * _BENT_RTOL, 0.0)


def _is_bent(step: Any) -> bool:
    document = step.document()
    return document.get("log") is True or document.get("power") == "yeo-johnson" or _bends(document)


def _bends(part: Any) -> bool:
    if isinstance(part, dict):
        return any(
            _bends(value) for key, value in part.items() if key in {"operands", "outputs", "operations"}
        )
    if isinstance(part, list):
        return (bool(part) and part[0] in BENDS) or any(_bends(one) for one in part)
    return False


def _parity_error(
    transform: Transform, apart: NDArray[np.float64], limits: NDArray[np.float64]
) -> ParityError:
    furthest = apart.max(axis=1)
    rows = np.argsort(-furthest, kind="stable")[:_SHOWN]
    row = int(rows[0])
    place = int(apart[row].argmax())
    name = transform.get_feature_names_out()[place]
    bad = int((apart > 0).any(axis=0).sum())
    return ParityError(
        f"converted, feature {name!r} is {apart[row, place]:.3g} away from scikit-learn's in row {row} of "
        f"the table, and {bad} features differ in all. If the table holds float32 or mixed types, make its "
        "numbers float64 and fit again; or pass rtol= to allow as much of each feature's largest value.",
        rows=tuple(int(one) for one in rows if furthest[one] > 0),
        distance=float(apart[row, place]),
        limit=float(limits[place]),
    )
