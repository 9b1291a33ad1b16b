"""A transform written as JSON and read again; hostile text is refused, and nothing in it is run."""

# ruff: noqa: DTZ001 - the zone is put on as text

from __future__ import annotations

import json
import sys
from datetime import datetime
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transform.transform_rows import FIELDS, fitted, training_rows

from inprocml import Category, Corrupt, Hashed, Numeric, Timestamp, Transform, TransformError, Unsupported

TEXT = fitted().to_json()


def changed(**changes):
    """The shared transform's document with one field of the given kind changed."""
    document = json.loads(TEXT)
    kind = changes.pop("kind_of")
    field = next(field for field in document["fields"] if field["kind"] == kind)
    for name, value in changes.items():
        if value is ...:
            del field[name]
        else:
            field[name] = value
    return json.dumps(document)


def test_round_trip_keeps_every_bit():
    again = Transform.from_json(TEXT)
    assert again.fitted
    assert again.to_json() == TEXT
    assert again.digest == "sha256:" + sha256(TEXT.encode()).hexdigest()
    assert dict(again.fields) == FIELDS
    rows = training_rows(20)
    assert again.transform(rows).tobytes() == fitted().transform(rows).tobytes()
    assert again.get_feature_names_out().tolist() == fitted().get_feature_names_out().tolist()
    assert Transform.from_json(TEXT.encode()).digest == again.digest


_times = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.isoformat() + "Z")
_specs = st.one_of(
    st.builds(
        Numeric,
        missing=st.none() | st.sampled_from(["median", "mean"]) | st.floats(0, 1e9),
        scale=st.sampled_from(["none", "standard", "minmax"]),
        log=st.just(False) | st.booleans(),
        clip=st.none() | st.tuples(st.floats(0, 1), st.floats(2, 1e9)),
    ).map(lambda spec: (spec, st.floats(0, 1e6) | st.integers(0, 1000))),
    st.builds(
        Category, missing=st.none() | st.just("slot"), max_categories=st.none() | st.integers(1, 9)
    ).map(lambda spec: (spec, st.text(max_size=5))),
    st.builds(Category, missing=st.none() | st.just("slot")).map(
        lambda spec: (spec, st.integers(-(2**63), 2**63 - 1))
    ),
    st.builds(Hashed, buckets=st.integers(1, 99), missing=st.none() | st.just("slot")).map(
        lambda spec: (spec, st.text(max_size=5))
    ),
    st.builds(
        Timestamp,
        parts=st.lists(
            st.sampled_from(["hour", "weekday", "month", "day", "minute"]), min_size=1, unique=True
        ).map(tuple),
        timezone=st.sampled_from(["UTC", "Europe/Amsterdam", "Etc/GMT+5"]),
    ).map(lambda spec: (spec, _times)),
)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.lists(_specs, min_size=1, max_size=4))
def test_round_trip_of_any_declaration(data, drawn):
    names = [f"field {i} é" for i in range(len(drawn))]
    count = data.draw(st.integers(1, 5))
    columns = {
        name: data.draw(st.lists(values, min_size=count, max_size=count))
        for name, (_, values) in zip(names, drawn, strict=True)
    }
    transform = Transform({name: spec for name, (spec, _) in zip(names, drawn, strict=True)})
    try:
        features = transform.fit_transform(columns)
    except TransformError:
        return  # a spread that float32 cannot scale
    again = Transform.from_json(transform.to_json())
    assert again.to_json() == transform.to_json()
    assert dict(again.fields) == dict(transform.fields)
    assert again.transform(columns).tobytes() == features.tobytes()


def test_text_is_canonical():
    assert json.dumps(json.loads(TEXT), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == TEXT


BAD = {
    "not JSON": "{",
    "not an object": "[]",
    "no kind": "{}",
    "empty": "",
    "bytes that are not UTF-8": b'{"kind": "\xff"}',
    "no fields": '{"kind":"transform@1","fields":[]}',
    "fields of another type": '{"kind":"transform@1","fields":{}}',
    "a field of another type": '{"kind":"transform@1","fields":[3]}',
    "more than fields": '{"kind":"transform@1","fields":[],"module":"os"}',
    "a key twice": '{"kind":"transform@1","kind":"transform@1","fields":[]}',
    "NaN": TEXT.replace("0.25", "NaN", 1),
    "infinity": TEXT.replace("0.25", "Infinity", 1),
    "infinity in digits": TEXT.replace("0.25", "1e999", 1),
    "an integer without end": TEXT.replace("0.25", "9" * 5000, 1),
    "nested deep": '{"kind":"transform@1","fields":' + "[" * 40 + "]" * 40 + "}",
    "nested very deep": "[" * 200_000,
    "larger than 16 MB": '{"kind":"transform@1","fields":[' + " " * (16 * 2**20) + "]}",
    "two fields of one name": json.dumps(
        {"kind": "transform@1", "fields": [json.loads(TEXT)["fields"][0], json.loads(TEXT)["fields"][0]]}
    ),
    "field without kind": changed(kind_of="numeric@1", kind=...),
    "kind of another type": changed(kind_of="numeric@1", kind=["numeric@1"]),
    "field without name": changed(kind_of="numeric@1", name=...),
    "name empty": changed(kind_of="numeric@1", name=""),
    "name with a line break": changed(kind_of="numeric@1", name="a\nb"),
    "name long": changed(kind_of="numeric@1", name="a" * 257),
    "name a number": changed(kind_of="numeric@1", name=3),
    "more than a field has": changed(kind_of="numeric@1", callback="os.system"),
    "fill without missing": changed(kind_of="numeric@1", fill=1.0),
    "missing without fill": changed(kind_of="numeric@1", missing="median"),
    "divisor zero": changed(kind_of="numeric@1", divisor=0.0),
    "divisor negative": changed(kind_of="numeric@1", divisor=-1.0),
    "divisor tiny": changed(kind_of="numeric@1", scale="standard", divisor=5e-324, clip=[0.0, 1.0]),
    "divisor a string": changed(kind_of="numeric@1", divisor="1"),
    "divisor a boolean": changed(kind_of="numeric@1", divisor=True),
    "offset missing": changed(kind_of="numeric@1", offset=...),
    "clip of three": changed(kind_of="numeric@1", clip=[0, 1, 2]),
    "clip turned around": changed(kind_of="numeric@1", clip=[1, 0]),
    "log a number": changed(kind_of="numeric@1", log=1),
    "log where it has no value": changed(kind_of="numeric@1", log=True, clip=[-2, 1]),
    "scale unknown": changed(kind_of="numeric@1", scale="eval"),
    "categories unsorted": changed(kind_of="category@1", categories=["b", "a"]),
    "categories twice": changed(kind_of="category@1", categories=["a", "a"]),
    "categories none": changed(kind_of="category@1", categories=[]),
    "categories of two types": changed(kind_of="category@1", categories=["a", 1]),
    "categories of the other type": changed(kind_of="category@1", categories=[1, 2]),
    "categories booleans": changed(kind_of="category@1", dtype="int", categories=[True]),
    "categories beyond 64 bits": changed(kind_of="category@1", dtype="int", categories=[2**63]),
    "categories not in NFC": changed(kind_of="category@1", categories=["cafe\u0301"]),
    "categories with half a character": changed(kind_of="category@1", categories=["\ud800"]),
    "categories long": changed(kind_of="category@1", categories=["a" * 4097]),
    "dtype unknown": changed(kind_of="category@1", dtype="object"),
    "min_count zero": changed(kind_of="category@1", min_count=0),
    "buckets huge": changed(kind_of="hashed@1", buckets=10**12),
    "buckets negative": changed(kind_of="hashed@1", buckets=-1),
    "buckets a float": changed(kind_of="hashed@1", buckets=7.0),
    "buckets that are too many together": json.dumps(
        {
            "kind": "transform@1",
            "fields": [
                {"kind": "hashed@1", "name": f"h{i}", "buckets": 600_000, "missing": None} for i in range(2)
            ],
        }
    ),
    "parts unknown": changed(kind_of="timestamp@1", parts=["__class__"]),
    "parts none": changed(kind_of="timestamp@1", parts=[]),
    "parts twice": changed(kind_of="timestamp@1", parts=["hour", "hour"]),
    "zone a path": changed(kind_of="timestamp@1", timezone="../../../etc/localtime"),
    "zone of the machine": changed(kind_of="timestamp@1", timezone="localtime"),
    "zone never set": changed(kind_of="timestamp@1", timezone="Factory"),
    "two fields whose features could have one name": changed(
        kind_of="numeric@1", name=json.loads(TEXT)["fields"][-1]["name"] + "#0"
    ),
    "zone absolute": changed(kind_of="timestamp@1", timezone="/etc/localtime"),
    "zone a folder": changed(kind_of="timestamp@1", timezone="America"),
    "zone unknown": changed(kind_of="timestamp@1", timezone="Mars/Olympus"),
    "missing unknown": changed(kind_of="timestamp@1", missing="median"),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_hostile_text_is_corrupt_and_loads_nothing(text):
    before = set(sys.modules)
    with pytest.raises(Corrupt, match=r"^the transform cannot be read: .*Take the file") as caught:
        Transform.from_json(text)
    # looking for a zone may read the tzdata package; nothing else may be touched
    loaded = set(sys.modules) - before
    assert {name for name in loaded if name.split(".")[0] not in {"importlib", "tzdata"}} == set()
    assert len(str(caught.value)) < 600
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "text",
    [
        '{"kind":"transform@2","fields":[]}',
        '{"kind":"os.system","fields":[]}',
        changed(kind_of="numeric@1", kind="numeric@2"),
        changed(kind_of="numeric@1", kind="pickle"),
        changed(kind_of="numeric@1", kind="k" * 100_000),
    ],
)
def test_kinds_of_another_release_are_unsupported(text):
    with pytest.raises(Unsupported, match=r"Upgrade inprocml") as caught:
        Transform.from_json(text)
    assert len(str(caught.value)) < 400


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
def test_any_one_character_changed_is_refused_or_another_sound_transform(position, character):
    text = TEXT[:position] + character + TEXT[position + 1 :]
    try:
        transform = Transform.from_json(text)
    except (Corrupt, Unsupported):
        return
    assert Transform.from_json(transform.to_json()).digest == transform.digest


def test_too_much_to_be_read_again_is_refused_when_written():
    values = [f"{i:04096d}" for i in range(4200)]
    transform = Transform({"x": Category()}).fit({"x": values})
    with pytest.raises(TransformError, match="max_categories"):
        transform.to_json()
