"""Rows that passed, read again: the same arrays to the bit, whatever the values' types."""

from __future__ import annotations

from collections import UserDict
from datetime import UTC, datetime
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocml import InvalidRow
from inprocml.schema import Field, Schema
from inprocml.schema.accepted import Accepted

FIELDS = (
    Field("speed", "number"),
    Field("height", "number", required=False),
    Field("carrier", "category", strip=True, casefold=True),
    Field("zip", "category", required=False, dtype="int"),
    Field("tail", "text", required=False, longest=10_000),
    Field("at", "instant", timezone="America/New_York"),
    Field("wall", "wallclock", required=False),
    Field("late", "flag", required=False),
    Field("where", "vector", size=2),
    Field("photo", "content", required=False),
)
SCHEMA = Schema(FIELDS)

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**53), 2**53),
    st.sampled_from([np.float32(1.5), np.float64(-0.0), np.int16(7), np.longdouble(0.25), -0.0, 2**80]),
)
missing = st.sampled_from([None, float("nan"), np.nan, pd.NA, np.ma.masked])
words = st.one_of(
    st.text(max_size=4), st.sampled_from(["e\u0301", "\u00e9", " UA ", "ua", "x" * 200, np.str_("ua")])
)
times = st.sampled_from(["2013-07-01T03:30:00Z", datetime(2020, 2, 2, tzinfo=UTC)])
values = {
    "speed": numbers,
    "height": numbers | missing,
    "carrier": words,
    "zip": st.integers(-(2**63), 2**63 - 1) | st.sampled_from([np.int8(3), 3, None, pd.NA]),
    "tail": words | missing,
    "at": times,
    "wall": st.sampled_from(["2013-07-01T03:30", None, pd.NaT]),
    "late": st.sampled_from([True, False, None, np.True_]),
    "where": st.tuples(numbers, numbers),
    "photo": st.sampled_from([b"abc", "YWJj", None]),
}
optional = [field.name for field in FIELDS if not field.required]


@st.composite
def rows_of(draw, names=tuple(values)):
    row = {name: draw(values[name]) for name in draw(st.permutations(list(names)))}
    for name in draw(st.sets(st.sampled_from(optional))):
        row.pop(name, None)
    return row


def bits(columns):
    return {
        name: (column.dtype, column.shape, [repr(each) for each in column.tolist()], column.flags.writeable)
        for name, column in columns.items()
    }


def passed(schema, rows):
    """Return the rows that the schema accepts, each for itself."""
    good = []
    for row in rows:
        try:
            schema.check(row)
        except InvalidRow:
            continue
        good.append(row)
    return good


@given(st.lists(st.lists(rows_of(), max_size=8), max_size=3))
def test_rows_that_passed_are_read_as_a_table_of_them_is(tables):
    accepted = Accepted(SCHEMA)  # one for all tables: what it remembers of one must not show in another
    for rows in tables:
        good = passed(SCHEMA, rows)
        found, wanted = accepted.columns(good), SCHEMA.check_table(good)
        assert list(found) == list(wanted)
        assert bits(found) == bits(wanted)


@pytest.mark.parametrize("names", [["speed"], ["carrier"], ["speed", "carrier"], ["at"], ["speed", "height"]])
def test_few_fields(names):
    schema = Schema(tuple(field for field in FIELDS if field.name in names))
    row = {"speed": 1, "height": None, "carrier": "UA", "at": "2013-07-01T03:30:00Z"}
    rows = [{name: row[name] for name in names}] * 3
    for table in (rows, rows[:1], []):
        assert bits(Accepted(schema).columns(table)) == bits(schema.check_table(table))


@pytest.mark.parametrize("make", [UserDict, MappingProxyType])
def test_rows_of_other_mappings(make):
    schema = Schema(FIELDS[:4])
    rows = [make({"speed": 1, "carrier": "UA", "zip": 3}), make({"speed": 2, "carrier": "x", "height": 4.0})]
    assert bits(Accepted(schema).columns(rows)) == bits(schema.check_table(rows))


def test_more_values_than_are_remembered_and_long_ones():
    schema = Schema((FIELDS[2], FIELDS[3]))
    accepted = Accepted(schema)
    rows = [{"carrier": f" Word{place} " + "x" * (place % 90), "zip": place} for place in range(5_000)]
    for start in range(0, 5_000, 700):
        part = rows[start : start + 700]
        assert bits(accepted.columns(part)) == bits(schema.check_table(part))
    assert max(map(len, accepted._canonical.values())) <= 1024


class Odd(str):
    """A text that fails when it is compared."""

    __slots__ = ()

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


def test_a_value_of_an_odd_type_is_judged_as_ever():
    schema = Schema((FIELDS[0], FIELDS[2]))
    rows = [{"speed": 1, "carrier": "UA"}, {"speed": 2, "carrier": Odd("UA")}]
    assert bits(Accepted(schema).columns(rows)) == bits(schema.check_table(rows))


@pytest.mark.parametrize("changed", [{"speed": "7"}, {"carrier": 7}, {"speed": None}, {"carrier": ["a"]}])
def test_a_row_that_was_changed_and_cannot_be_read_is_refused(changed):
    schema = Schema((FIELDS[0], FIELDS[2]))
    rows = [{"speed": 1.0, "carrier": "UA"}, {"speed": 1.0, "carrier": "UA", **changed}]
    if changed == {"speed": None}:  # missing: counted as such
        assert np.isnan(Accepted(schema).columns(rows)["speed"][1])
        return
    with pytest.raises(InvalidRow) as caught:
        Accepted(schema).columns(rows)
    assert set(caught.value.issues) == set(changed)
