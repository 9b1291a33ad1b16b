"""polars and pyarrow: every type of column says what its values say one by one, or is refused as they are."""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.transform.test_transform_doors import (
    CODE,
    INSTANT,
    NUMBER,
    WALL,
    WORD,
    answer,
    in_columns,
    one_by_one,
)
from tests.transform.transform_rows import text

from inprocml import Category, InvalidRow, Numeric, Transform
from inprocml.schema.columns import as_column, scalars

MANY = 300  # more than the sample by which repeated strings are told


def cut(values, *places):
    """The values in chunks, one of them empty."""
    edges = [0, *sorted(place % (len(values) + 1) for place in places), len(values)]
    return [values[start:stop] for start, stop in pairwise(edges)]


def arrow_makes(values, kind):
    """One column of pyarrow in every shape that it may have."""
    whole = pa.array(values, type=kind)
    yield "array", whole
    yield "slice", pa.array([values[0], *values, values[-1]], type=kind)[1:-1]
    yield "chunks", pa.chunked_array([pa.array(part, type=kind) for part in cut(values, 1, 3, 3)], type=kind)
    yield "pandas", pd.Series(pd.array(whole, dtype=pd.ArrowDtype(kind)))


def polars_makes(values, kind):
    """One column of polars in every shape that it may have."""
    yield "series", pl.Series(values, dtype=kind)
    yield "slice", pl.Series([values[0], *values, values[-1]], dtype=kind)[1:-1]
    chunks = pl.concat([pl.Series(part, dtype=kind) for part in cut(values, 1, 3, 3)], rechunk=False)
    yield "chunks", chunks


def agree(transform, values, makes):
    expected = one_by_one(transform, values)
    for name, column in makes:
        assert in_columns(transform, column) == expected, name
        frame = dict.fromkeys(transform.fields, column)
        if isinstance(column, pl.Series):
            assert answer(transform.transform, pl.DataFrame(frame)) == expected, name
        elif isinstance(column, pa.Array):
            assert answer(transform.transform, pa.RecordBatch.from_pydict(frame)) == expected, name
        elif isinstance(column, pa.ChunkedArray):
            assert answer(transform.transform, pa.table(frame)) == expected, name
        else:
            assert answer(transform.transform, pd.DataFrame(frame)) == expected, name


ARROW_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from(ARROW_INTEGERS))
def test_integers_of_every_width_keep_their_low_bits_beside_nulls(data, kind):
    limits = np.iinfo(kind)
    whole = st.none() | st.integers(int(limits.min), int(limits.max)) | st.sampled_from([0, int(limits.max)])
    values = data.draw(st.lists(whole, min_size=1, max_size=6))
    if kind == "int64":
        values += data.draw(st.sampled_from([[], [2**53 + 1], [2**53, None], [2**53 + 1, None]]))
    named = {"int": "Int", "uint": "UInt"}[kind.rstrip("0123456789")] + kind.lstrip("uint")
    for transform in (NUMBER, CODE):
        agree(transform, values, arrow_makes(values, pa.type_for_alias(kind)))
        agree(transform, values, polars_makes(values, getattr(pl, named)))


@settings(max_examples=100, deadline=None)
@given(st.data(), st.sampled_from([16, 32, 64]))
def test_floats_of_every_width(data, width):
    values = data.draw(st.lists(st.none() | st.floats(width=width), min_size=1, max_size=6))
    held = [None if value is None else np.dtype(f"f{width // 8}").type(value) for value in values]
    agree(NUMBER, values, arrow_makes(held, {16: pa.float16(), 32: pa.float32(), 64: pa.float64()}[width]))
    agree(CODE, values, arrow_makes(held, {16: pa.float16(), 32: pa.float32(), 64: pa.float64()}[width]))
    if width > 16:
        agree(NUMBER, values, polars_makes(values, {32: pl.Float32, 64: pl.Float64}[width]))


STRINGS = {
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "large dictionary": pa.dictionary(pa.int16(), pa.large_string()),
}


def utf8(values):
    """Whether a frame can hold the strings at all: half characters have no UTF-8."""
    try:
        return bool(str(values).encode())
    except UnicodeEncodeError:
        return False


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | text.map(str), min_size=1, max_size=6).filter(utf8), st.sampled_from([1, MANY]))
@example(["cafe\u0301", None], MANY)
@example([None], MANY)
@example(["UA", None, "x" * 4097], MANY)
def test_strings_however_they_are_stored(values, times):
    values = values * times
    for kind in STRINGS.values():
        agree(WORD, values, arrow_makes(values, kind))
    agree(WORD, values, polars_makes(values, pl.String))
    agree(WORD, values, polars_makes(values, pl.Categorical))
    agree(
        WORD, values, polars_makes(values, pl.Enum(sorted({value for value in values if value is not None})))
    )


def test_many_different_strings():
    values = [f"N{number}" for number in range(MANY)] + [None]
    agree(WORD, values, arrow_makes(values, pa.string()))
    agree(WORD, values, polars_makes(values, pl.String))


def test_a_full_dictionary_has_room_for_missing():
    values = [f"N{number}" for number in range(128)] + [None]
    agree(WORD, values, arrow_makes(values, pa.dictionary(pa.int8(), pa.string())))


def test_a_dictionary_may_itself_hold_a_null_or_a_string_twice():
    codes = pa.array([0, 1, None, 2, 1], type=pa.int8())
    column = pa.DictionaryArray.from_arrays(codes, pa.array(["UA", None, "UA"]))
    agree(WORD, ["UA", None, None, "UA", None], [("dictionary", column)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.sampled_from([1, 2, 94110, -1, 2**53 + 1]), min_size=1, max_size=6))
def test_integer_categories_in_dictionaries(values):
    agree(CODE, values, arrow_makes(values, pa.dictionary(pa.int8(), pa.int64())))


MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)) | st.datetimes(
    datetime(1969, 12, 31), datetime(1970, 1, 2)
)


def unit_of(values, unit):
    """The values as the unit can hold them."""
    least = {"s": timedelta(seconds=1), "ms": timedelta(milliseconds=1)}.get(unit, timedelta(microseconds=1))
    start = datetime(1970, 1, 1)
    cut_off = [None if value is None else start + (value - start) // least * least for value in values]
    if unit != "ns":
        return cut_off
    return [v if v is None or 1678 < v.year < 2262 else v.replace(year=2000, day=1) for v in cut_off]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.none() | MOMENTS, min_size=1, max_size=6),
    st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "Africa/Monrovia"]),
    st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_instants_and_wallclock_times_of_every_zone_and_unit(values, zone, unit):
    naive = unit_of(values, unit)
    aware = [None if value is None else value.replace(tzinfo=UTC) for value in naive]
    for transform in (WALL, INSTANT):
        agree(transform, naive, arrow_makes(naive, pa.timestamp(unit)))
        agree(transform, aware, arrow_makes(aware, pa.timestamp(unit, zone)))
        if unit != "s":
            agree(transform, naive, polars_makes(naive, pl.Datetime(unit)))
            series = pl.Series(naive, dtype=pl.Datetime(unit)).dt.replace_time_zone("UTC")
            agree(transform, aware, [("polars", series.dt.convert_time_zone(zone))])


@pytest.mark.parametrize("tick", [-1, -999, -1000, -1001, 1, 1001, -(10**15) - 1])
def test_nanoseconds_are_cut_off_towards_the_past_by_every_door(tick):
    moment = np.datetime64(tick, "ns")
    expected = one_by_one(WALL, [moment])
    ticks = np.array([tick], dtype="M8[ns]")
    for column in (ticks, pd.Series(ticks), pa.array(ticks), pl.Series(ticks)):
        assert in_columns(WALL, column) == expected
    zoned = pd.Series(ticks).dt.tz_localize("UTC")
    expected = one_by_one(INSTANT, list(zoned))
    for column in (zoned, pa.array(zoned), pl.Series(ticks).dt.replace_time_zone("UTC")):
        assert in_columns(INSTANT, column) == expected
        (alone,) = scalars(as_column(column))
        assert one_by_one(INSTANT, [alone]) == expected


@pytest.mark.parametrize("transform", [WALL, INSTANT])
@pytest.mark.parametrize("tick", [2**62, -(2**62)])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_beyond_the_calendar_are_refused_where_they_stand(transform, tick, zone):
    ticks = np.array([0, tick], dtype="M8[us]")
    series = pl.Series(ticks)
    columns = [pa.array(ticks, type=pa.timestamp("us", zone))]
    columns.append(series if zone is None else series.dt.replace_time_zone("UTC"))
    for column in columns:
        with pytest.raises(InvalidRow) as refused:
            transform.transform({"t": column})
        said = dict(refused.value.issues)["t"]
        fits = (zone is None) == (transform is WALL)
        assert ("must be a date between the years 1 and 9999" in said) == fits


ODD = {
    "bool": ([True, None], pa.bool_(), pl.Boolean),
    "date": ([date(2013, 1, 1), None], pa.date32(), pl.Date),
    "milliseconds of dates": ([date(2013, 1, 1), None], pa.date64(), None),
    "time": ([time(5), None], pa.time64("ns"), pl.Time),
    "duration": ([timedelta(1), None], pa.duration("ns"), pl.Duration("ns")),
    "decimal": ([Decimal(1), None], pa.decimal128(5, 2), pl.Decimal(5, 2)),
    "bytes": ([b"UA", None], pa.binary(), pl.Binary),
    "list": ([[1.0, None], None], pa.list_(pa.float64()), pl.List(pl.Float64)),
    "array": ([[1.0, 2.0], None], pa.list_(pa.float64(), 2), pl.Array(pl.Float64, 2)),
    "struct": ([{"a": 1.0}, None], pa.struct({"a": pa.float64()}), pl.Struct({"a": pl.Float64})),
    "map": ([[("a", 1)], None], pa.map_(pa.string(), pa.int8()), None),
    "object": ([object(), None], None, pl.Object),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("transform", [NUMBER, WORD, CODE, INSTANT, WALL])
def test_other_types_are_no_feature_but_their_nulls_are_missing(name, transform):
    values, arrow, polars = ODD[name]
    columns = [] if arrow is None else [pa.array(values, type=arrow)]
    columns += [] if polars is None else [pl.Series(values, dtype=polars, strict=False)]
    for column in columns:
        assert in_columns(transform, column) == one_by_one(transform, values) == set(transform.fields)
        assert in_columns(transform, column[1:]) == one_by_one(transform, [None])


@pytest.mark.parametrize("transform", [NUMBER, WORD, CODE, INSTANT, WALL])
def test_a_column_of_nulls_is_all_missing(transform):
    expected = one_by_one(transform, [None, None])
    for column in (pa.nulls(2), pl.Series([None, None]), pa.chunked_array([pa.nulls(1), pa.nulls(1)])):
        assert in_columns(transform, column) == expected


def test_lists_come_as_lists_and_bytes_as_bytes():
    nested, raw = [[1.5, None], None, []], [b"\x89PNG", None]
    for kind in (pa.list_(pa.float32()), pa.large_list(pa.float64())):
        assert as_column(pa.array(nested, type=kind)) == nested
    assert as_column(pl.Series(nested)) == nested
    fixed = [[1.0, 2.0], None]
    assert as_column(pa.array(fixed, type=pa.list_(pa.float64(), 2))) == fixed
    assert as_column(pl.Series(fixed, dtype=pl.Array(pl.Float64, 2))) == fixed
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        assert as_column(pa.array(raw, type=kind)) == raw
    assert as_column(pl.Series(raw)) == raw


TWO = Transform({"n": Numeric(missing="median"), "c": Category(missing="slot")}).fit(
    {"n": [1, 2.5, None], "c": ["a", None, "b"]}
)
GOOD = {"n": [1, 7, None], "c": ["a", "?", None]}


@pytest.mark.parametrize("frame", [pl.DataFrame, pa.table, pa.RecordBatch.from_pydict, pd.DataFrame])
def test_frames_with_more_columns_in_another_order_and_with_no_rows(frame):
    expected = TWO.transform(GOOD).tobytes()
    more = {"z": [[1], [2], None], **dict(reversed(GOOD.items()))}
    assert TWO.transform(frame(more)).tobytes() == expected
    assert TWO.transform(frame({"z": [], "c": [], "n": []})).shape == (0, TWO.width)
    assert TWO.transform(frame(more)[:0]).shape == (0, TWO.width)
    assert TWO.fit(frame(more)).digest == TWO.fit({**GOOD}).digest
    TWO.fit({"n": [1, 2.5, None], "c": ["a", None, "b"]})
    for table in (frame({"c": ["a", None]}), {"c": ["a", None]}):  # it may be missing, but not without a word
        with pytest.raises(InvalidRow, match="n: is missing: the table has no column of this name"):
            TWO.transform(table)


@pytest.mark.parametrize("make", [pa.table, lambda c, names: pa.RecordBatch.from_arrays(c, names=names)])
def test_two_columns_of_one_name_are_refused_if_that_name_is_needed(make):
    columns = [pa.array([1.0]), pa.array([2.0]), pa.array(["a"]), pa.array([3]), pa.array([3])]
    table = make(columns, names=["n", "n", "c", "z", "z"])
    with pytest.raises(InvalidRow) as refused:
        TWO.transform(table)
    assert dict(refused.value.issues) == {"n": "names more than one column of the frame"}
    assert TWO.transform(table.select([0, 2, 3, 4])).shape == (1, TWO.width)
    with pytest.raises(InvalidRow) as refused:
        TWO.transform(pd.DataFrame([[1.0, 2.0, "a"]], columns=["n", "n", "c"]))
    assert dict(refused.value.issues) == {"n": "names more than one column of the frame"}


def test_a_lazy_frame_is_to_be_collected_first():
    lazy = pl.DataFrame(GOOD).lazy()
    with pytest.raises(TypeError, match=r"collect\(\)"):
        TWO.transform(lazy)
    assert TWO.transform(lazy.collect()).tobytes() == TWO.transform(GOOD).tobytes()


def test_a_table_is_no_column():
    for table in (pa.table({"a": [1.0]}), pl.DataFrame({"a": [1.0]}), pa.record_batch({"a": [1.0]})):
        with pytest.raises(InvalidRow):
            TWO.transform({"n": table, "c": ["a"]})


def test_columns_of_another_length_are_refused():
    with pytest.raises(InvalidRow) as refused:
        TWO.transform({"n": pa.array([1.0, 2.0]), "c": pl.Series(["a"])})
    assert dict(refused.value.issues) == {"n": "has 2 values in a table of 1 rows"}


def test_what_a_type_cannot_give_is_refused_and_says_what_to_do():
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 1], "i4").tobytes()), pa.py_buffer(b"\xff")]
    )
    with pytest.raises(InvalidRow, match="cast it first"):
        TWO.transform({"n": [1.0], "c": broken})


def test_pandas_frames_of_every_backend_and_layout_agree():
    frame = pd.DataFrame(GOOD)
    expected = TWO.transform(GOOD).tobytes()
    stored = np.array([[1.0, 9.0], [7.0, 9.0], [np.nan, 9.0]])
    strided = pd.DataFrame(stored, columns=["n", "x"]).assign(c=frame["c"])
    nullable, arrow = frame.convert_dtypes(), frame.convert_dtypes(dtype_backend="pyarrow")
    python = frame.astype({"c": pd.StringDtype("python")})

    class Derived(pd.DataFrame):
        pass

    for table in (frame, strided, nullable, arrow, python, frame.astype(object), Derived(frame)):
        assert TWO.transform(table).tobytes() == expected
        assert TWO.transform({name: table[name] for name in GOOD}).tobytes() == expected


def test_no_door_imports_what_the_caller_has_not():
    code = (
        "import sys; from inprocml import Numeric, Transform;"
        "Transform({'n': Numeric()}).fit({'n': [1.0]}).transform([{'n': 2}]);"
        "print([m for m in ('pandas', 'polars', 'pyarrow', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_polars_strings_need_no_pyarrow():
    code = (
        "import sys; sys.modules['pyarrow'] = None; import polars as pl;"
        "del sys.modules['pyarrow'];"
        "from inprocml import Category, Transform;"
        "t = Transform({'c': Category(missing='slot')}).fit(pl.DataFrame({'c': ['a', None, 'b'] * 100}));"
        "print(t.transform(pl.DataFrame({'c': ['a', None, 'x']})).tolist(), 'pyarrow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]] False"
