"""What is learnt, what the features are called, and what cannot be declared or learnt."""

from __future__ import annotations

import copy
import math
import pickle
import random
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction import FeatureHasher
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from tests.transform.transform_rows import FIELDS, fitted, training_rows

from inprocml import Category, Hashed, InvalidRow, Numeric, Timestamp, Transform, TransformError


def one(spec, values, given):
    return Transform({"x": spec}).fit({"x": values}).transform_one({"x": given}).tolist()


def test_order_is_missing_clip_log_scale():
    values = [0.0, 3.0, None, 1000.0]
    transform = Transform({"x": Numeric(missing=50.0, clip=(1, 7), log=True, scale="minmax")}).fit(
        {"x": values}
    )
    low, high = math.log(2), math.log(8)
    for raw, clipped in ((0.0, 1), (3.0, 3), (None, 7), (1000.0, 7)):
        expected = np.float32((math.log1p(clipped) - low) / (high - low))
        assert transform.transform_one({"x": raw})[0] == pytest.approx(expected, abs=1e-7)


def test_median_and_mean_are_of_the_known_values():
    assert one(Numeric(missing="median"), [1.0, None, 2.0, 10.0], None) == [2.0]
    assert one(Numeric(missing="median"), [1.0, 2.0, 4.0, 10.0], None) == [3.0]
    assert one(Numeric(missing="mean"), [1.0, None, 2.0, 9.0], None) == [4.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_scales_are_scikit_learns(values):
    assume(max(values) - min(values) > 1e-3)
    column = np.array(values).reshape(-1, 1)
    for scale, theirs in (("standard", StandardScaler()), ("minmax", MinMaxScaler())):
        ours = Transform({"x": Numeric(scale=scale)}).fit_transform({"x": values})
        np.testing.assert_allclose(ours, theirs.fit_transform(column), rtol=1e-5, atol=1e-5)


def test_one_hot_is_scikit_learns_but_for_the_unseen_slot():
    values = ["b", "a", "c", "a"]
    ours = Transform({"x": Category()}).fit_transform({"x": values})
    theirs = OneHotEncoder(sparse_output=False).fit_transform(np.array(values, dtype=object).reshape(-1, 1))
    assert ours[:, :-1].tolist() == theirs.tolist()
    assert not ours[:, -1].any()


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=12), st.integers(1, 1_000_000))
def test_buckets_are_scikit_learns(value, buckets):
    hasher = FeatureHasher(buckets, input_type="string", alternate_sign=False)
    theirs = hasher.transform([[unicodedata.normalize("NFC", value)]]).indices[0]
    ours = Transform({"x": Hashed(buckets=buckets)}).fit({"x": ["a"]}).transform_one({"x": value})
    assert np.flatnonzero(ours).tolist() == [theirs]


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_training_rows_is_no_matter(shuffler):
    rows = training_rows()
    shuffler.shuffle(rows)
    assert Transform(FIELDS).fit(rows).digest == fitted().digest


def test_fitting_columns_rows_and_frames_learns_the_same():
    rows = training_rows()
    columns = {name: [row[name] for row in rows] for name in FIELDS}
    frame = pd.DataFrame(columns)
    frame["at"] = pd.to_datetime(frame["at"]).dt.tz_convert("Asia/Tokyo")
    frame["zip"] = frame["zip"].astype("Int64")
    digests = {Transform(FIELDS).fit(table).digest for table in (rows, columns, frame)}
    assert digests == {fitted().digest}
    assert Transform(FIELDS).fit_transform(frame).tobytes() == fitted().transform(rows).tobytes()


def test_constant_columns_become_zero_not_noise():
    for count in (3, 7, 49, 1000):
        assert one(Numeric(scale="standard"), [0.1] * count, 0.1) == [0.0]
        assert one(Numeric(scale="minmax"), [0.1] * count, 0.1) == [0.0]
        assert one(Numeric(missing="mean"), [0.1] * count, None) == [np.float32(0.1)]


def test_large_and_tiny_spreads_are_scaled_without_overflow():
    for unit in (1e-300, 1e-160, 1e160, 1e300):
        found = [one(Numeric(scale="standard"), [-unit, unit], given)[0] for given in (-unit, 0.0, unit)]
        assert found == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        (Numeric(scale="minmax"), [-1.7e308, 1.7e308]),
        (Numeric(log=True, scale="minmax"), [0.0, 5e-324]),
        (Numeric(clip=(-1e40, 1.0)), [0.0, 1.0]),
        (Numeric(missing=1e39), [0.0, 1.0]),
        (Numeric(missing="median"), [None, None]),
        (Category(missing="slot"), [None, float("nan")]),
        (Category(min_count=3), ["a", "a", "b"]),
    ],
)
def test_what_cannot_be_learnt_says_which_field_and_what_to_do(spec, values):
    with pytest.raises(TransformError, match=r"^speed: .*\. [A-Z]"):
        Transform({"speed": spec}).fit({"speed": values})


def test_values_beyond_float32_are_refused_not_infinite():
    transform = Transform({"x": Numeric()}).fit({"x": [1.0]})
    largest = float.fromhex("0x1.fffffefffffffp+127")
    assert transform.transform_one({"x": largest}) == np.finfo(np.float32).max
    for door in (transform.transform_one, lambda row: transform.transform([row])):
        assert door({"x": -largest}).ravel()[0] == -np.finfo(np.float32).max
        with pytest.raises(InvalidRow, match="x: must be at most"):
            door({"x": math.nextafter(largest, math.inf)})


@settings(max_examples=100, deadline=None)
@given(st.floats(-1e300, 1e300), st.floats(1e-300, 1e300), st.integers(-2, 2))
def test_the_limits_are_exactly_where_float32_ends(middle, spread, step):
    values = [middle - spread, middle + spread]
    assume(values[0] < values[1])
    try:
        transform = Transform({"x": Numeric(scale="standard")}).fit({"x": values})
    except TransformError:
        return
    for limit in transform.schema.fields[0].limits:
        near = limit
        for _ in range(abs(step)):
            near = math.nextafter(near, math.copysign(math.inf, step))
        assume(math.isfinite(near))
        offset, divisor = transform._plan.steps[0].offset, transform._plan.steps[0].divisor
        with np.errstate(over="ignore"):
            holds = np.isfinite(np.float32((near - offset) / divisor))
        try:
            found = transform.transform_one({"x": near})
        except InvalidRow:
            assert not holds
        else:
            assert holds
            assert found[0] == np.float32((near - offset) / divisor)


def test_rare_categories_share_the_unseen_slot_and_ties_break_by_value():
    values = ["b", "b", "a", "a", "c"]
    transform = Transform({"x": Category(min_count=2)}).fit({"x": values})
    assert transform.get_feature_names_out().tolist() == ["x=a", "x=b", "x=?unseen"]
    assert transform.transform({"x": values})[:, 2].tolist() == [0, 0, 0, 0, 1]
    most = Transform({"x": Category(max_categories=1)}).fit({"x": values})
    assert most.get_feature_names_out().tolist() == ["x=a", "x=?unseen"]


def test_feature_names():
    transform = Transform(
        {
            "delay": Numeric(),
            "carrier": Category(missing="slot"),
            "tailnum": Hashed(buckets=2, missing="slot"),
            "time_hour": Timestamp(parts=("month", "hour"), missing="slot"),
        }
    ).fit([{"delay": 1, "carrier": "?unseen", "tailnum": "N1", "time_hour": "2013-01-01T05:00"}])
    names = transform.get_feature_names_out()
    assert names.dtype == object
    assert names.tolist() == [
        "delay",
        *("carrier=??unseen", "carrier=?unseen", "carrier=?missing"),
        *("tailnum#0", "tailnum#1", "tailnum=?missing"),
        *(f"time_hour.month={month}" for month in range(1, 13)),
        *(f"time_hour.hour={hour}" for hour in range(24)),
        "time_hour=?missing",
    ]
    assert transform.width == len(names)
    assert transform.unseen_columns == {"carrier": 2}


NAMES = st.text("a.=#?h0", min_size=1, max_size=4) | st.sampled_from(["a.hour", "a.hour=0", "a=?missing"])
ANY = st.sampled_from(
    [
        (Numeric(), 1.0),
        (Hashed(buckets=2, missing="slot"), "0"),
        (Timestamp(missing="slot"), "2020-01-01T00:00"),
        *[(Category(missing="slot"), value) for value in ("0", "a", "=", "?missing", "0=0", "#0", "?")],
    ]
)


@given(st.dictionaries(NAMES, ANY, min_size=2, max_size=4))
def test_no_two_features_have_one_name(drawn):
    try:
        transform = Transform({name: spec for name, (spec, _) in drawn.items()})
    except ValueError as refused:
        assert "rename one of them" in str(refused)
        return
    names = transform.fit({name: [value] for name, (_, value) in drawn.items()}).get_feature_names_out()
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("x\ny", r"'x\ny'"),
        ("", "''"),
        ("\x1b[2J\u202e", r"'\x1b[2J\u202e'"),
        ("n" * 257, f"'{'n' * 40}'..."),
    ],
)
def test_a_name_that_cannot_be_is_shown_and_cut(name, shown):
    with pytest.raises(ValueError, match="1 to 256 printable characters") as caught:
        Transform({"amount": Numeric(), name: Numeric()})
    assert str(caught.value).endswith(f"characters, not {shown}")


def test_names_with_marks_are_fine_where_nothing_else_could_be_meant():
    fields = {"a=b": Category(), "# of seats": Numeric(), "t": Timestamp(parts=("hour",)), "t.day": Numeric()}
    assert dict(Transform(fields).fields) == fields


def test_unseen_columns_point_at_the_slots():
    transform = fitted()
    names = transform.get_feature_names_out()
    assert {name: names[column] for name, column in transform.unseen_columns.items()} == {
        name: f"{name}=?unseen" for name in ("carrier", "zip", "origin")
    }


def test_calendar_parts_one_by_one():
    parts = ("hour", "weekday", "month", "day", "minute")
    transform = Transform({"t": Timestamp(parts=parts)}).fit({"t": ["2013-01-01T05:00"]})
    features = transform.transform_one({"t": "2013-12-31T23:59:59.999999999"})
    names = transform.get_feature_names_out()[features == 1]
    assert names.tolist() == ["t.hour=23", "t.weekday=1", "t.month=12", "t.day=31", "t.minute=59"]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Numeric(missing="mode"), ValueError),
        (lambda: Numeric(missing=float("nan")), ValueError),
        (lambda: Numeric(missing=True), TypeError),
        (lambda: Numeric(scale="log"), ValueError),
        (lambda: Numeric(log=1), TypeError),
        (lambda: Numeric(clip=(2, 1)), ValueError),
        (lambda: Numeric(clip=(float("inf"), 0)), ValueError),
        (lambda: Numeric(clip=(0, float("nan"))), ValueError),
        (lambda: Numeric(clip=3), TypeError),
        (lambda: Numeric(clip=("0", "1")), TypeError),
        (lambda: Numeric(log=True, clip=(-1, 5)), ValueError),
        (lambda: Numeric(log=True, missing=-1), ValueError),
        (lambda: Category(min_count=0), ValueError),
        (lambda: Category(max_categories=1.0), TypeError),
        (lambda: Category(missing="median"), ValueError),
        (lambda: Hashed(buckets=0), ValueError),
        (lambda: Hashed(buckets=10**7), ValueError),
        (lambda: Hashed(buckets=True), TypeError),
        (Hashed, TypeError),
        (lambda: Timestamp(parts=()), ValueError),
        (lambda: Timestamp(parts="hour"), TypeError),
        (lambda: Timestamp(parts=("hour", "hour")), ValueError),
        (lambda: Timestamp(parts=("second",)), ValueError),
        (lambda: Timestamp(timezone="Mars/Olympus"), ValueError),
        (lambda: Timestamp(timezone="../../etc/passwd"), ValueError),
        (lambda: Timestamp(timezone=3), ValueError),
        *[
            (lambda zone=zone: Timestamp(timezone=zone), ValueError)
            for zone in ("localtime", "LocalTime", "posixrules", "Factory", "right/UTC", "posix/UTC")
        ],
        (lambda: Transform({"a": Category(), "a=b": Category()}), ValueError),
        (lambda: Transform({"a=b#c": Numeric(), "a=b": Hashed(buckets=4)}), ValueError),
        (lambda: Transform({"t.hour": Category(), "t": Timestamp()}), ValueError),
        (lambda: Transform({"t": Timestamp(), "t.hour=0": Numeric()}), ValueError),
        (lambda: Transform({}), ValueError),
        (lambda: Transform({"": Numeric()}), ValueError),
        (lambda: Transform({"a\n": Numeric()}), ValueError),
        (lambda: Transform({3: Numeric()}), TypeError),
        (lambda: Transform({"a": Numeric}), TypeError),
        (lambda: Transform([("a", Numeric())]), TypeError),
        (lambda: Numeric("median"), TypeError),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(make, error):
    with pytest.raises(error):
        make()


@pytest.mark.parametrize(
    "use",
    [
        lambda transform: transform.transform([{}]),
        lambda transform: transform.transform_one({}),
        lambda transform: transform.to_json(),
        lambda transform: transform.digest,
        lambda transform: transform.width,
        lambda transform: transform.schema,
        lambda transform: transform.get_feature_names_out(),
        lambda transform: transform.unseen_columns,
        lambda transform: transform.columns([]),
        lambda transform: transform.render([], []),
    ],
)
def test_use_before_fit_says_so(use):
    transform = Transform({"a": Numeric()})
    assert not transform.fitted
    with pytest.raises(TransformError, match=r"not fitted\. Call fit"):
        use(transform)


def test_fitting_needs_rows_and_every_bad_training_field_is_reported():
    with pytest.raises(TransformError, match="no rows"):
        Transform(FIELDS).fit([])
    rows = training_rows()
    rows[4]["plain"] = "7"
    rows[9]["plain"] = None
    rows[2]["at"] = "2013-01-01T00:00"
    with pytest.raises(InvalidRow) as caught:
        Transform(FIELDS).fit(rows)
    assert caught.value.row == 2
    assert set(caught.value.issues) == {"plain", "at"}
    assert caught.value.issues["plain"] == "must be a number, not str (2 rows, the first is 4)"


def test_a_failed_fit_leaves_the_old_one():
    transform = fitted()
    before = transform.digest
    with pytest.raises(InvalidRow):
        transform.fit([{"plain": "x"}])
    assert transform.digest == before


def test_refitting_learns_anew():
    transform = Transform({"x": Numeric(missing="mean")}).fit({"x": [1.0]})
    transform.fit({"x": [5.0]})
    assert transform.transform_one({}).tolist() == [5.0]


def test_declared_fields_are_read_only_and_shown():
    transform = Transform({"x": Numeric(missing="mean")})
    with pytest.raises(TypeError):
        transform.fields["y"] = Numeric()
    assert "Numeric(missing='mean'" in repr(transform)


def test_copies_are_equal_fitted_or_not():
    assert copy.deepcopy(fitted()).digest == fitted().digest
    assert (
        pickle.loads(pickle.dumps(fitted())).digest == fitted().digest
    )  # a process pool of the host does so
    bare = copy.copy(Transform(FIELDS))
    assert dict(bare.fields) == FIELDS
    assert not bare.fitted


def test_threads_share_one_transform():
    transform, rows = fitted(), training_rows()
    expected = [transform.transform_one(row).tobytes() for row in rows]
    order = random.Random(7).choices(range(len(rows)), k=400)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: Transform.transform_one(transform, rows[i]).tobytes(), order))
    assert found == [expected[i] for i in order]
