"""Which rows of the training table stand for all: for parity, and as golden rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.bundle.manifest import MOST_GOLDEN
from inprocml.errors import PackError
from inprocml.transform import Transform
from inprocml.values import Features, Table

__all__ = ["GOLDEN_ROWS", "SAMPLE_ROWS", "Sample", "golden_rows", "sample_rows", "take_sample"]

GOLDEN_ROWS = MOST_GOLDEN
SAMPLE_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Sample:
    """The training table, checked and encoded, and the rows of it that stand for all.

    ``rows`` are positions in the table and begin with the golden ones.
    """

    columns: Mapping[str, Any]
    features: Features
    rows: NDArray[np.intp]
    golden: NDArray[np.intp]
    rendered: tuple[dict[str, Any], ...]


def take_sample(transform: Transform, table: Table) -> Sample:
    """Check and encode ``table``; raises ``InvalidRow`` for a bad one, ``PackError`` for an empty one."""
    columns = transform.columns(table)
    features = transform.transform(table)
    if not len(features):
        raise PackError("the baseline has no rows. Give the table the transform was fitted on.")
    golden = golden_rows(features, columns, transform.unseen_columns)
    rendered = transform.render(table, golden.tolist())
    return Sample(columns, features, sample_rows(len(features), golden), golden, tuple(rendered))


def golden_rows(
    features: Features, columns: Mapping[str, Any], unseen: Mapping[str, int]
) -> NDArray[np.intp]:
    """Choose up to 16 rows that cover the table: the first two, then the first row with a missing or an
    unseen value of each field, the extremes of every feature, and an even spread.

    ``features`` has shape (rows, width); ``columns`` are canonical; ``unseen`` maps field -> feature
    column. Returns positions in the table, in order of importance.
    """  # noqa: D205
    count = len(features)
    wanted = [*range(min(2, count))]
    wanted += [first for column in columns.values() if (first := _first(_missing(column))) is not None]
    wanted += [first for place in unseen.values() if (first := _first(features[:, place] != 0)) is not None]
    if len(wanted) < GOLDEN_ROWS:  # two passes over a wide table are not free
        lowest, highest = features.argmin(axis=0), features.argmax(axis=0)
        wanted += np.column_stack([lowest, highest]).ravel().tolist()
    wanted = list(dict.fromkeys(wanted))[: GOLDEN_ROWS - 4]
    spread = np.linspace(0, count - 1, num=GOLDEN_ROWS).astype(int).tolist()
    return np.array(list(dict.fromkeys(wanted + spread))[:GOLDEN_ROWS], dtype=np.intp)


def sample_rows(count: int, golden: NDArray[np.intp]) -> NDArray[np.intp]:
    """Choose up to 2,000 rows of ``count``: the golden ones, then an even spread."""
    spread = np.linspace(0, count - 1, num=min(count, SAMPLE_ROWS)).astype(int).tolist()
    return np.array(list(dict.fromkeys(golden.tolist() + spread))[:SAMPLE_ROWS], dtype=np.intp)


def _missing(column: Any) -> NDArray[np.bool_]:
    mask = getattr(column, "mask", None)
    if isinstance(mask, np.ndarray):
        return np.asarray(mask, dtype=np.bool_)
    array = np.asarray(column)
    if array.dtype.kind == "f":
        return np.asarray(np.isnan(array))
    if array.dtype.kind in "mM":
        return np.asarray(np.isnat(array))
    if array.dtype.kind != "O":
        return np.zeros(len(array), dtype=np.bool_)
    return np.fromiter((value is None for value in array), dtype=np.bool_, count=len(array))


def _first(mask: NDArray[np.bool_]) -> int | None:
    return int(mask.argmax()) if mask.any() else None
