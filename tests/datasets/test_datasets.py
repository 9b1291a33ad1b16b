"""Rows as torch tensors: the bytes of ``transform_one``, here and in forked and spawned workers."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from tests.transform.transform_rows import FIELDS, fitted, training_rows
from torch.utils.data import DataLoader, Subset

from inprocml import BackendMissing, Category, InvalidRow, Numeric, Transform, TransformError
from inprocml.datasets import Collate, RowDataset

TRANSFORM = fitted()
ROWS = training_rows(37)
ONE_BY_ONE = b"".join(TRANSFORM.transform_one(row).tobytes() for row in ROWS)
CLASSES = [number % 3 for number in range(len(ROWS))]
AMOUNTS = [number / 8 for number in range(len(ROWS))]


def bytes_of(tensors):
    return b"".join(tensor.numpy().tobytes() for tensor in tensors)


def tables():
    columns = {name: [row[name] for row in ROWS] for name in FIELDS}
    frame = pd.DataFrame(columns).astype({"zip": "Int64"})
    yield from (ROWS, columns, frame, pl.DataFrame(columns), pa.table(columns))


def test_items_are_the_bytes_of_one_row_whatever_the_table():
    for table in tables():
        dataset = RowDataset(TRANSFORM, table)
        assert len(dataset) == len(ROWS)
        items = [dataset[index] for index in range(len(dataset))]
        assert all(item.dtype == torch.float32 and item.shape == (TRANSFORM.width,) for item in items)
        assert bytes_of(items) == ONE_BY_ONE
    lazy = RowDataset(TRANSFORM, ROWS, lazy=True)
    assert bytes_of([lazy[index] for index in range(len(lazy))]) == ONE_BY_ONE


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        (CLASSES, torch.int64),
        (np.array(CLASSES, dtype=np.int8), torch.int64),
        ([label == 1 for label in CLASSES], torch.int64),
        (pd.Series(CLASSES), torch.int64),
        (torch.tensor(CLASSES), torch.int64),
        (AMOUNTS, torch.float32),
        (np.array(AMOUNTS), torch.float32),
        (pl.Series(AMOUNTS), torch.float32),
        ([[amount, 1.0] for amount in AMOUNTS], torch.float32),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_labels_are_classes_in_int64_or_amounts_in_float32(labels, dtype, lazy):
    dataset = RowDataset(TRANSFORM, ROWS, labels, lazy=lazy)
    features, label = dataset[5]
    assert features.numpy().tobytes() == TRANSFORM.transform_one(ROWS[5]).tobytes()
    assert label.dtype == dtype
    assert label.tolist() == np.asarray(labels)[5].tolist()
    batch, batched = next(iter(DataLoader(dataset, batch_size=7)))
    assert batch.shape == (7, TRANSFORM.width)
    assert batched.dtype == dtype
    raw = list(zip(ROWS, labels, strict=True))
    collated, together = next(iter(DataLoader(raw, batch_size=7, collate_fn=Collate(TRANSFORM))))
    assert collated.numpy().tobytes() == batch.numpy().tobytes()
    assert together.dtype == dtype
    assert together.tolist() == batched.tolist()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.timeout(120)
def test_workers_forked_and_spawned_make_the_same_bytes(method):
    doors = {
        "dataset": (RowDataset(TRANSFORM, ROWS, CLASSES), None),
        "lazy": (RowDataset(TRANSFORM, ROWS, CLASSES, lazy=True), None),
        "collate": (list(zip(ROWS, CLASSES, strict=True)), Collate(TRANSFORM)),
    }
    for name, (dataset, collate) in doors.items():
        loader = DataLoader(
            dataset, batch_size=10, num_workers=2, collate_fn=collate, multiprocessing_context=method
        )
        batches = list(loader)
        assert b"".join(features.numpy().tobytes() for features, _ in batches) == ONE_BY_ONE, name
        assert [label for _, labels in batches for label in labels.tolist()] == CLASSES, name


def test_a_copy_gives_the_same_bytes():
    for dataset in (RowDataset(TRANSFORM, ROWS, AMOUNTS), RowDataset(TRANSFORM, ROWS, AMOUNTS, lazy=True)):
        again = pickle.loads(pickle.dumps(dataset))
        assert bytes_of(again[index][0] for index in range(len(again))) == ONE_BY_ONE
    rows = pickle.loads(pickle.dumps(Collate(TRANSFORM)))(ROWS)
    assert rows.numpy().tobytes() == ONE_BY_ONE


@pytest.mark.parametrize("lazy", [False, True])
def test_what_a_caller_does_to_an_item_does_not_reach_the_next_epoch(lazy):
    dataset = RowDataset(TRANSFORM, ROWS, [[amount] for amount in AMOUNTS], lazy=lazy)
    features, label = dataset[3]
    features.fill_(-1)
    label.fill_(-1)
    assert dataset[3][0].numpy().tobytes() == TRANSFORM.transform_one(ROWS[3]).tobytes()
    assert dataset[3][1].tolist() == [AMOUNTS[3]]


@pytest.mark.parametrize("lazy", [False, True])
def test_places_are_those_of_a_sequence(lazy):
    dataset = RowDataset(TRANSFORM, ROWS, lazy=lazy)
    assert torch.equal(dataset[-1], dataset[len(ROWS) - 1])
    assert len(list(dataset)) == len(ROWS)
    assert torch.equal(Subset(dataset, [4, 2])[1], dataset[2])
    for index in (len(ROWS), -len(ROWS) - 1):
        with pytest.raises(IndexError):
            dataset[index]


def test_a_bad_row_is_told_before_training_begins_or_by_the_batch_that_holds_it():
    bad = [*ROWS[:4], {**ROWS[4], "plain": "7"}]
    with pytest.raises(InvalidRow) as refused:
        RowDataset(TRANSFORM, bad)
    assert (set(refused.value.issues), refused.value.row) == ({"plain"}, 4)
    with pytest.raises(InvalidRow) as refused:
        Collate(TRANSFORM)(bad)
    assert (set(refused.value.issues), refused.value.row) == ({"plain"}, 4)
    lazy = RowDataset(TRANSFORM, bad, lazy=True)
    assert lazy[0].shape == (TRANSFORM.width,)
    with pytest.raises(InvalidRow) as refused:
        lazy[4]
    assert set(refused.value.issues) == {"plain"}


def test_a_bad_row_in_a_worker_still_names_its_field():
    loader = DataLoader(
        [{**ROWS[0], "plain": "7"}],
        collate_fn=Collate(TRANSFORM),
        num_workers=1,
        multiprocessing_context="fork",
    )
    with pytest.raises(RuntimeError, match="plain: must be a number, not str"):
        list(loader)


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (CLASSES[:-1], ValueError),
        ([*CLASSES, 1], ValueError),
        (["late"] * len(ROWS), TypeError),
        ([None, *CLASSES[1:]], TypeError),
        ([float("nan"), *AMOUNTS[1:]], ValueError),
        ([1e300, *AMOUNTS[1:]], ValueError),
        (3, TypeError),
    ],
)
def test_labels_that_are_none_are_refused(labels, error):
    with pytest.raises(error, match="labels"):
        RowDataset(TRANSFORM, ROWS, labels)


def test_batches_that_are_none_are_refused():
    collate = Collate(TRANSFORM)
    with pytest.raises(ValueError, match="no rows"):
        collate([])
    for batch in ([(ROWS[0], 1), ROWS[1]], [(ROWS[0], 1, 2)], [(ROWS[0],)]):
        with pytest.raises(TypeError, match="pair"):
            collate(batch)
    with pytest.raises(InvalidRow):
        collate([ROWS[0], (ROWS[1], 1)])


def test_what_cannot_work_is_told_at_once():
    raw = Transform({"n": Numeric(), "c": Category()})
    for make in (lambda: RowDataset(raw, []), lambda: RowDataset(raw, [], lazy=True), lambda: Collate(raw)):
        with pytest.raises(TransformError, match="fit"):
            make()
    with pytest.raises(TypeError, match="list of rows"):
        RowDataset(TRANSFORM, pd.DataFrame(ROWS), lazy=True)
    with pytest.raises(TypeError, match="a table is"):
        RowDataset(TRANSFORM, 3)
    assert len(RowDataset(TRANSFORM, [])) == 0


class Named:
    """A transform that gives named arrays, as those with images and text do."""

    schema = TRANSFORM.schema

    def transform(self, table):
        return {
            "features": TRANSFORM.transform(table),
            "places": np.arange(3 * len(table), dtype=np.uint8).reshape(-1, 3),
        }

    def transform_one(self, row):
        return {name: array[0] for name, array in self.transform([row]).items()}


@pytest.mark.parametrize("lazy", [False, True])
def test_named_arrays_become_named_tensors(lazy):
    dataset = RowDataset(Named(), ROWS, CLASSES, lazy=lazy)
    assert len(dataset) == len(ROWS)
    batches = list(DataLoader(dataset, batch_size=10))
    assert b"".join(features["features"].numpy().tobytes() for features, _ in batches) == ONE_BY_ONE
    assert batches[0][0]["places"].dtype == torch.uint8
    together, labels = Collate(Named())(list(zip(ROWS, CLASSES, strict=True)))
    assert together["features"].numpy().tobytes() == ONE_BY_ONE
    assert together["places"].shape == (len(ROWS), 3)
    assert labels.tolist() == CLASSES


def test_torch_is_imported_by_the_first_tensor_and_its_absence_says_what_to_install(monkeypatch):
    code = "import sys, inprocml.datasets; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    dataset = RowDataset(TRANSFORM, ROWS)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(BackendMissing, match="pip install"):
        dataset[0]
