"""scikit-learn's hashed n-grams: nothing was learnt, so only the arguments have to agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.feature_extraction.text import HashingVectorizer

from inprocml.sklearn.columns import Block, Raw, Walk, Words
from inprocml.transform.specs_media import Text

__all__ = ["TEXTS"]

_MOST_BUCKETS = 2**16
_USUAL = ("input", "strip_accents", "preprocessor", "tokenizer", "stop_words", "token_pattern")


def hashed(estimator: HashingVectorizer, block: Block, walk: Walk) -> Block:
    """Convert the counts of n-grams of one column of text."""
    column = block.columns[0]
    if len(block.columns) != 1 or not isinstance(column, Raw) or walk.kinds[column.field] != "text":
        raise walk.deny("it reads one column of text, untouched by other steps")
    usual = HashingVectorizer().get_params()
    changed = [name for name in _USUAL if getattr(estimator, name) != usual[name]]
    if changed or callable(estimator.analyzer) or estimator.norm not in {None, "l2"}:
        names = ", ".join(changed) or "analyzer or norm"
        raise walk.deny(f"with {names} other than usual it is not known: leave the argument out")
    if estimator.n_features > _MOST_BUCKETS:
        raise walk.deny(
            f"it gives {estimator.n_features} features: use n_features of at most {_MOST_BUCKETS}"
        )
    try:
        spec = Text(
            buckets=int(estimator.n_features),
            by=estimator.analyzer,
            ngrams=tuple(estimator.ngram_range),
            lowercase=bool(estimator.lowercase),
            binary=bool(estimator.binary),
            norm=estimator.norm,
            signed=bool(estimator.alternate_sign),
            field=column.field,
        )
    except ValueError as refused:
        raise walk.deny(f"its arguments are none that Text(...) has: {refused}") from None
    key = object()
    buckets = range(estimator.n_features)
    return Block(tuple(Words(column.group, str(at), spec, at, key=key) for at in buckets), sparse=True)


TEXTS: dict[type, Callable[[Any, Block, Walk], Block]] = {HashingVectorizer: hashed}
