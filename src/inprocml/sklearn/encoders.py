"""scikit-learn's steps that encode values, or stand in for missing ones: a number for each category."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from inprocml.schema.missing import is_missing
from inprocml.sklearn.columns import Block, Code, Column, Denied, Number, Raw, Walk, applied
from inprocml.transform.operations import Operation

__all__ = ["ENCODERS"]

_STRATEGIES = {"mean": "mean", "median": "median"}


def imputed(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert what stands in for missing values, and the marks of those after it if there are."""
    before, found = len(walk.issues), []
    for column, statistic in zip(block.columns, estimator.statistics_.tolist(), strict=True):
        if is_missing(statistic) and not estimator.keep_empty_features:
            continue  # scikit-learn drops a column without any value
        try:
            found.append(_filled(estimator, column, statistic, walk))
        except Denied:
            continue
    if estimator.indicator_ is not None:
        found += _marks(estimator.indicator_, block, walk)
    return Block(walk.finish(found, before), block.sparse)


def _filled(estimator: Any, column: Column, statistic: Any, walk: Walk) -> Column:
    gone = estimator.missing_values
    if isinstance(column, Raw) and isinstance(statistic, str):
        if not is_missing(gone):
            walk.note("missing_values may only be NaN, None or pandas.NA where a column holds text", column)
            raise Denied
        return column if column.fill is not None else replace(column, fill=statistic)
    number = walk.number(column)
    if is_missing(statistic):
        walk.note("what stands in for a missing value is itself missing: give a fill_value", column)
        raise Denied
    stands_in = float(statistic)
    if not is_missing(gone):
        return applied(number, ("replace", float(gone), stands_in))
    learnt = {"fill_by": _STRATEGIES.get(estimator.strategy)} if isinstance(number, Number) else {}
    return applied(number, ("fill", stands_in), **learnt)


def marked(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert the marks of missing values."""
    before = len(walk.issues)
    return Block(walk.finish(_marks(estimator, block, walk), before), sparse=False)


def _marks(estimator: Any, block: Block, walk: Walk) -> list[Column]:
    found: list[Column] = []
    for place in estimator.features_.tolist():
        column, name = block.columns[place], f"missingindicator_{block.columns[place].group}"
        if isinstance(column, Raw) and walk.kinds[column.field] == "text":
            gone = 0.0 if column.fill is not None else 1.0
            found.append(Code(name, name, column.field, (), {}, 0.0, 0.0, gone))
            continue
        try:
            number = walk.number(column)
        except Denied:
            continue
        lost = estimator.missing_values
        mark: Operation = ("is_missing",) if is_missing(lost) else ("equals", float(lost))
        found.append(replace(applied(number, mark), group=name, label=name, key=None))
    return found


def one_hot(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert one feature per category: those that scikit-learn has, and no more."""
    before, found = len(walk.issues), []
    unknown: float | None = None if estimator.handle_unknown == "error" else 0.0
    shared = estimator.handle_unknown in {"infrequent_if_exist", "warn"}
    for place, column in enumerate(block.columns):
        try:
            values = _values(estimator, place, column, walk)
        except Denied:
            continue
        groups, rare = _grouped(estimator, place)
        dropped = None if estimator.drop_idx_ is None else estimator.drop_idx_[place]
        gone = [] if dropped is None else [_key(estimator.categories_[place].tolist()[int(dropped)])]
        key = object()
        for label, group in groups:
            if gone and gone[0] in group:
                continue
            unseen = 1.0 if shared and group is rare else unknown
            code = values.code(dict.fromkeys(group, 1.0), unseen)
            found.append(replace(code, label=label, key=key))
    return Block(walk.finish(found, before), bool(estimator.sparse_output))


def _grouped(estimator: Any, place: int) -> tuple[list[tuple[str, list[Any]]], list[Any] | None]:
    """Return the name and the categories of each code in scikit-learn's order, and those of the rare ones."""
    categories = estimator.categories_[place].tolist()
    found = getattr(estimator, "infrequent_categories_", None)
    if found is None or found[place] is None:
        return [(str(value), [_key(value)]) for value in categories], None
    rare = [_key(value) for value in found[place].tolist()]
    among = set(rare)
    groups = [(str(value), [_key(value)]) for value in categories if _key(value) not in among]
    return [*groups, ("infrequent_sklearn", rare)], rare


def ordinal(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert the number of a category."""
    unknown = None if estimator.handle_unknown == "error" else float(estimator.unknown_value)
    before, found = len(walk.issues), []
    for place, column in enumerate(block.columns):
        groups, _ = _grouped(estimator, place)
        # to scikit-learn NaN is a missing value here, without a number, and None a category like any other
        nan = any(value != value for value in estimator.categories_[place].tolist())  # noqa: PLR0124
        counted = [group for _, group in groups if not (nan and None in group)]
        numbers = {value: float(code) for code, group in enumerate(counted) for value in group}
        if nan:
            numbers[None] = float(estimator.encoded_missing_value)
        try:
            found.append(_values(estimator, place, column, walk).code(numbers, unknown))
        except Denied:
            continue
    return Block(walk.finish(found, before), sparse=False)


def targets(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert the mean of the target for each category."""
    before, found = len(walk.issues), []
    means = np.atleast_1d(estimator.target_mean_).tolist()
    for place, column in enumerate(block.columns):
        try:
            values = _values(estimator, place, column, walk)
        except Denied:
            continue
        key = object() if len(means) > 1 else None
        for number, mean in enumerate(means):
            encoding = estimator.encodings_[place * len(means) + number].tolist()
            keys = map(_key, estimator.categories_[place].tolist())
            code = values.code(dict(zip(keys, encoding, strict=True)), mean)
            found.append(replace(code, label=f"class{number}", key=key))
    return Block(walk.finish(found, before), sparse=False)


@dataclass(frozen=True)
class _Values:
    """The values of one column that an encoder knows; ``given`` is what it reads for a missing one."""

    column: Column
    field: str
    known: tuple[Any, ...]
    given: Any
    given_is_known: bool

    def code(self, numbers: dict[Any, float], unseen: float | None) -> Code:
        """Return a number for each known value, 0 for those without; missing is as scikit-learn takes it."""
        missing = numbers.get(self.given, 0.0) if self.given_is_known else unseen
        listed = {value: number for value, number in numbers.items() if value is not None}
        group, label = self.column.group, self.column.label
        return Code(group, label, self.field, self.known, listed, 0.0, unseen, missing)


def _values(estimator: Any, place: int, column: Column, walk: Walk) -> _Values:
    field, fill = _read(column, walk)
    keys = [_key(value) for value in estimator.categories_[place].tolist()]
    if keys.count(None) > 1:
        walk.note("None and NaN are two categories to it, and one thing here: make them one", column)
        raise Denied
    if _narrow(estimator.categories_[place]):
        walk.note("its categories are float32, and no row of JSON would meet them: fit on float64", column)
        raise Denied
    known = tuple(value for value in keys if value is not None)
    # a missing category behind an imputer is the one of None and NaN that the imputer does not look for
    given = None if None in keys else fill
    return _Values(column, field, known, given, given in keys)


def _narrow(categories: Any) -> bool:
    """Say whether some category is a float that is written otherwise in float64: 0.1 of float32."""
    if categories.dtype.kind != "f" or categories.dtype.itemsize >= 8:
        return False
    return any(not is_missing(value) and float(str(value)) != float(value) for value in categories)


def _read(column: Column, walk: Walk) -> tuple[str, Any]:
    """Return the field whose values are encoded, and what stands in for a missing one if anything does."""
    if isinstance(column, Raw):
        return column.field, column.fill
    single = column.single if isinstance(column, Number) else None
    if single is not None:
        field, operations = single
        fills = [operation for operation in operations if operation[0] == "fill"]
        if len(fills) == len(operations):
            return field, fills[0][1] if fills else None
    walk.note("it encodes what earlier steps computed: encode the column itself", column)
    raise Denied


def _key(value: Any) -> Any:
    return None if is_missing(value) else value


ENCODERS: dict[type, Callable[[Any, Block, Walk], Block]] = {
    SimpleImputer: imputed,
    MissingIndicator: marked,
    OneHotEncoder: one_hot,
    OrdinalEncoder: ordinal,
    TargetEncoder: targets,
}
