"""Rows and unseen categories, counted off the features that ran; nothing reaches the caller."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from inprocml import Category, Transform
from inprocml.monitoring import RowCounts
from inprocml.protocols import Observer
from inprocml.values import BatchRecord

TRANSFORM = Transform({"a": Category(), "b": Category(missing="slot")}).fit(
    {"a": ["x", "y"], "b": ["u", None]}
)


def record(rows, error=None, **inputs):
    features = TRANSFORM.transform(rows)
    inputs = inputs or {"features": features}
    return BatchRecord(rows=len(rows), requests=1, seconds=0.0, inline=False, inputs=inputs, error=error)


def counts():
    return RowCounts(TRANSFORM.unseen)


def test_rows_and_unseen_are_counted():
    observer = counts()
    assert isinstance(observer, Observer)
    assert observer.snapshot() == {"rows": 0, "batches": 0, "unseen": {"a": 0, "b": 0}}
    observer.observe(record([{"a": "x", "b": "u"}, {"a": "new", "b": None}, {"a": "new", "b": "newer"}]))
    observer.observe(record([{"a": "y"}]))
    assert observer.snapshot() == {"rows": 4, "batches": 2, "unseen": {"a": 2, "b": 1}}


def test_a_transform_without_categories_counts_rows():
    observer = RowCounts({})
    observer.observe(record([{"a": "x"}] * 3))
    assert observer.snapshot() == {"rows": 3, "batches": 1, "unseen": {}}


def test_failed_batches_are_not_counted():
    observer = counts()
    observer.observe(record([{"a": "new"}], error="RuntimeError"))
    assert observer.snapshot()["rows"] == 0


def test_trouble_is_counted_logged_once_and_never_raised(caplog):
    observer = counts()
    with caplog.at_level(logging.WARNING):
        for inputs in ({"other": np.zeros((1, 5))}, {"features": np.zeros((1, 2))}, {"features": None}):
            observer.observe(record([{"a": "x"}], **inputs))
    assert observer.failures == 3
    assert len(caplog.records) == 1
    observer.observe(record([{"a": "new"}]))
    assert observer.snapshot() == {"rows": 1, "batches": 1, "unseen": {"a": 1, "b": 0}}


def test_many_threads_lose_nothing():
    observer = counts()
    batch = record([{"a": "new", "b": "u"}, {"a": "x", "b": "new"}])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: observer.observe(batch), range(2000)))
    assert observer.snapshot() == {"rows": 4000, "batches": 2000, "unseen": {"a": 2000, "b": 2000}}


def test_snapshots_are_copies():
    observer = counts()
    before = observer.snapshot()
    observer.observe(record([{"a": "new"}]))
    assert before == {"rows": 0, "batches": 0, "unseen": {"a": 0, "b": 0}}


def test_a_lone_row_is_counted_as_a_batch_is():
    rows = [{"a": a, "b": b} for a in ("x", "new") for b in ("u", "new", None)]
    together, one_by_one = counts(), counts()
    together.observe(record(rows))
    for row in rows:
        one_by_one.observe(record([row]))
    assert one_by_one.snapshot() == {**together.snapshot(), "batches": len(rows)}


def test_unseen_values_are_counted_however_they_are_written():
    fields = {
        "hot": Category(),
        "number": Category(encoding="ordinal", missing="slot"),
        "index": Category(encoding="index", missing="slot"),
    }
    transform = Transform(fields).fit([{"hot": "a", "number": "a", "index": "a"}, {"hot": "b"}])
    rows = [dict.fromkeys(fields, value) for value in ("a", "new")] + [{"hot": "b"}, {"hot": "new"}]
    found = []
    for parts in ([rows], [[row] for row in rows]):
        observer = RowCounts(transform.unseen)
        for part in parts:
            inputs = transform.transform(part)
            observer.observe(
                BatchRecord(rows=len(part), requests=1, seconds=0.0, inline=False, inputs=inputs)
            )
        found.append(observer.snapshot()["unseen"])
    assert found[0] == found[1] == {"hot": 2, "number": 1, "index": 1}
