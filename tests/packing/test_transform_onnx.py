"""The exported transform: the bytes of the transform itself, in ONNX Runtime and in ONNX's own reference."""

from __future__ import annotations

import json
import math
import struct
import sys
from datetime import datetime, timedelta

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transform import kinds_rows

from inprocml import (
    Category,
    Custom,
    Derived,
    Flag,
    Hashed,
    InvalidRow,
    Numeric,
    Timestamp,
    Transform,
    TransformError,
    Vector,
)
from inprocml.backends import open_backend
from inprocml.backends.audit import audit_model
from inprocml.packing import onnx_inputs, transform_to_onnx
from inprocml.packing.traced import Graph
from inprocml.transform import register
from inprocml.transform.specs_imported import Coded, Formula

ROWS = 20_000


def opened(transform, runtime="onnx"):
    return open_backend(runtime, transform.to_onnx())


def features(transform, table, runtime="onnx"):
    backend = opened(transform, runtime)
    try:
        with np.errstate(all="ignore"):
            return backend.run(onnx_inputs(transform, table))["features"]
    finally:
        backend.close()


# formulas and codes of another library have no export
FIELDS = {name: spec for name, spec in kinds_rows.FIELDS.items() if not isinstance(spec, (Coded, Formula))}


def rows_of_fields(count, seed):
    gone = {name for name, spec in kinds_rows.FIELDS.items() if isinstance(spec, Coded)}
    return [
        {name: value for name, value in row.items() if name not in gone}
        for row in kinds_rows.rows(count, seed)
    ]


@pytest.fixture(scope="module")
def every_kind():
    transform = Transform(FIELDS).fit(rows_of_fields(400, 1))
    return transform, opened(transform)


def test_every_option_of_every_kind_gives_the_same_bytes(every_kind):
    transform, backend = every_kind
    rows = rows_of_fields(ROWS, 11)
    inputs = onnx_inputs(transform, rows)
    expected = transform.transform(rows)
    assert backend.run(inputs)["features"].tobytes() == expected.tobytes()
    for size in (1, 7):
        for start in range(0, 140, size):
            part = {name: tensor[start : start + size] for name, tensor in inputs.items()}
            found = backend.run(part)["features"]
            assert found.tobytes() == expected[start : start + size].tobytes()


def test_the_model_is_sound_and_points_nowhere(every_kind):
    model = every_kind[0].to_onnx()
    onnx.checker.check_model(model, full_check=True)
    audit_model(model)


def test_onnx_s_own_reference_gives_the_same_bytes():
    fields = {name: spec for name, spec in FIELDS.items() if not isinstance(spec, Hashed)}
    rows = [{name: value for name, value in row.items() if name in fields} for row in kinds_rows.rows(400, 5)]
    transform = Transform(fields).fit(rows)
    assert features(transform, rows, "numpy").tobytes() == transform.transform(rows).tobytes()


def test_no_rows_are_no_features(every_kind):
    transform, backend = every_kind
    inputs = {name: tensor[:0] for name, tensor in onnx_inputs(transform, rows_of_fields(1, 1)).items()}
    assert backend.run(inputs)["features"].shape == (0, transform.width)


CURVES = {
    "plain": Numeric(),
    "standard": Numeric(scale="standard", missing="mean"),
    "log": Numeric(log=True, scale="robust"),
    "log_clip": Numeric(log=True, clip=(-0.5, 1e9), missing="flag"),
    "sqrt": Numeric(power="sqrt", missing=2),
    "square": Numeric(power="square", scale="minmax"),
    "bent": Numeric(power="yeo-johnson", scale="standard"),
    "bent_more": Numeric(power="yeo-johnson", missing="flag"),
    "bent_down": Numeric(power="yeo-johnson", missing="median"),
    "minus_zero": Numeric(missing=-0.0),
    "bins": Numeric(bins=5),
    "bins_log": Numeric(bins=4, log=True, missing="median"),
    "bins_slot": Numeric(bins=(-1, 0, 1e-300, 3), missing="flag", encoding="ordinal"),
}
LEARNT = [-0.9, 0.0, 0.25, 0.41, 1.0, 2.0, 3.5, 10.0, 99.0, 1e6]


@pytest.fixture(scope="module")
def curves():
    table = {name: [abs(x) for x in LEARNT] if name == "sqrt" else LEARNT for name in CURVES}
    table["bent_more"] = [-x for x in LEARNT]
    table["bent_down"] = [0.0, 0.1, 0.1, 0.2, 0.2, 0.3, 1.0, 9.0, 99.0, 1e6]
    transform = Transform(CURVES).fit(table)
    assert transform.from_json(transform.to_json()).to_onnx() == transform.to_onnx()
    return transform, opened(transform)


AWKWARD = st.sampled_from(
    [
        *(
            sign * x
            for sign in (1.0, -1.0)
            for x in (0.0, 0.41, 0.29, 1.0, 2.0, 1e-323, 5e-324, sys.float_info.max)
        ),
        *(math.nextafter(x, way) for x in (-1.0, 0.41, 1.0, 2.0) for way in (-math.inf, math.inf)),
        *(2.0**k - 1.0 for k in range(-52, 1024, 37)),
        *(math.nextafter(2.0**k, 0.0) for k in range(-52, 1023, 41)),
    ]
)
NUMBERS = st.lists(
    st.floats() | AWKWARD | st.floats(-3, 3) | st.integers(-1000, 1000).map(float), min_size=1, max_size=30
)


@settings(max_examples=150)
@given(numbers=NUMBERS)
def test_any_number_gives_the_same_bytes_or_nan_where_the_transform_refuses_it(curves, numbers):
    transform, backend = curves
    tensor = np.array(numbers)[:, None]
    found = backend.run(dict.fromkeys(CURVES, tensor))["features"]
    owners = np.array([name.partition("=")[0] for name in transform.get_feature_names_out()])
    for number, line in zip(numbers, found, strict=True):
        row = dict.fromkeys(CURVES, number)
        try:
            refused = np.zeros(len(owners), dtype=bool)
            expected = transform.transform_one(row)
        except InvalidRow as problem:
            refused = np.isin(owners, list(problem.issues))
            expected = transform.transform_one(row | dict.fromkeys(problem.issues, 0.5))
        assert np.isnan(line[refused]).all()
        assert line[~refused].tobytes() == expected[~refused].tobytes()


PARTS = {"hour": "onehot", "weekday": "cyclic", "month": "ordinal", "day": "ordinal", "minute": "ordinal"}
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00")
FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999


@pytest.fixture(scope="module")
def calendar():
    spec = Timestamp(parts=PARTS | {"weekend": "onehot"}, since="2000-01-01T00:00:00")
    transform = Transform({"at": spec}).fit([{"at": EPOCH}])
    return transform, opened(transform)


@settings(max_examples=80)
@given(ticks=st.lists(st.integers(FIRST, LAST), min_size=1, max_size=30))
def test_every_day_of_the_calendar_has_its_parts(calendar, ticks):
    transform, backend = calendar
    found = backend.run({"at": np.array(ticks)[:, None]})["features"]
    rows = [{"at": EPOCH + timedelta(microseconds=tick)} for tick in ticks]
    assert found.tobytes() == transform.transform(rows).tobytes()


@given(tick=st.integers(-(2**63), FIRST - 1) | st.integers(LAST + 1, 2**63 - 1))
def test_a_time_beyond_the_calendar_is_nan(calendar, tick):
    assert np.isnan(calendar[1].run({"at": np.array([[tick]])})["features"]).all()


BERLIN = "Europe/Berlin"
MADE = {
    "per": Derived("ratio", "a", "b", then=Numeric(missing="flag", log=True)),
    "less": Derived("difference", "a", "b", then=Numeric(missing="median", scale="standard")),
    "times": Derived("product", "a", "c", then=Numeric(bins=4, missing="flag")),
    "own": Derived("product", "c", "c"),
    "gone": Derived("is_missing", "a"),
    "stay": Derived("days_between", "came", "went", timezone=BERLIN, then=Numeric(missing="mean")),
    "walls": Derived("days_between", "open", "shut", then=Numeric(scale="minmax")),
    "came": Timestamp(parts=("hour",), timezone=BERLIN, missing="slot"),
    "c": Numeric(),
}


def made_rows(count, seed):
    random = np.random.default_rng(seed)
    start = datetime.fromisoformat("2024-03-30T00:00:00+00:00")
    rows = []
    for _ in range(count):
        came, stay = start + timedelta(minutes=int(random.integers(0, 5000))), random.integers(0, 10**9)
        wall = came.replace(tzinfo=None)
        row = {"a": abs(random.normal()), "b": float(random.integers(0, 4)), "c": random.normal()}
        row |= {"came": came, "went": came + timedelta(microseconds=int(stay)), "open": wall, "shut": EPOCH}
        missing = random.random(4) < 0.15
        rows.append(
            row | {name: None for name, gone in zip(("a", "b", "came", "went"), missing, strict=True) if gone}
        )
    return rows


def test_derived_numbers_give_the_same_bytes():
    rows = made_rows(2000, 1)
    transform = Transform(MADE).fit(rows)
    expected = transform.transform(rows)
    assert features(transform, rows).tobytes() == expected.tobytes()
    assert features(transform, rows[:300], "numpy").tobytes() == expected[:300].tobytes()


def test_what_is_derived_and_refused_is_nan():
    spec = Derived("ratio", "a", "b", then=Numeric(scale="standard"))
    transform = Transform({"per": spec, "a": Numeric()}).fit({"a": [1, 2, 3], "b": [1, 1, 2]})
    found = opened(transform).run({"a": np.array([[4.0], [4.0]]), "b": np.array([[2.0], [0.0]])})["features"]
    assert found[0].tobytes() == transform.transform_one({"a": 4.0, "b": 2.0}).tobytes()
    assert np.isnan(found[1, 0])
    assert found[1, 1] == 4.0
    with pytest.raises(InvalidRow):
        transform.transform_one({"a": 4.0, "b": 0.0})


def test_a_vector_is_refused_as_a_whole():
    transform = Transform({"v": Vector(size=3, missing="slot"), "w": Vector(size=1)})
    transform.fit([{"v": [1, 2, 3], "w": [0]}])
    nan = math.nan
    v = np.array([[1, 2, 3], [nan, nan, nan], [1, nan, 3], [1, 2, math.inf], [1, 2, 1e300], [nan, 2, 3]])
    w = np.array([[5.0], [5.0], [5.0], [nan], [5.0], [5.0]])
    found = opened(transform).run({"v": v, "w": w})["features"]
    assert found[0].tolist() == [1, 2, 3, 0, 5]
    assert found[1].tolist() == [0, 0, 0, 1, 5]
    assert np.isnan(found[2:, :4]).all()
    assert found[2, 4] == found[4, 4] == 5
    assert np.isnan(found[3, 4])


WORDS = ["", "café", "\N{AIRPLANE DEPARTURE}", "a\0b", "ua", "x" * 300]


def test_minus_zero_stays_what_it_is():
    specs = {
        "v": Vector(size=3, missing="slot"),
        "w": Vector(size=1, missing="slot"),
        "x": Numeric(clip=(-1, 1), missing="flag"),
        "less": Derived("difference", "x", "y", then=Numeric(missing="median")),
    }
    row = {"v": [-0.0, 1.0, -0.0], "w": [-0.0], "x": -0.0, "y": 0.0}
    transform = Transform(specs).fit([row, row | {"x": None}])
    for count in (1, 2, 9):
        found = features(transform, [row] * count)
        assert found.tobytes() == transform.transform([row] * count).tobytes()
        assert np.signbit(found[:, [0, 2, 4, 6, 8]]).all()


@given(word=st.sampled_from(WORDS) | st.text(max_size=20))
def test_any_word_gives_the_same_bytes(words, word):
    transform, backend = words
    row = {"kept": word, "hash": word, "fold": word, "number": len(word)}
    try:
        expected = transform.transform_one(row)
    except InvalidRow:  # half of a surrogate pair
        return
    found = backend.run(onnx_inputs(transform, [row]))
    assert found["features"].tobytes() == expected.tobytes()


@pytest.fixture(scope="module")
def words():
    transform = Transform(
        {
            "kept": Category(missing="slot"),
            "hash": Hashed(buckets=50, missing="slot"),
            "fold": Category(strip=True, casefold=True),
            "number": Category(),
        }
    )
    transform.fit([{"kept": word, "hash": word, "fold": word, "number": len(word)} for word in WORDS])
    return transform, opened(transform)


def test_an_index_is_a_tensor_of_its_own():
    specs = {"carrier": Category(encoding="index", missing="slot"), "delay": Numeric()}
    rows = [{"carrier": name, "delay": 1.0} for name in ("UA", "AA", None)]
    transform = Transform(specs).fit(rows)
    found = opened(transform).run(onnx_inputs(transform, [*rows, {"carrier": "new", "delay": 2.0}]))
    assert found["carrier=index"].tolist() == [1, 0, 3, 2]
    assert found["carrier=index"].dtype == np.int64
    assert found["features"].tolist() == [[1], [1], [1], [2]]


def test_a_field_that_another_entry_requires_is_never_missing():
    specs = {
        "slot": Category(field="c", missing="slot"),
        "needs": Category(field="c"),
        "log": Numeric(field="x", log=True, missing="flag"),
        "plain": Numeric(field="x", scale="standard"),
        "flag": Flag(field="f", missing="slot"),
        "must": Flag(field="f"),
    }
    rows = [{"c": "a", "x": 1.0, "f": True}, {"c": "b", "x": 3.0, "f": False}]
    transform = Transform(specs).fit(rows)
    model = onnx.load_model_from_string(transform.to_onnx())
    assert [one.name for one in model.graph.input] == ["c", "x", "f"]
    assert features(transform, rows).tobytes() == transform.transform(rows).tobytes()
    bad = onnx_inputs(transform, rows) | {"x": np.array([[-5.0], [math.nan]])}
    found = opened(transform).run(bad)["features"]
    refused = [name.startswith(("log", "plain")) for name in transform.get_feature_names_out()]
    assert np.isnan(found[:, refused]).all()
    assert not np.isnan(found[:, [not one for one in refused]]).any()


def test_the_model_tells_what_it_takes(every_kind):
    transform, _ = every_kind
    model = onnx.load_model_from_string(transform_to_onnx(transform))
    told = {prop.key: prop.value for prop in model.metadata_props}
    meanings = json.loads(told["inprocml.inputs"])
    assert told["inprocml.transform"] == transform.digest
    assert list(meanings) == [one.name for one in model.graph.input]
    assert meanings["fold"] == (
        "string in Unicode normal form C, stripped of white space at both ends, "
        "case-folded, then in normal form C again"
    )
    assert meanings["at?wall"].endswith("on the wall clock of Europe/Berlin")
    assert meanings["at"].endswith("UTC")
    assert "fold?missing" in meanings
    assert "robust?missing" not in meanings
    assert meanings["robust"].endswith("NaN where missing")
    assert meanings["bins_plain"].endswith("may not be missing")


def test_the_model_holds_no_text_of_the_rows_it_learnt_from_and_is_the_same_each_time():
    specs = {"a": Numeric(scale="standard"), "b": Category(min_count=2)}
    table = {"a": [1.0, 2.0, 3.0], "b": ["kept", "kept", "a secret"]}
    one, other = Transform(specs).fit(table), Transform(specs).fit({k: v[::-1] for k, v in table.items()})
    assert one.to_onnx() == other.to_onnx()
    assert b"secret" not in one.to_onnx()
    assert struct.pack("<d", 2.0) in one.to_onnx()  # the mean


def halved(x):
    return x / 2


def test_all_that_cannot_be_expressed_is_named_at_once():
    register("halved for export", halved)
    specs = {name: Custom("halved for export", {"x": "number"}) for name in ("one", "two")}
    transform = Transform(specs | {"x": Numeric()}).fit({"x": [1.0]})
    with pytest.raises(
        TransformError, match=r"cannot express one \(Custom\), two \(Custom\): .*without these"
    ):
        transform.to_onnx()
    with pytest.raises(TransformError, match=r"one \(Custom\), two \(Custom\)"):
        onnx_inputs(transform, {"x": [1.0]})


@pytest.mark.parametrize(
    ("specs", "row", "named"),
    [
        ({"features": Numeric()}, {"features": 1.0}, "an output is called 'features'"),
        (
            {"a": Category(missing="slot"), "a?missing": Numeric()},
            {"a": "x", "a?missing": 1.0},
            "two inputs would be called 'a[?]missing'",
        ),
    ],
)
def test_names_that_meet_are_refused(specs, row, named):
    with pytest.raises(TransformError, match=f"{named}.*Rename"):
        Transform(specs).fit([row]).to_onnx()


def test_without_onnx_the_error_says_what_to_install(monkeypatch):
    transform = Transform({"a": Numeric()}).fit({"a": [1.0]})
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(TransformError, match=r"pip install 'inprocml\[reference\]'"):
        transform.to_onnx()


def test_before_fit_there_is_nothing_to_export():
    with pytest.raises(TransformError, match="not fitted"):
        Transform({"a": Numeric()}).to_onnx()


@pytest.mark.parametrize("function", [np.exp, np.log1p, np.sin, np.cbrt, np.power])
def test_arithmetic_that_no_runtime_does_alike_cannot_be_traced(function):
    x = Graph(set()).value("x", np.float64)
    with pytest.raises(TypeError):
        function(x, x) if function.nin == 2 else function(x)
