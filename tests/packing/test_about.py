"""What a bundle tells of its making: the author's words, the table's digest, the card."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import struct

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import inprocml
from inprocml import (
    About,
    Audio,
    Bundle,
    Category,
    Numeric,
    PackError,
    Timestamp,
    Transform,
    Vector,
)
from inprocml.packing.sample import take_sample
from inprocml.packing.table_digest import table_digest

ABOUT = About(
    author="Ada <ada@example.com>",
    seed=42,
    dataset="flights 2013",
    intended_use="To plan gates.\n\nNot more.",
    limits="New York only.",
    links={"run": "https://tracker.example:5000/#/runs/1?a=b"},
    slices={"carrier=AA": {"auc": 0.7}, "carrier=UA": {"auc": 0.8, "rows": 10}},
)


@pytest.fixture
def bundle(flights, fitted, pack_into):
    return pack_into(fitted["logistic"][0], about=ABOUT, metrics={"auc": 0.75})


def test_the_author_s_words_are_in_the_manifest(bundle, flights):
    manifest = Bundle.open(bundle.path).manifest
    made = manifest.provenance
    assert (made.author, made.seed, made.dataset.name) == (ABOUT.author, 42, "flights 2013")
    assert made.dataset.rows == len(flights.table["tail"])
    assert manifest.about.intended_use == ABOUT.intended_use
    assert manifest.about.limits == ABOUT.limits
    assert manifest.about.links == ABOUT.links
    assert manifest.slices == {"carrier=AA": {"auc": 0.7}, "carrier=UA": {"auc": 0.8, "rows": 10.0}}


def test_the_card_tells_them(bundle):
    for part in (
        "## Intended use\n\nTo plan gates.\n\nNot more.\n",
        "## Limits\n\nNew York only.",
        "| slice | auc | rows |\n|---|---|---|\n| carrier=AA | 0.7 |  |\n| carrier=UA | 0.8 | 10 |",
        "| run | <https://tracker.example:5000/#/runs/1?a=b> |",
        r"| author | Ada \<ada@example.com\> |",
        "| seed | 42 |",
        "| name | flights 2013 |",
    ):
        assert part in bundle.card
    html = bundle.card.html
    assert '<a href="https://tracker.example:5000/#/runs/1?a=b" rel=' in html
    assert "Ada &lt;ada@example.com&gt;" in html
    assert "To plan gates." in bundle._repr_html_()
    assert bundle.card._repr_html_() == html


def test_nothing_is_said_of_anybody_by_default(flights, fitted, pack_into):
    manifest = pack_into(fitted["logistic"][0]).manifest
    made = manifest.provenance
    assert (made.author, made.seed, made.dataset.name) == (None, None, None)
    assert manifest.about.model_dump() == {"intended_use": None, "limits": None, "links": {}}
    assert manifest.slices == {}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"author": ""}, "author"),
        ({"author": 7}, "author"),
        ({"dataset": "x" * 257}, "dataset"),
        ({"seed": True}, "seed"),
        ({"seed": 1.0}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"intended_use": ""}, "intended_use"),
        ({"limits": "x" * 4097}, "limits"),
        ({"links": ["https://a.example"]}, "links"),
        ({"links": {"a": "javascript:alert(1)"}}, "web addresses"),
        ({"links": {"a": "file:///etc/passwd"}}, "web addresses"),
        ({"links": {"a": "https://user:secret@a.example"}}, "web addresses"),
        ({"links": {"a": "https://a.example/ x"}}, "web addresses"),
        ({"links": {"a": "https://a.example/\nx"}}, "web addresses"),
        ({"links": {"a": "https://a.example/>x"}}, "web addresses"),
        ({"links": {"a": "https://a.example/|x"}}, "web addresses"),
        ({"links": {"a": "https://" + "a" * 2048}}, "web addresses"),
        ({"links": {str(i): "https://a.example" for i in range(33)}}, "at most 32"),
        ({"slices": [1]}, "slices"),
        ({"slices": {"a": 1}}, "slice 'a' is int"),
        ({"slices": {"a": {"auc": "high"}}}, "'auc' is not a finite number"),
        ({"slices": {"a": {"auc": float("nan")}}}, "'auc' is not a finite number"),
        ({"slices": {"": {"auc": 1}}}, "names of 1 to 256"),
        ({"slices": {str(i): {} for i in range(257)}}, "256 slices"),
    ],
)
def test_what_cannot_be_kept_is_refused_where_it_is_written(arguments, match):
    with pytest.raises(PackError, match=match) as caught:
        About(**arguments)
    assert "secret" not in str(caught.value)


def test_about_is_no_mapping(fitted, pack_into):
    with pytest.raises(PackError, match=r"about= is dict; give inprocml\.About"):
        pack_into(fitted["logistic"][0], about={"author": "Ada"})


def digest_of(transform, table):
    return take_sample(transform, table).digest


def test_one_table_has_one_digest_through_every_door():
    when = [dt.datetime(2013, 1, 1, hour, tzinfo=dt.UTC) for hour in (1, 5, 9)]
    columns = {
        "x": [1.0, None, 3.5],
        "n": [1, 2, 3],
        "city": ["a", None, "\u00e9\U0001f600"],
        "zip": [1, 2, 1],
        "when": when,
    }
    transform = Transform(
        {
            "x": Numeric(missing="median"),
            "n": Numeric(),
            "city": Category(missing="slot"),
            "zip": Category(),
            "when": Timestamp(parts=("hour",), timezone="America/New_York"),
        }
    ).fit(columns)
    frame = pd.DataFrame(columns)
    doors = [
        columns,
        [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        frame,
        frame.assign(other=1)[["when", "zip", "other", "city", "n", "x"]],
        pl.DataFrame(columns),
        pa.table(columns),
        columns | {"when": [moment.isoformat() for moment in when], "x": np.array([1, np.nan, 3.5])},
        columns | {"x": np.array([1, -np.nan, 3.5]), "city": ["a", None, "e\u0301\U0001f600"]},
    ]
    assert len({digest_of(transform, table) for table in doors}) == 1
    for other in (
        columns | {"x": [1.0, None, 3.0]},
        columns | {"x": [None, 1.0, 3.5]},
        columns | {"city": ["a", "", "\u00e9\U0001f600"]},
        columns | {"when": [*when[:2], when[2] + dt.timedelta(microseconds=1)]},
        {name: values[::-1] for name, values in columns.items()},
        {name: values[:2] for name, values in columns.items()},
    ):
        assert digest_of(transform, other) != digest_of(transform, columns)


def test_the_digest_is_the_one_that_is_written_down():
    """As docs/reference/bundle-format.md says it, with nothing but the standard library."""
    table = {"b": [1.5, None], "a": ["x", None], "t": ["2020-01-01T00:00:00", "1969-12-31T23:59:59.5"]}
    transform = Transform(
        {"b": Numeric(missing="median"), "a": Category(missing="slot"), "t": Timestamp(parts=("hour",))}
    ).fit(table)
    digest = hashlib.sha256()
    digest.update(b'["a","category",2]\n' + b'["x",null]\n')
    digest.update(b'["b","number",2]\n' + struct.pack("<d", 1.5) + bytes.fromhex("000000000000f87f"))
    digest.update(b'["t","wallclock",2]\n' + struct.pack("<qq", 1_577_836_800_000_000, -500_000))
    assert digest_of(transform, table) == f"sha256:{digest.hexdigest()}"


@given(st.lists(st.text(max_size=4), min_size=1, max_size=6), st.integers(1, 5))
def test_values_cannot_run_into_each_other(values, cut):
    """Two tables are told apart wherever the boundary between two values lies."""
    schema = Transform({"a": Category()}).fit({"a": ["x"]}).schema
    joined = [*values[:-1], values[-1][:cut], values[-1][cut:]]
    digests = {
        table_digest(schema, {"a": np.array(given, dtype=object)})
        for given in (values, joined, [*values, ""])
    }
    assert len(digests) == (2 if joined == [*values, ""] else 3)


def test_vectors_and_sound_have_a_digest_too():
    transform = Transform({"v": Vector(size=2), "s": Audio(sample_rate=8000, seconds=0.1)})
    table = {"v": [[1.0, 2.0], [3.0, 4.0]], "s": [[0.0, 0.5], [0.25, 0.0]]}
    schema = transform.fit(table).schema
    one = table_digest(schema, schema.check_table(table))
    array = {"v": np.array(table["v"]), "s": [np.array(x) for x in table["s"]]}
    assert table_digest(schema, schema.check_table(array)) == one
    table["s"][1][0] = 0.0
    assert table_digest(schema, schema.check_table(table)) != one


def test_with_a_given_time_equal_parts_make_equal_bundles(flights, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1388534399")
    model = LogisticRegression().fit(flights.features, flights.late)
    digests = {
        inprocml.pack(
            tmp_path / str(turn) / "late",
            transform=flights.transform,
            model=model,
            output=inprocml.Classes([0, 1]),
            baseline=flights.table,
        ).digest
        for turn in range(2)
    }
    assert len(digests) == 1
    manifest = json.loads((tmp_path / "0" / "late" / "1" / "manifest.json").read_text())
    assert manifest["created"] == "2013-12-31T23:59:59Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(PackError, match="SOURCE_DATE_EPOCH is no number"):
        inprocml.pack(
            tmp_path / "late",
            transform=flights.transform,
            model=model,
            output=inprocml.Classes([0, 1]),
            baseline=flights.table,
        )
