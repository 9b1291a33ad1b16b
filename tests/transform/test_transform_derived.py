"""Numbers from several fields, and functions of the host: one meaning by every path, no code from files."""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

import json
import linecache
import math
import struct
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inprocml import (
    Custom,
    Derived,
    Flag,
    InvalidRow,
    Numeric,
    Timestamp,
    Transform,
    TransformError,
    Unsupported,
    Untrusted,
)
from inprocml.transform import register

FLAG = Numeric(missing="flag")
FIELDS = {
    "a": Numeric(missing=0.0),
    "ratio": Derived("ratio", "a", "b", then=FLAG),
    "difference": Derived("difference", "a", "b", then=Numeric(missing="median", scale="standard")),
    "product": Derived("product", "a", "b", then=Numeric(missing=-1, bins=3)),
    "square": Derived("product", "b", "b", then=Numeric(missing="mean", clip=(0, 50))),
    "gone": Derived("is_missing", "b"),
    "days": Derived("days_between", "start", "end", then=FLAG, timezone="America/New_York"),
}
START = datetime(2021, 3, 1, tzinfo=UTC)
_numbers = st.none() | st.sampled_from([0.0, -0.0, 5e-324, 1e19, -1e300, 3]) | st.floats(-1e18, 1e18)
_moments = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(
    lambda m: m.isoformat() + "Z"
)


def fitted():
    rows = [
        {
            "a": i / 2,
            "b": None if i % 5 == 0 else float(i % 4),
            "start": START.isoformat(),
            "end": (START + timedelta(hours=7 * i)).isoformat(),
        }
        for i in range(40)
    ]
    return Transform(FIELDS).fit(rows)


TRANSFORM = fitted()


def answer(call, *arguments):
    try:
        return call(*arguments).tobytes()
    except InvalidRow as refused:
        return set(refused.issues)


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({"a": _numbers, "b": _numbers, "start": _moments, "end": _moments}))
@example({"a": 1e300, "b": 1e300, "start": None, "end": None})
@example({"a": 1.0, "b": 0.0, "start": "0001-01-03T00:00:00Z", "end": "9999-12-29T00:00:00Z"})
def test_every_path_derives_the_same(row):
    expected = answer(TRANSFORM._plan.reference, row)
    assert answer(TRANSFORM.transform_one, row) == expected
    assert answer(TRANSFORM.transform, [row]) == expected
    if isinstance(expected, bytes):
        assert answer(TRANSFORM.transform, [row, row]) == expected * 2
        again = Transform.from_json(TRANSFORM.to_json())
        assert answer(again.transform_one, row) == expected


def test_the_arithmetic():
    then = Numeric(missing="flag")
    transform = Transform(
        {
            "ratio": Derived("ratio", "a", "b", then=then),
            "difference": Derived("difference", "a", "b", then=then),
            "product": Derived("product", "a", "b", then=then),
            "gone": Derived("is_missing", "a"),
        }
    ).fit([{"a": 1.0, "b": 2.0}])
    assert transform.transform_one({"a": 6, "b": 4.0}).tolist() == [1.5, 0, 2, 0, 24, 0, 0]
    # by zero: missing, and so the median of training, and the flag
    assert transform.transform_one({"a": 6, "b": 0})[:2].tolist() == [0.5, 1.0]
    assert transform.transform_one({"a": None, "b": 1}).tolist() == [0.5, 1, -1, 1, 2, 1, 1]


def test_a_derived_number_that_is_required_refuses_what_has_none():
    transform = Transform({"r": Derived("ratio", "a", "b")}).fit([{"a": 1.0, "b": 2.0}])
    for door in (transform.transform_one, lambda row: transform.transform([row])):
        with pytest.raises(InvalidRow, match="a: must not give 0 to divide by: r is a ratio"):
            door({"a": 1.0, "b": 0.0})
        with pytest.raises(InvalidRow, match="a: gives a ratio, r, that must be at"):
            door({"a": 1e30, "b": 1e-30})
        with pytest.raises(InvalidRow, match="b: is missing"):
            door({"a": 1.0, "b": None})
    with pytest.raises(InvalidRow) as caught:
        transform.transform([{"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.0}])
    assert caught.value.row == 1
    assert "2 rows, the first is 1" in caught.value.issues["a"]


def test_days_are_counted_between_instants():
    transform = Transform(
        {
            "d": Derived("days_between", "start", "end", timezone="Europe/Berlin"),
            "end": Timestamp(timezone="Europe/Berlin"),
        }
    ).fit([{"start": "2021-01-01T00:00:00Z", "end": "2021-01-02T12:00:00Z"}])
    row = {"start": "2021-03-28T00:00:00+01:00", "end": "2021-03-29T00:00:00+02:00"}
    assert transform.transform_one(row)[0] == np.float32(23 / 24)
    assert [field.name for field in transform.schema.fields] == ["start", "end"]


@pytest.mark.parametrize(
    ("declare", "error"),
    [
        (lambda: Derived("sum", "a", "b"), ValueError),
        (lambda: Derived("ratio", "a"), ValueError),
        (lambda: Derived("is_missing", "a", "b"), ValueError),
        (lambda: Derived("is_missing", "a", then=FLAG), ValueError),
        (lambda: Derived("ratio", 3, "b"), TypeError),
        (lambda: Derived("ratio", "a", "b", then=Flag()), TypeError),
        (lambda: Derived("ratio", "a", "b", then=Numeric(field="c")), TypeError),
        (lambda: Derived("ratio", "a", "b", timezone="UTC"), ValueError),
        (lambda: Derived("days_between", "a", "b", timezone="Mars/Olympus"), ValueError),
        (lambda: Transform({"r": Derived("ratio", "a\n", "b")}), ValueError),
        (lambda: Custom("", {"a": "number"}), TypeError),
        (lambda: Custom("f", {}), TypeError),
        (lambda: Custom("f", {"a": "image"}), ValueError),
        (lambda: Custom("f", {"a": "number"}, width=0), ValueError),
        (lambda: Custom("f", {"a": "number"}, optional=1), TypeError),
        (lambda: register("f", 3), TypeError),
        (lambda: register("f", math.sin), ValueError),
    ],
)
def test_declarations_that_make_no_sense_are_refused_at_once(declare, error):
    with pytest.raises(error):
        declare()


def surge(hour, city, festive):
    if city == "nowhere":
        raise ValueError(city)
    return [hour * 2.0, len(city or ""), 1.0 if festive else 0.0]


def custom():
    register("surge", surge)
    reads = {"hour": "number", "city": "text", "festive": "flag"}
    transform = Transform({"s": Custom("surge", reads, width=3), "hour": Numeric(scale="standard")})
    return transform.fit(
        [{"hour": 1, "city": "Köln", "festive": True}, {"hour": 4, "city": "", "festive": False}]
    )


def test_a_custom_function_is_called_with_checked_values_by_every_door():
    transform = custom()
    rows = [
        {"hour": 3, "city": "Ko\u0308ln", "festive": np.True_},
        {"hour": 2.5, "city": "x", "festive": False},
    ]
    features = transform.transform(rows)
    assert features[:, :3].tolist() == [[6.0, 4.0, 1.0], [5.0, 1.0, 0.0]]  # the text came in normal form C
    assert b"".join(transform.transform_one(row).tobytes() for row in rows) == features.tobytes()
    assert list(transform.get_feature_names_out()) == ["s#0", "s#1", "s#2", "hour"]
    with pytest.raises(InvalidRow, match="hour: must be a number, not str"):
        transform.transform_one({"hour": "3", "city": "x", "festive": True})
    for door in (transform.transform_one, lambda row: transform.transform([row])):
        with pytest.raises(InvalidRow, match="is refused by the custom function 'surge'"):
            door({"hour": 3, "city": "nowhere", "festive": True})


def defined(name, source):
    """A function with source, as a notebook's cell defines one."""
    file = f"<cell {name} {len(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = {}
    exec(compile(source, file, "exec"), scope)
    return scope[name]


def test_a_changed_function_is_refused_with_both_digests():
    first = defined("score", "def score(x):\n    return x + 1\n")
    register("score", first)
    transform = Transform({"s": Custom("score", {"x": "number"})}).fit({"x": [1.0]})
    text = transform.to_json()
    assert Transform.from_json(text).transform_one({"x": 1.0}).tolist() == [2.0]
    register("score", defined("score", "def score(x):\n    return x + 2\n"))
    with pytest.raises(Untrusted, match=r"'score' has changed") as caught:
        Transform.from_json(text)
    (was,) = [field["source"] for field in json.loads(text)["fields"]]
    assert was in str(caught.value)
    assert (
        len(
            [
                word
                for word in str(caught.value).replace(")", " ").replace(",", " ").split()
                if len(word) == 64
            ]
        )
        == 2
    )
    # indentation alone is no change
    register("score", defined("score", "if True:\n    def score(x):\n        return x + 1\n"))
    assert Transform.from_json(text).transform_one({"x": 1.0}).tolist() == [2.0]
    # the transform in use goes on with the function that it was made with
    assert transform.transform_one({"x": 1.0}).tolist() == [2.0]


def test_a_function_that_is_not_registered_is_named_and_never_looked_up():
    text = custom().to_json().replace('"surge"', '"os.system"')
    with pytest.raises(
        Untrusted, match=r"'os.system' that this process has not registered .*register\('os.system'"
    ):
        Transform.from_json(text)
    with pytest.raises(Untrusted, match="has not registered"):
        Transform({"s": Custom("never", {"x": "number"})}).fit({"x": [1.0]})


@pytest.mark.parametrize(
    ("body", "error", "match"),
    [
        ("return 'a'", TransformError, "must return 1 numbers"),
        ("return [1.0, 2.0]", TransformError, "must return 1 numbers"),
        ("return None", TransformError, "must return 1 numbers"),
        ("return float('inf')", InvalidRow, "what float32 cannot hold"),
        ("return 1e39", InvalidRow, "what float32 cannot hold"),
        ("raise KeyError(x)", TransformError, "raised KeyError"),
        ("raise ValueError(x)", InvalidRow, "is refused by the custom function"),
    ],
)
def test_what_a_custom_function_may_do_wrong(body, error, match):
    register("wrong", defined("wrong", f"def wrong(x):\n    {body}\n"))
    transform = (
        Transform({"s": Custom("wrong", {"x": "number"})}).fit({"x": [1.0]}) if "ValueError" in body else None
    )
    transform = transform or Transform({"s": Custom("wrong", {"x": "number"})})
    with pytest.raises(error, match=match):
        transform.fit({"x": [1.0]}).transform_one({"x": 1.0})
    with pytest.raises(error, match=match):
        transform.fit({"x": [1.0]}).transform({"x": [1.0]})


def test_optional_fields_reach_the_function_as_none():
    register(
        "filled",
        defined(
            "filled", "def filled(x, t, f, w):\n    return [x is None, t is None, f is None, w is None]\n"
        ),
    )
    reads = {"x": "number", "t": "text", "f": "flag", "w": "wallclock"}
    transform = Transform({"s": Custom("filled", reads, width=4, optional=True)})
    rows = [{}, {"x": 1, "t": "", "f": False, "w": "2021-01-01T00:00:00"}]
    register("filled", defined("filled", "def filled(*v):\n    return [float(x is None) for x in v]\n"))
    features = transform.fit_transform(rows)
    assert features.tolist() == [[1.0] * 4, [0.0] * 4]
    assert [transform.transform_one(row).tolist() for row in rows] == features.tolist()


def test_an_older_release_would_say_unsupported():
    text = TRANSFORM.to_json().replace("derived@1", "derived@9")
    with pytest.raises(Unsupported, match="derived@9"):
        Transform.from_json(text)


def test_float32_rounding_is_the_last_step():
    transform = Transform({"r": Derived("ratio", "a", "b")}).fit([{"a": 1.0, "b": 3.0}])
    assert transform.transform_one({"a": 1.0, "b": 3.0}).tobytes() == struct.pack("=f", 1 / 3)
