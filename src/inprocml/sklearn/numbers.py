"""scikit-learn's steps that compute with numbers: what each does to a column, operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from inprocml.sklearn.columns import Block, Code, Column, Denied, Number, Walk, applied
from inprocml.transform.operations import Operation

__all__ = ["NUMBERS", "selected"]

_UFUNCS: dict[Any, tuple[Operation, ...]] = {
    np.absolute: (("absolute",),),
    np.exp: (("exp",),),
    np.expm1: (("expm1",),),
    np.log: (("log",),),
    np.log1p: (("log1p",),),
    np.negative: (("multiply", -1.0),),
    np.sqrt: (("sqrt",),),
    np.square: (("square",),),
}
_HIGHEST_DEGREE = 3
_MOST_PRODUCTS = 5_000

Scaling = Callable[..., tuple[tuple[Operation, ...], str | None]]


def each(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert a scaler: column ``j`` by what it learnt of it."""
    scaling, before, found = _SCALINGS[type(estimator)], len(walk.issues), []
    for place, column in enumerate(block.columns):
        try:
            operations, scale_by = scaling(estimator, place, sparse=block.sparse)
            found.append(applied(walk.number(column), *operations, **_by(column, scale_by)))
        except Denied:
            continue
    return Block(walk.finish(found, before), block.sparse)


def _by(column: Column, scale_by: str | None) -> dict[str, Any]:
    return {} if isinstance(column, Code) else {"scale_by": scale_by}


def _standard(estimator: Any, place: int, *, sparse: bool) -> tuple[tuple[Operation, ...], str | None]:
    subtract = [("subtract", float(estimator.mean_[place]))] if estimator.with_mean else []
    divide = [_divided(estimator.scale_[place], sparse=sparse)] if estimator.with_std else []
    return (*subtract, *divide), "standard" if len(subtract) == len(divide) == 1 else None


def _robust(estimator: Any, place: int, *, sparse: bool) -> tuple[tuple[Operation, ...], str | None]:
    subtract = [("subtract", float(estimator.center_[place]))] if estimator.with_centering else []
    divide = [_divided(estimator.scale_[place], sparse=sparse)] if estimator.with_scaling else []
    quartiles = tuple(estimator.quantile_range) == (25.0, 75.0) and not estimator.unit_variance
    both = len(subtract) == len(divide) == 1
    return (*subtract, *divide), "robust" if both and quartiles else None


def _minmax(estimator: Any, place: int, **_sparse: bool) -> tuple[tuple[Operation, ...], None]:
    scale, shift = float(estimator.scale_[place]), float(estimator.min_[place])
    low, high = map(float, estimator.feature_range)
    clip = [("clip", low, high)] if estimator.clip else []
    return (("multiply", scale), ("add", shift), *clip), None


def _maxabs(estimator: Any, place: int, *, sparse: bool) -> tuple[tuple[Operation, ...], None]:
    clip = [("clip", -1.0, 1.0)] if getattr(estimator, "clip", False) else []
    return (_divided(estimator.scale_[place], sparse=sparse), *clip), None


def _power(estimator: Any, place: int, **_sparse: bool) -> tuple[tuple[Operation, ...], str | None]:
    bend: Operation = ("yeo-johnson", float(estimator.lambdas_[place]))
    if not estimator.standardize:
        return (bend,), None
    operations, scale_by = _standard(estimator._scaler, place, sparse=False)  # noqa: SLF001 - it has no other name
    return (bend, *operations), scale_by


def _above(estimator: Any, _place: int, **_sparse: bool) -> tuple[tuple[Operation, ...], None]:
    return (("above", float(estimator.threshold)),), None


def _divided(scale: Any, *, sparse: bool) -> Operation:
    return ("multiply", float(1.0 / scale)) if sparse else ("divide", float(scale))


_SCALINGS: dict[type, Scaling] = {
    StandardScaler: _standard,
    RobustScaler: _robust,
    MinMaxScaler: _minmax,
    MaxAbsScaler: _maxabs,
    PowerTransformer: _power,
    Binarizer: _above,
}


def powered(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert Yeo and Johnson's transform; the other one is not known here."""
    if estimator.method != "yeo-johnson":
        raise walk.deny("only method='yeo-johnson' can be converted")
    return each(estimator, block, walk)


def bent(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert a ``FunctionTransformer`` of a function out of a closed table, known by identity."""
    if estimator.func is None:
        return block
    known = [steps for ufunc, steps in _UFUNCS.items() if ufunc is estimator.func]
    if not known or estimator.kw_args:
        names = ", ".join(f"numpy.{ufunc.__name__}" for ufunc in _UFUNCS)
        raise walk.deny(
            f"its function is not one of {names}, without arguments. Use one of these, or declare the "
            "transform with Custom(...)"
        )
    before, found = len(walk.issues), []
    for column in block.columns:
        try:
            found.append(applied(walk.number(column), *known[0], **_by(column, None)))
        except Denied:
            continue
    return Block(walk.finish(found, before), block.sparse)


def binned(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert bins: their inner edges are given, whatever the strategy was."""
    before, found = len(walk.issues), []
    for column, edges in zip(block.columns, estimator.bin_edges_, strict=True):
        try:
            number = walk.number(column)
        except Denied:
            continue
        inner = tuple(float(edge) for edge in edges[1:-1])
        place: Operation = ("bin", *inner) if inner else ("constant", 0.0)
        number = applied(number, place, **_by(column, None))
        if estimator.encode == "ordinal":
            found.append(number)
            continue
        key = object()
        for bin_ in range(len(inner) + 1):
            one = applied(number, ("equals", float(bin_)), **_by(column, None))
            found.append(replace(one, label=f"bin{bin_}", key=key))
    return Block(walk.finish(found, before), estimator.encode == "onehot")


def products(estimator: Any, block: Block, walk: Walk) -> Block:
    """Convert products of numbers, each multiplied in scikit-learn's order."""
    before, factors = len(walk.issues), []
    for column in block.columns:
        try:
            number = walk.number(column)
        except Denied:
            continue
        single = number.single if isinstance(number, Number) else None
        if single is None:
            walk.note("products of encoded categories, or of products, are not known: leave them out", column)
        else:
            factors.append((single, column.label))
    walk.finish([], before)
    powers = estimator.powers_
    if powers.sum(axis=1).max() > _HIGHEST_DEGREE or len(powers) > _MOST_PRODUCTS:
        raise walk.deny(f"only up to degree {_HIGHEST_DEGREE} and {_MOST_PRODUCTS} products can be converted")
    key = object()
    made = (_product(row.tolist(), factors, key, sparse=block.sparse) for row in powers)
    return Block(tuple(made), block.sparse)


def _product(
    powers: Sequence[int], factors: Sequence[tuple[Any, str]], key: object, *, sparse: bool
) -> Number:
    places = [place for place, power in enumerate(powers) for _ in range(power)]
    if not places:  # the bias: 1, whatever the first number is
        return Number("products", "1", (factors[0][0],), (("constant", 1.0),), key=key)
    labels = [
        factors[place][1] + (f"^{power}" if power > 1 else "") for place, power in enumerate(powers) if power
    ]
    if sparse:  # the first two first: a formula multiplies its last two first, and products commute
        places = places[2:] + places[:2]
    return Number("products", " ".join(labels), tuple(factors[place][0] for place in places), key=key)


def selected(estimator: SelectorMixin, block: Block, _walk: Walk) -> Block:
    """Convert the selection of columns."""
    chosen = estimator.get_support().tolist()
    pairs = zip(block.columns, chosen, strict=True)
    return Block(tuple(column for column, kept in pairs if kept), block.sparse)


NUMBERS: dict[type, Callable[[Any, Block, Walk], Block]] = {
    **dict.fromkeys(_SCALINGS, each),
    PowerTransformer: powered,
    FunctionTransformer: bent,
    KBinsDiscretizer: binned,
    PolynomialFeatures: products,
}
