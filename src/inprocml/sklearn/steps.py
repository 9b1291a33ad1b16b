"""How scikit-learn puts steps together: pipelines, column transformers, unions; a step by its exact class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import FeatureUnion, Pipeline

from inprocml.sklearn.columns import Block, Column, Denied, Walk, applied
from inprocml.sklearn.encoders import ENCODERS
from inprocml.sklearn.numbers import NUMBERS, selected
from inprocml.sklearn.texts import TEXTS

__all__ = ["converted"]

_TEXTS = {"CountVectorizer", "TfidfTransformer", "TfidfVectorizer"}
_WHY = {
    "FeatureHasher": "declare the field with Hashed(...), and train on its features",
    "Normalizer": "its sums over a row depend on the machine",
    "QuantileTransformer": "it interpolates between a thousand quantiles: bin the numbers instead",
    **dict.fromkeys(
        _TEXTS,
        "a vocabulary of words is no kind of entry: fit a HashingVectorizer instead, nothing is learnt",
    ),
}


def converted(estimator: Any, block: Block, walk: Walk) -> Block:
    """Return what a fitted step makes of the columns; raises ``Denied`` after all of it was looked at."""
    if isinstance(estimator, str) and estimator == "passthrough":
        return block
    if type(estimator) in _COMPOSED:
        return _COMPOSED[type(estimator)](estimator, block, walk)
    walk = walk.into(type(estimator).__name__)
    convert = _known(estimator)
    if convert is None:
        raise walk.deny(_unknown(estimator))
    found: Block = convert(estimator, block, walk)
    return found


def _known(estimator: Any) -> Any:
    kind = type(estimator)
    convert = NUMBERS.get(kind) or ENCODERS.get(kind) or TEXTS.get(kind)
    if convert is not None:
        return convert
    # a selector of scikit-learn's own does nothing but select; a class of someone else's may do more
    own = kind.__module__.partition(".")[0] == "sklearn"
    return selected if own and isinstance(estimator, SelectorMixin) else None


def _unknown(estimator: Any) -> str:
    if hasattr(estimator, "predict") and not hasattr(estimator, "transform"):
        return "it is a model: convert the steps before it, pipeline[:-1], and pack the model with the result"
    why = _WHY.get(type(estimator).__name__, "no kind of entry computes the same")
    return f"cannot be converted: {why}"


def _pipeline(pipeline: Pipeline, block: Block, walk: Walk) -> Block:
    lost: Denied | None = None
    for name, step in pipeline.steps:
        if step is None or (isinstance(step, str) and step == "passthrough"):
            continue
        inner = walk.into(name)
        if lost is not None:  # its columns are not known, but what it is can be told
            _look(step, inner)
            lost = Denied()
            continue
        try:
            block = converted(step, block, inner)
        except Denied as denied:
            lost = denied
    if lost is not None:
        raise lost
    return block


def _look(step: Any, walk: Walk) -> None:
    if type(step) not in _COMPOSED and _known(step) is None:
        walk.into(type(step).__name__).note(_unknown(step))


def _column_transformer(transformer: ColumnTransformer, block: Block, walk: Walk) -> Block:
    names = list(getattr(transformer, "feature_names_in_", []))
    found: list[Column] = []
    lost = False
    for name, step, chosen in transformer.transformers_:
        inner = walk.into(name)
        places = _places(chosen, names, len(block.columns))
        if not places or (isinstance(step, str) and step == "drop"):
            continue
        part = Block(tuple(block.columns[place] for place in places), block.sparse)
        try:
            columns = converted(step, part, inner).columns
            columns = _weighted(columns, (transformer.transformer_weights or {}).get(name), inner)
        except Denied as denied:
            lost, columns = True, denied.columns
        found += _prefixed(columns, name, verbose=bool(transformer.verbose_feature_names_out))
    if lost:
        raise Denied(tuple(found))
    return Block(tuple(found), bool(transformer.sparse_output_))


def _union(union: FeatureUnion, block: Block, walk: Walk) -> Block:
    found: list[Column] = []
    lost = sparse = False
    for name, step in union.transformer_list:
        if isinstance(step, str) and step == "drop":
            continue
        inner = walk.into(name)
        try:
            part = converted(step, block, inner)
            columns = _weighted(part.columns, (union.transformer_weights or {}).get(name), inner)
        except Denied as denied:
            lost, columns = True, denied.columns
        else:
            sparse = sparse or part.sparse
        found += _prefixed(columns, name, verbose=bool(union.verbose_feature_names_out))
    if lost:
        raise Denied(tuple(found))
    return Block(tuple(found), sparse)


_COMPOSED = {Pipeline: _pipeline, ColumnTransformer: _column_transformer, FeatureUnion: _union}


def _weighted(columns: tuple[Column, ...], weight: Any, walk: Walk) -> tuple[Column, ...]:
    if weight is None:
        return columns
    numbers = (walk.number(column) for column in columns)
    return tuple(applied(number, ("multiply", float(weight))) for number in numbers)


def _prefixed(columns: tuple[Column, ...], name: str, *, verbose: bool) -> list[Column]:
    prefix = f"{name}__" if verbose else ""
    return [replace(column, group=prefix + column.group) for column in columns]


def _places(chosen: Any, names: list[str], width: int) -> list[int]:
    """Return the positions of what a fitted column transformer says it selects, in its order."""
    if isinstance(chosen, slice):
        return _sliced(chosen, names, width)
    listed: list[Any] = [chosen] if isinstance(chosen, (str, int)) else list(chosen)
    if listed and all(isinstance(one, str) for one in listed):
        return [names.index(one) for one in listed]
    if listed and all(type(one).__name__ in {"bool", "bool_"} for one in listed):
        return [place for place, kept in enumerate(listed) if kept]
    return [range(width)[int(one)] for one in listed]


def _sliced(chosen: slice, names: list[str], width: int) -> list[int]:
    start, stop = chosen.start, chosen.stop
    if isinstance(start, str) or isinstance(stop, str):  # by name, the last is included
        start = None if start is None else names.index(start)
        stop = None if stop is None else names.index(stop) + 1
    return list(range(width)[slice(start, stop, chosen.step)])
