"""Which rows of the training table stand for all: for parity, and as golden rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.bundle.golden import as_tensors
from inprocml.bundle.manifest import MOST_GOLDEN
from inprocml.errors import PackError
from inprocml.packing.table_digest import table_digest
from inprocml.schema.canonical import canonical
from inprocml.transform import Transform
from inprocml.transform.step import TensorSpec
from inprocml.values import FEATURES, Features, Table, Tensors

__all__ = [
    "GOLDEN_ROWS",
    "SAMPLE_ROWS",
    "WHOLE",
    "Sample",
    "golden_rows",
    "sample_rows",
    "take",
    "take_sample",
]

GOLDEN_ROWS = MOST_GOLDEN
SAMPLE_ROWS = 2_000
WHOLE = 500
"""Rows per call of a model: a sample of pictures in one call would not fit a laptop."""

_SAMPLE_BYTES = 256 * 2**20  # of tensors that the sample may take
_LONGEST = 1024  # what a length that varies counts for in that
_RENDERED_BYTES = 8 * 2**20  # of golden rows as JSON: half of what golden.json may have


@dataclass(frozen=True, slots=True)
class Sample:
    """The training table, checked, and the rows of it that stand for all, encoded.

    ``rows`` are positions in the table and begin with the golden ones, which are ``rendered``; ``tensors``
    are theirs. ``parts`` encodes the whole table of ``count`` rows, part by part; ``digest`` is the table's.
    ``ragged`` maps the tensors whose length varies from call to call to the axis that it is.
    """

    columns: Mapping[str, Any]
    count: int
    digest: str
    tensors: Tensors
    rows: NDArray[np.intp]
    rendered: tuple[dict[str, Any], ...]
    parts: Callable[[], Iterator[Tensors]]
    ragged: Mapping[str, int] = field(default_factory=dict)


def take(tensors: Tensors, rows: Any) -> Tensors:
    """Return some rows of every tensor."""
    return {name: array[rows] for name, array in tensors.items()}


def take_sample(transform: Transform, table: Table) -> Sample:
    """Check and encode ``table``; raises ``InvalidRow`` for a bad one, ``PackError`` for an empty one."""
    schema = transform.schema
    canonical_columns = schema.check_table(table)
    columns = schema.wall(canonical_columns)
    whole: Tensors | None = None
    if [spec.name for spec in transform.tensors] == [FEATURES]:
        whole = as_tensors(transform.transform(table))

    def parts() -> Iterator[Tensors]:
        if whole is None:
            yield from map(as_tensors, transform.batches(table, rows=WHOLE))
        else:
            yield from (take(whole, slice(start, start + WHOLE)) for start in range(0, count, WHOLE))

    count = len(next(iter(columns.values())))
    if not count:
        raise PackError("the baseline has no rows. Give the table the transform was fitted on.")
    features = _features(transform, count, whole, parts)
    golden = golden_rows(features, columns, transform.unseen_columns)
    rendered = _small(schema.render(canonical_columns, golden.tolist()))
    golden = golden[: len(rendered)]
    rows = sample_rows(count, golden, most=_most(transform))
    ragged = {spec.name: spec for spec in transform.tensors if spec.ragged}
    chosen = take(whole, rows) if whole is not None else _gathered(parts(), rows, ragged)
    digest = table_digest(schema, canonical_columns)
    return Sample(
        columns,
        count,
        digest,
        chosen,
        rows,
        tuple(rendered),
        parts,
        {name: spec.axis for name, spec in ragged.items()},
    )


def _features(
    transform: Transform, count: int, whole: Tensors | None, parts: Callable[[], Iterator[Tensors]]
) -> Features:
    """The tabular features of the whole table, of width 0 if there are none."""
    if whole is not None:
        return whole[FEATURES]
    if not transform.width:
        return np.empty((count, 0), dtype=np.float32)
    return np.concatenate([part[FEATURES] for part in parts()])


def _gathered(parts: Iterator[Tensors], rows: NDArray[np.intp], ragged: Mapping[str, TensorSpec]) -> Tensors:
    """The chosen rows out of a table that is encoded part by part."""
    found: dict[int, Tensors] = {}
    start = 0
    for part in parts:
        count = len(next(iter(part.values())))
        inside = rows[(rows >= start) & (rows < start + count)]
        found |= {int(row): take(part, int(row) - start) for row in inside}
        start += count
    chosen = [found[int(row)] for row in rows]
    return {name: np.stack(_alike([row[name] for row in chosen], ragged.get(name))) for name in chosen[0]}


def _alike(rows: list[NDArray[Any]], spec: TensorSpec | None) -> list[NDArray[Any]]:
    """Rows of one length, those of varying lengths padded as a call with all of them would."""
    if spec is None:
        return rows
    longest = max(row.shape[spec.axis - 1] for row in rows)
    return [spec.lengthened(row, longest) for row in rows]


def _small(rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the golden rows as a file of golden rows may hold, at least one."""
    kept: list[dict[str, Any]] = []
    room = _RENDERED_BYTES
    for row in rendered:
        room -= len(canonical(row))
        if room >= 0:
            kept.append(row)
    if not kept:
        raise PackError(
            f"every golden row takes more than {_RENDERED_BYTES} bytes as JSON. Put a row with a small file "
            "into the baseline."
        )
    return kept


def _most(transform: Transform) -> int:
    sizes = [
        np.dtype(s.dtype).itemsize * math.prod(_LONGEST if side is None else side for side in s.shape)
        for s in transform.tensors
    ]
    return max(GOLDEN_ROWS, min(SAMPLE_ROWS, _SAMPLE_BYTES // max(1, sum(sizes))))


def golden_rows(
    features: Features, columns: Mapping[str, Any], unseen: Mapping[str, int]
) -> NDArray[np.intp]:
    """Choose up to 16 rows that cover the table: the first two, then the first row with a missing or an
    unseen value of each field, the extremes of every feature, and an even spread.

    ``features`` has shape (rows, width); ``columns`` are checked; ``unseen`` maps field -> feature
    column. Returns positions in the table, in order of importance.
    """  # noqa: D205
    count = len(features)
    wanted = [*range(min(2, count))]
    wanted += [first for column in columns.values() if (first := _first(_missing(column))) is not None]
    wanted += [first for place in unseen.values() if (first := _first(features[:, place] != 0)) is not None]
    if len(wanted) < GOLDEN_ROWS and features.shape[1]:  # two passes over a wide table are not free
        lowest, highest = features.argmin(axis=0), features.argmax(axis=0)
        wanted += np.column_stack([lowest, highest]).ravel().tolist()
    wanted = list(dict.fromkeys(wanted))[: GOLDEN_ROWS - 4]
    spread = np.linspace(0, count - 1, num=GOLDEN_ROWS).astype(int).tolist()
    return np.array(list(dict.fromkeys(wanted + spread))[:GOLDEN_ROWS], dtype=np.intp)


def sample_rows(count: int, golden: NDArray[np.intp], *, most: int = SAMPLE_ROWS) -> NDArray[np.intp]:
    """Choose up to ``most`` rows of ``count``: the golden ones, then an even spread."""
    spread = np.linspace(0, count - 1, num=min(count, most)).astype(int).tolist()
    return np.array(list(dict.fromkeys(golden.tolist() + spread))[:most], dtype=np.intp)


def _missing(column: Any) -> NDArray[np.bool_]:
    mask = getattr(column, "mask", None)
    if isinstance(mask, np.ndarray):
        return np.asarray(mask, dtype=np.bool_)
    array = np.asarray(column)
    if array.dtype.kind == "f":
        return np.asarray(np.isnan(array).reshape(len(array), -1).any(axis=1))
    if array.dtype.kind in "mM":
        return np.asarray(np.isnat(array))
    if array.dtype.kind != "O":
        return np.zeros(len(array), dtype=np.bool_)
    return np.fromiter((value is None for value in array), dtype=np.bool_, count=len(array))


def _first(mask: NDArray[np.bool_]) -> int | None:
    return int(mask.argmax()) if mask.any() else None
