"""Hostile rows through every door: one digest of all features, and every door must agree on each of them.

As a script it prints JSON; the argument is how many rows. It takes the rows through columns alone: what a
processor may do differently is numpy's arithmetic, and all doors are compared in the process that starts it.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from hashlib import sha256
from random import Random

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from numpy._core._multiarray_umath import __cpu_features__
from tests.transform.fuzz_fields import ALIEN, FIELDS, MORE, good_rows, training_rows

from inprocml import InvalidRow, Transform
from inprocml.datasets import Collate, RowDataset

SIZES = (1, 3, 17, 64, 400, 1000)
SPECS = {name: field.spec for name, field in FIELDS.items()} | MORE
TEXT = {
    "pandas": ["object", "str", "string", "category", pd.StringDtype("python"), pd.ArrowDtype(pa.string())],
    "polars": [pl.String, pl.Categorical],
    "arrow": [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
}
STORED = {
    "float": (["float64", "Float64"], [pl.Float64], [pa.float64()]),
    "float32": (["float32", "Float32"], [pl.Float32], [pa.float32()]),
    "int": (["Int64", "object", pd.ArrowDtype(pa.int64())], [pl.Int64], [pa.int64()]),
    "uint": (["UInt64", "object", pd.ArrowDtype(pa.uint64())], [pl.UInt64], [pa.uint64()]),
    "text": (TEXT["pandas"], TEXT["polars"], TEXT["arrow"]),
    "flag": (["boolean", "object", pd.ArrowDtype(pa.bool_())], [pl.Boolean], [pa.bool_()]),
    "vector": (
        ["object"],
        [pl.List(pl.Float64), pl.Array(pl.Float64, 3)],
        [pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_(pa.float64(), 3)],
    ),
    "instant": (["datetime64[us, UTC]", "object"], [pl.Datetime("us", "UTC")], [pa.timestamp("us", "UTC")]),
    "wall": (["datetime64[us]", "object"], [pl.Datetime("us")], [pa.timestamp("us")]),
}


def plain(value, stored):
    """The value as a typed column holds it; strings of times are for rows and lists."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    if stored == "flag":
        return bool(value)
    if stored.startswith("float"):
        return float(value)
    if stored not in {"instant", "wall"}:
        return value
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(UTC) if stored == "instant" else moment


def typed(rows, name):
    stored = FIELDS[name].stored
    return [plain(row.get(name), stored) for row in rows]


def objects(values):
    column = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        column[place] = value
    return column


def chunked(values, kind, draw):
    half = draw.randint(0, len(values))
    return pa.chunked_array([pa.array(part, type=kind) for part in (values[:half], values[half:])], type=kind)


LIBRARIES = {
    "pandas": (pd.Series, "dtype", pd.DataFrame, pd.Series.tolist),
    "polars": (pl.Series, "dtype", pl.DataFrame, pl.Series.to_list),
    "pyarrow": (pa.array, "type", pa.RecordBatch.from_pydict, pa.Array.to_pylist),
}
CANNOT = (ValueError, TypeError, ArithmeticError, pa.ArrowException, pl.exceptions.PolarsError)


def suggested(library, values):
    """The column of whatever type the library finds for alien values; ``None`` if it cannot hold them so."""
    make, _, _, listed = LIBRARIES[library]
    try:
        column = make(values)
        return column if listed(column) == values else None  # polars makes other times of numpy's years
    except CANNOT:
        return None


def frames(columns, draw, alien=()):
    """The typed frames; a column in ``alien`` gets whatever type its values suggest, if there is one."""
    found, chunks = {}, {}
    for place, (library, (make, keyword, frame, _)) in enumerate(LIBRARIES.items()):
        made = {}
        for name, values in columns.items():
            kind = draw.choice(STORED[FIELDS[name].stored][place])
            made[name] = suggested(library, values) if name in alien else make(values, **{keyword: kind})
            if library == "pyarrow" and name not in alien:
                chunks[name] = chunked(values, kind, draw)
        if all(column is not None for column in made.values()):
            found[library] = frame(made)
    return found if alien else {**found, "chunks": pa.table(chunks)}


def tables(rows, draw, alien=()):
    """The rows by the name of every door that can say them."""
    lists = {name: [row.get(name) for row in rows] for name in FIELDS}
    columns = {name: lists[name] if name in alien else typed(rows, name) for name in FIELDS}
    return {
        "list of rows": rows,
        "columns of lists": lists,
        "columns of arrays": {name: objects(values) for name, values in lists.items()},
        **frames(columns, draw, alien),
    }


def answer(call, *arguments):
    try:
        return np.asarray(call(*arguments)).tobytes()
    except InvalidRow as refused:
        return sorted(refused.issues)


def one_by_one(transform, rows):
    answers = [answer(transform.transform_one, row) for row in rows]
    refused = [found for found in answers if isinstance(found, list)]
    return sorted(set().union(*refused)) if refused else b"".join(answers)


def stacked(transform, table):
    dataset = RowDataset(transform, table)
    return np.stack([dataset[index].numpy() for index in range(len(dataset))])


def compare(transform, rows, alien, draw):
    """The features of the rows, or the refused fields; every door must say the same."""
    expected = one_by_one(transform, rows)
    doors = tables(rows, draw, alien)
    for name, table in doors.items():
        assert answer(transform.transform, table) == expected, (name, alien)
    assert answer(Collate(transform), rows) == expected
    assert answer(stacked, transform, draw.choice(list(doors.values()))) == expected
    return expected


def spoilt(rows, draw):
    """The rows with one odd value, or with a whole column of alien ones; and which column that is."""
    rows = [dict(row) for row in rows]
    name = draw.choice(list(FIELDS))
    odd = FIELDS[name].odd
    if odd is not None and draw.getrandbits(1):
        draw.choice(rows)[name] = odd(draw)
        return rows, ()
    alien = draw.choice(ALIEN)
    for row in rows:
        row[name] = alien(draw)
    return rows, (name,)


def batches(count, seed):
    """Good rows, ``count`` in all, in batches of many sizes."""
    draw = Random(seed)
    while count > 0:
        rows = good_rows(draw, min(draw.choice(SIZES), count))
        count -= len(rows)
        yield rows


def by_columns(count, seed=3):
    """Digests of the fit and of the features of the good rows, and what numpy may use here."""
    transform = Transform(SPECS).fit(training_rows())
    features = sha256()
    for rows in batches(count, seed):
        features.update(transform.transform(rows).tobytes())
    active = [name for name, there in __cpu_features__.items() if there]
    return {"features": features.hexdigest(), "fit": transform.digest, "active": active}


def by_every_door(count, seed=3):
    """The same digests with every door compared, and how many of the spoilt batches were refused."""
    transform = Transform(SPECS).fit(training_rows())
    draw, features, refused = Random(seed), sha256(), 0
    for rows in batches(count, seed):
        found = compare(transform, rows, (), draw)
        assert isinstance(found, bytes), f"good rows are refused for {found}"
        features.update(found)
        for _ in range(2):
            refused += isinstance(compare(transform, *spoilt(rows[:8], draw), draw), list)
    return {"features": features.hexdigest(), "fit": transform.digest}, refused


if __name__ == "__main__":
    print(json.dumps(by_columns(int(sys.argv[1]))))
