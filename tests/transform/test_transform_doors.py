"""Every door gives the same bytes, or refuses the same fields."""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.transform.transform_rows import GOOD, fitted, instants, tables, text, training_rows, wallclocks

from inprocml import Category, Hashed, InvalidRow, Numeric, Timestamp, Transform

TRANSFORM = fitted()
NAMES = list(GOOD)


def answer(call, *arguments):
    """What a door says: the bytes of the features, or the names of the refused fields."""
    try:
        features = call(*arguments)
    except InvalidRow as refused:
        return frozenset(refused.issues)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert np.isfinite(features).all()
    return features.tobytes()


def row_by_row(transform, rows):
    """The reference: one row at a time; a table is refused for what any of its rows is refused for."""
    answers = [answer(transform.transform_one, row) for row in rows]
    refused = [found for found in answers if isinstance(found, frozenset)]
    return frozenset().union(*refused) if refused else b"".join(answers)


def as_objects(values):
    column = np.empty(len(values), dtype=object)
    column[:] = [None] * len(values)
    for place, value in enumerate(values):
        column[place] = value
    return column


def doors(rows):
    columns = {name: [row.get(name) for row in rows] for name in NAMES}
    objects = {name: as_objects(values) for name, values in columns.items()}
    series = {name: pd.Series(values, dtype=object) for name, values in objects.items()}
    yield "list of rows", rows
    yield "tuple of rows", tuple(rows)
    yield "columns of lists", columns
    yield "columns of tuples", {name: tuple(values) for name, values in columns.items()}
    yield "columns of object arrays", objects
    yield "columns of Series", series
    yield "DataFrame of objects", pd.DataFrame(series)
    yield (
        "DataFrame with an index and more columns",
        pd.DataFrame({"more": 1, **series}).iloc[::-1].iloc[::-1],
    )


@settings(max_examples=200, deadline=None)
@given(tables())
def test_rows_columns_and_frames_agree_bit_for_bit_or_refuse_the_same_fields(rows):
    expected = row_by_row(TRANSFORM, rows)
    for name, table in doors(rows):
        assert answer(TRANSFORM.transform, table) == expected, name


@settings(max_examples=60, deadline=None)
@given(tables(most=4))
def test_rendered_rows_are_json_and_give_the_same_bytes(rows):
    expected = row_by_row(TRANSFORM, rows)
    if isinstance(expected, frozenset):
        with pytest.raises(InvalidRow):
            TRANSFORM.render(rows, [0])
        return
    rendered = json.loads(json.dumps(TRANSFORM.render(rows, range(len(rows))), allow_nan=False))
    assert row_by_row(TRANSFORM, rendered) == expected
    assert answer(TRANSFORM.transform, rendered) == expected


@settings(max_examples=60, deadline=None)
@given(tables())
def test_the_schema_alone_accepts_and_refuses_what_the_transform_does(rows):
    for row in rows:
        found = answer(TRANSFORM.transform_one, row)
        if isinstance(found, bytes):
            assert len(TRANSFORM.schema.check(row)) == len(NAMES)
            continue
        with pytest.raises(InvalidRow) as refused:
            TRANSFORM.schema.check(row)
        assert frozenset(refused.value.issues) == found


NUMBER = Transform(
    {
        "x": Numeric(missing="median", scale="standard"),
        "y": Numeric(missing=1.0, log=True, clip=(0, 300)),
        "z": Numeric(missing="mean", scale="minmax"),
    }
).fit({name: [0.1, 2, 3.5, None, -7.25] for name in "xyz"})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e30), min_size=1, max_size=20), st.floats(1e-3, 1e3))
def test_rows_and_columns_agree_in_float64_before_rounding_hides_anything(values, spread):
    """One float32 in millions shows a last bit of float64; here each of them is seen."""
    for log in (False, True):
        spec = Numeric(missing="median", scale="standard", log=log, clip=(1e-3, 1e20))
        transform = Transform({"x": spec}).fit({"x": [0.1, spread, 7.3 * spread, 0.7]})
        (step,) = transform._plan.steps
        found = [step.encode(value) for value in [*values, step.fill]]
        assert step.encode_column(np.array([*values, np.nan])).tobytes() == np.array(found).tobytes()


FLOATS = ["f2", "f4", "f8", ">f4", ">f8", "g"]
INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4"]


def one_by_one(transform, values):
    return row_by_row(transform, [dict.fromkeys(transform.fields, value) for value in values])


def in_columns(transform, column):
    return answer(transform.transform, dict.fromkeys(transform.fields, column))


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(FLOATS + INTEGERS))
def test_numpy_columns_of_every_number_type(data, dtype):
    kind = np.dtype(dtype)
    if kind.kind == "f":
        values = st.floats(width=min(64, kind.itemsize * 8))
    else:
        values = st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    column = np.array(data.draw(st.lists(values, min_size=1, max_size=8)), dtype=kind)
    expected = one_by_one(NUMBER, list(column))
    assert in_columns(NUMBER, column) == expected
    assert in_columns(NUMBER, np.repeat(column, 2)[::2]) == expected  # not contiguous
    if kind.kind != "f" or kind.itemsize <= 8:
        native = pd.Series(column.astype(kind.newbyteorder("=")))
        assert in_columns(NUMBER, native) == expected
        assert answer(NUMBER.transform, pd.DataFrame({"x": native, "y": native, "z": native})) == expected


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8),
    st.sampled_from(["Int64", "object"]),
)
@example([2**53 + 1, None], "Int64")  # the low bit is lost wherever a float sits between
@example([2**53, None], "Int64")
def test_nullable_integers(values, dtype):
    assert in_columns(NUMBER, pd.Series(values, dtype=dtype)) == one_by_one(NUMBER, values)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.none() | st.floats(width=32, allow_infinity=False), min_size=1, max_size=8),
    st.sampled_from(["Float64", "Float32", "float32", "float64", "object"]),
)
def test_nullable_and_narrow_floats(values, dtype):
    assert in_columns(NUMBER, pd.Series(values, dtype=dtype)) == one_by_one(NUMBER, values)


@pytest.mark.parametrize("dtype", ["boolean", "bool", "object"])
def test_booleans_are_never_numbers_nor_categories(dtype):
    column = pd.Series([True, False], dtype=dtype)
    assert in_columns(NUMBER, column) == {"x", "y", "z"}
    assert in_columns(WORD, column) == {"c", "h"}
    assert in_columns(CODE, column) == {"c"}


WORD = Transform({"c": Category(missing="slot"), "h": Hashed(buckets=5, missing="slot")}).fit(
    {"c": ["UA", "café", None, "B6"], "h": ["a"] * 4}
)
CODE = Transform({"c": Category(missing="slot")}).fit({"c": [1, 94110, None]})
STRINGS = ["object", "str", "string", "category"]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.none() | text.map(str), min_size=1, max_size=6), st.sampled_from(STRINGS))
@example(["cafe\u0301", None], "category")
@example([None], "category")
def test_pandas_strings(values, dtype):
    try:
        series = pd.Series(values, dtype=dtype)
    except UnicodeEncodeError:
        return  # pandas stores some of its strings as UTF-8 and refuses half characters itself
    assert in_columns(WORD, series) == one_by_one(WORD, values)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.sampled_from([1, 2, 94110, -1]), min_size=1, max_size=6))
@example([94110, None])  # a categorical of integers turns into floats as soon as one is missing
def test_pandas_integer_categories(values):
    expected = one_by_one(CODE, values)
    for dtype in ("category", "Int64", "object"):
        assert in_columns(CODE, pd.Series(values, dtype=dtype)) == expected, dtype
    assert in_columns(CODE, pd.Series(pd.Categorical(values))) == expected
    if None not in values:
        assert in_columns(CODE, np.array(values)) == expected
        assert in_columns(CODE, pd.Series(values)) == expected


@pytest.mark.parametrize(
    "values", [[1, True], [1, 1.0], [94110, np.float64(94110)], ["B6", np.str_("B6"), b"B6"]]
)
def test_values_that_are_equal_but_of_another_type_are_judged_apart(values):
    transform = WORD if values[0] == "B6" else CODE
    expected = one_by_one(transform, values)
    assert isinstance(expected, frozenset)
    assert in_columns(transform, values) == in_columns(transform, as_objects(values)) == expected


INSTANT = Transform({"t": Timestamp(parts=("hour", "day"), timezone="America/New_York", missing="slot")}).fit(
    {"t": ["2013-01-01T00:00Z"]}
)
WALL = Transform({"t": Timestamp(parts=("hour", "day"), missing="slot")}).fit({"t": ["2013-01-01T00:00"]})


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.none() | st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)), min_size=1, max_size=6),
    st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "US/Pacific"]),
    st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_pandas_instants_of_every_zone_and_unit(values, zone, unit):
    naive = pd.Series(values, dtype=f"datetime64[{unit}]")
    series = naive.dt.tz_localize("UTC").dt.tz_convert(zone)
    expected = one_by_one(INSTANT, list(series))
    cut = [None if pd.isna(v) else v.to_pydatetime(warn=False).replace(tzinfo=UTC) for v in naive]
    assert expected == one_by_one(INSTANT, cut)
    assert in_columns(INSTANT, series) == expected
    assert in_columns(INSTANT, pd.DatetimeIndex(series)) == expected
    assert in_columns(INSTANT, series.astype(object)) == expected
    assert in_columns(WALL, series) == one_by_one(WALL, list(series))


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(["D", "h", "m", "s", "ms", "us", "ns", "ps", "as", "7ns", "25s"]))
def test_numpy_wallclock_times_of_every_unit(data, unit):
    ticks = st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-(10**6), 10**6)
    column = np.array(data.draw(st.lists(ticks, min_size=1, max_size=6)), dtype="i8").view(f"M8[{unit}]")
    if data.draw(st.booleans()):
        column[0] = "NaT"
    expected = one_by_one(WALL, list(column))
    assert in_columns(WALL, column) == expected
    assert in_columns(INSTANT, column) == one_by_one(INSTANT, list(column))


@settings(max_examples=60, deadline=None)
@given(st.lists(instants | wallclocks | st.none(), min_size=1, max_size=5))
def test_mixed_columns_of_times(values):
    for transform in (INSTANT, WALL):
        expected = one_by_one(transform, values)
        assert in_columns(transform, values) == expected
        assert in_columns(transform, as_objects(values)) == expected


def test_masked_arrays_hide_what_lies_under_the_mask():
    column = np.ma.masked_array([1.0, np.inf, 3.0], mask=[False, True, False])
    assert in_columns(NUMBER, column) == one_by_one(NUMBER, [1.0, None, 3.0])
    times = np.ma.masked_array(np.array([0, 10**18], dtype="M8[ns]"), mask=[True, False])
    assert in_columns(WALL, times) == one_by_one(WALL, [None, np.datetime64(10**18, "ns")])


def test_a_wide_transform_takes_another_sink_with_the_same_bytes():
    wide = Transform({"h": Hashed(buckets=5000), "x": Numeric(scale="standard")}).fit(
        {"h": ["a", "b"], "x": [0.1, 0.7]}
    )
    rows = [{"h": f"N{i}", "x": i / 7} for i in range(50)]
    assert wide.width == 5001
    assert answer(wide.transform, rows) == row_by_row(wide, rows)
    one = wide.transform_one(rows[0])
    assert one.flags.writeable
    one[:] = 7
    assert wide.transform_one(rows[0]).tobytes() != one.tobytes()


def test_features_are_fresh_and_inputs_untouched():
    row = training_rows()[3]
    before = dict(row)
    first = TRANSFORM.transform_one(row)
    kept = first.copy()
    first[:] = -1.0
    assert TRANSFORM.transform_one(row).tobytes() == kept.tobytes()
    assert row == before
    column = np.array([1.0, np.nan])
    canonical = NUMBER.columns({"x": column, "y": column, "z": column})
    canonical["x"][:] = 0
    assert column[0] == 1.0


def test_no_rows_give_no_features():
    for table in ([], {name: [] for name in NAMES}, pd.DataFrame({name: [] for name in NAMES})):
        assert TRANSFORM.transform(table).shape == (0, TRANSFORM.width)
