"""Rows for torch's ``DataLoader``: tensors that hold, byte for byte, the features that serving will compute.

torch is imported when the first tensor is made. Both classes travel to worker processes, forked or spawned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import BackendMissing
from inprocml.transform import Transform
from inprocml.values import Row, Table

__all__ = ["Collate", "RowDataset"]

Arrays: TypeAlias = NDArray[Any] | Mapping[str, NDArray[Any]]
"""What a transform gives: one array, or one for each named tensor."""


class RowDataset:
    """A map-style dataset of encoded rows: each item is ``features``, or ``(features, label)``.

    ``features`` is a tensor of its own, float32 of shape ``(width,)``, or a dict of named tensors if the
    transform gives several. ``labels``, one for each row: integers and booleans become int64, floats float32;
    each may itself be an array. All rows are encoded here, so that every bad one is told before training
    begins. With ``lazy=True``, ``table`` is a list of rows, and each is encoded when it is asked for, by
    whichever worker asks. ``InvalidRow`` for rows that break the schema, ``TypeError`` or ``ValueError`` for
    labels that are none, ``TransformError`` if the transform is not fitted, ``BackendMissing`` without torch.
    """

    def __init__(self, transform: Transform, table: Table, labels: Any = None, *, lazy: bool = False) -> None:
        if lazy and not isinstance(table, (list, tuple)):
            raise TypeError(f"with lazy=True the table must be a list of rows, not {type(table).__name__}")
        self._transform = _fitted(transform)
        self._rows: Sequence[Row] | None = table if lazy else None
        self._features: Arrays | None = None if lazy else transform.transform(table)
        self._length = len(table) if self._features is None else _rows(self._features)
        self._labels = None if labels is None else _numbers(labels)
        if self._labels is not None and len(self._labels) != self._length:
            raise ValueError(
                f"there are {len(self._labels)} labels for {self._length} rows: give one for each"
            )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        if not -self._length <= index < self._length:
            raise IndexError(f"there is no row {index} among {self._length}")
        if self._rows is None:
            features = _tensors(self._features, index)
        else:
            features = _tensors(self._transform.transform_one(self._rows[index]))
        return features if self._labels is None else (features, _tensors(self._labels, index))


class Collate:
    """A ``collate_fn`` that encodes a batch of raw rows at once: ``DataLoader(rows, collate_fn=Collate(t))``.

    Takes rows, and returns float32 of shape ``(rows, width)`` or a dict of named tensors; takes ``(row,
    label)`` pairs, and returns ``(features, labels)`` with labels as in ``RowDataset``. ``InvalidRow`` names
    the bad fields, and the row by its place in the batch; inside a worker process torch turns it into a
    ``RuntimeError`` that says the same.
    """

    def __init__(self, transform: Transform) -> None:
        self._transform = _fitted(transform)

    def __call__(self, batch: Sequence[Row | tuple[Row, Any]]) -> Any:
        """Return the tensors of a list of rows, or of ``(row, label)`` pairs."""
        if not batch:
            raise ValueError("there are no rows in the batch")
        if not isinstance(batch[0], (tuple, list)):
            return _tensors(self._transform.transform(list(batch)))
        if not all(isinstance(item, (tuple, list)) and len(item) == 2 for item in batch):
            raise TypeError("a batch holds rows, or a pair (row, label) for each of them")
        rows, labels = zip(*batch, strict=True)
        features = self._transform.transform(rows)
        return _tensors(features), _tensors(_numbers(labels))


def _fitted(transform: Transform) -> Transform:
    _ = transform.schema  # said here, and not in a worker process during the first epoch
    return transform


def _rows(features: Arrays) -> int:
    return len(next(iter(features.values())) if isinstance(features, Mapping) else features)


def _numbers(labels: Any) -> NDArray[Any]:
    """Return labels as losses want them: int64 for classes, float32 for amounts."""
    array = np.asarray(labels)
    if array.ndim == 0:
        raise TypeError(f"labels must be a sequence, one for each row, not {type(labels).__name__}")
    if array.dtype.kind not in "biuf":
        raise TypeError(
            "labels must be integers or floats: number the classes from 0, and leave none missing"
        )
    with np.errstate(all="ignore"):
        if array.dtype.kind != "f":
            return array.astype(np.int64)
        floats = array.astype(np.float32)
    if not np.isfinite(floats).all():
        raise ValueError("some labels are missing (NaN) or not finite in float32: leave those rows out")
    return floats


def _tensors(arrays: Any, index: int | None = None) -> Any:
    if isinstance(arrays, Mapping):
        return {name: _tensors(array, index) for name, array in arrays.items()}
    # what one item holds is its own: a change to it must not reach the next epoch
    array = arrays if index is None else np.array(arrays[index])
    return _torch().from_numpy(array)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise BackendMissing("PyTorch cannot be imported; pip install 'inprocml[torch]'") from error
    return torch
