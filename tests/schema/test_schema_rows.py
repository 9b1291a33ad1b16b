"""One row, one table: every issue at once, values never echoed, the first bad row named."""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

from collections import OrderedDict, UserDict, defaultdict
from datetime import datetime
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from inprocml import InvalidRow
from inprocml.schema import Field, Refused, Schema

SCHEMA = Schema(
    (
        Field("speed", "number"),
        Field("carrier", "category"),
        Field("zip", "category", required=False, dtype="int"),
        Field("tail", "text", required=False),
        Field("at", "instant", timezone="America/New_York"),
        Field("wall", "wallclock", required=False),
    )
)
GOOD = {"speed": 3, "carrier": "UA", "zip": 94110, "at": "2013-07-01T03:30:00Z", "wall": "2013-07-01T03:30"}
BAD = {
    "speed": "secret-1",
    "carrier": 77777,
    "zip": "secret-2",
    "tail": b"secret-3",
    "at": "secret-4",
    "wall": True,
}


def issues(call, *arguments):
    with pytest.raises(InvalidRow) as caught:
        call(*arguments)
    return caught.value


def test_canonical_values():
    speed, carrier, code, tail, at, wall = SCHEMA.check(GOOD)
    assert (type(speed), speed) == (float, 3.0)
    assert (carrier, code, tail) == ("UA", 94110, None)
    assert at.isoformat() == "2013-06-30T23:30:00-04:00"
    assert wall == datetime(2013, 7, 1, 3, 30)


def test_all_issues_at_once_and_no_value_in_any():
    found = issues(SCHEMA.check, {**BAD, "more": "secret-5"})
    assert set(found.issues) == {*BAD, "more"}
    assert list(found.issues)[:6] == [field.name for field in SCHEMA.fields]
    assert "secret" not in str(found)
    assert "77777" not in str(found)
    assert found.row is None


def test_all_required_fields_of_an_empty_row():
    assert dict(issues(SCHEMA.check, {}).issues) == dict.fromkeys(["speed", "carrier", "at"], "is missing")


@pytest.mark.parametrize("make", [OrderedDict, UserDict, MappingProxyType, lambda row: defaultdict(int, row)])
def test_any_mapping_is_a_row(make):
    assert SCHEMA.check(make(GOOD)) == SCHEMA.check(GOOD)
    assert issues(SCHEMA.check, make({})).issues == issues(SCHEMA.check, {}).issues


def test_names_of_unknown_fields_are_cut_and_printable():
    row = GOOD | {"x" * 10_000: 1, "a\nb": 1, 7: 1, "\ud800": 1}
    found = issues(SCHEMA.check, row)
    assert set(found.issues) == {"x" * 80 + "...", "a\\nb", "(a name of type int)", "\\ud800"}
    str(found).encode()
    many = issues(SCHEMA.check, GOOD | {f"more{i}": 1 for i in range(1000)})
    assert len(many.issues) == 21
    assert "(980 more)" in many.issues


def test_tables_name_every_bad_field_and_the_first_bad_row():
    rows = [dict(GOOD) for _ in range(5)]
    rows[3]["speed"] = rows[4]["speed"] = "secret"
    rows[2]["zip"] = "secret"
    rows[4]["more"] = 1
    found = issues(SCHEMA.check_table, rows)
    assert found.row == 2
    assert dict(found.issues) == {
        "more": "is not a field of this model: remove it (row 4)",
        "speed": "must be a number, not str (2 rows, the first is 3)",
        "zip": "must be an integer, not str (row 2)",
    }
    columns = {name: [row.get(name) for row in rows] for name in [*GOOD, "tail"]}
    assert dict(issues(SCHEMA.check_table, columns).issues) == {
        name: reason for name, reason in found.issues.items() if name != "more"
    }


def test_a_table_of_one_row_reads_like_a_row():
    assert issues(SCHEMA.check_table, [BAD]).issues == issues(SCHEMA.check, BAD).issues
    assert issues(SCHEMA.check_table, [BAD]).row == 0


def test_rows_that_are_no_rows():
    found = issues(SCHEMA.check_table, [GOOD, 3])
    assert (found.row, set(found.issues)) == (1, {"(row)"})


@pytest.mark.parametrize("table", [3, "UA", None, iter([]), np.zeros((2, 2))])
def test_tables_that_are_no_tables(table):
    with pytest.raises(TypeError, match="a table is a DataFrame, a mapping of columns or a list of rows"):
        SCHEMA.check_table(table)


def test_one_row_given_as_columns_is_told_apart():
    found = issues(SCHEMA.check_table, GOOD)
    assert "transform_one" in found.issues["speed"]
    assert "transform_one" in found.issues["carrier"]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (np.zeros((2, 2)), "one-dimensional"),
        (np.array(1.0), "one-dimensional"),
        (np.ma.zeros((2, 2)), "one-dimensional"),
        ({1.0, 2.0}, "must be a column"),
        ("ab", "must be a column"),
        ([1.0, 2.0, 3.0], "has 3 values in a table of 2 rows"),
    ],
)
def test_columns_that_are_no_columns(column, reason):
    table = {"speed": column, "carrier": ["UA", "AA"], "at": [GOOD["at"]] * 2, "zip": [1, 2]}
    table |= {"tail": [None, None], "wall": [None, None]}
    found = issues(SCHEMA.check_table, table)
    assert set(found.issues) == {"speed"}
    assert reason in found.issues["speed"]


def test_a_frame_with_one_name_twice():
    frame = pd.DataFrame([[1.0, 2.0]], columns=["speed", "speed"])
    schema = Schema((Field("speed", "number"),))
    assert "more than one column" in issues(schema.check_table, frame).issues["speed"]


def test_rows_may_leave_a_field_out_and_tables_may_not():
    rows = [{name: GOOD[name] for name in ("speed", "carrier", "at")}] * 2
    assert SCHEMA.check_table(rows)["zip"].tolist() == [None, None]
    told = "is missing: the table has no column of this name"
    for table in ({"speed": [1.0, 2.0]}, pd.DataFrame({"speed": [1.0, 2.0]})):
        found = issues(SCHEMA.check_table, table)
        assert dict(found.issues) == dict.fromkeys(["carrier", "zip", "tail", "at", "wall"], told)


def test_canonical_columns():
    columns = SCHEMA.check_table([GOOD, {**GOOD, "zip": None}])
    assert columns["speed"].dtype == np.float64
    assert columns["zip"].tolist() == [94110, None]
    assert columns["at"].dtype == np.dtype("M8[us]")  # in UTC
    assert columns["at"].tolist() == [datetime(2013, 7, 1, 3, 30)] * 2
    assert SCHEMA.wall(columns)["at"].tolist() == [datetime(2013, 6, 30, 23, 30)] * 2


def test_render_is_json_that_passes_again():
    columns = SCHEMA.check_table([GOOD, {**GOOD, "zip": None, "wall": None}])
    rows = SCHEMA.render(columns)
    assert rows[1] == {
        "speed": 3.0,
        "carrier": "UA",
        "zip": None,
        "tail": None,
        "at": "2013-06-30T23:30:00-04:00",
        "wall": None,
    }
    assert SCHEMA.render(columns, [1]) == [rows[1]]
    assert SCHEMA.render(SCHEMA.check(rows[0])) == [rows[0]]
    numbers = Schema((Field("x", "number", required=False),))
    assert numbers.render(numbers.check_table({"x": [None, 2]})) == [{"x": None}, {"x": 2.0}]


def test_two_fields_of_one_name_and_zones_where_they_do_not_belong():
    with pytest.raises(ValueError, match="one name"):
        Schema((Field("a", "number"), Field("a", "text")))
    with pytest.raises(ValueError, match="time zone"):
        Field("a", "instant")
    with pytest.raises(ValueError, match="time zone"):
        Field("a", "wallclock", timezone="UTC")


def test_one_field_judges_values_and_columns():
    field = Field("x", "number", required=False)
    assert field.check(None) is None
    assert field.check_column((1, None)).tolist()[0] == 1.0
    with pytest.raises(Refused) as caught:
        field.check_column([1.0, True, "2"])
    assert (caught.value.row, caught.value.count) == (1, 2)


def test_hostile_strings_take_no_time():
    """Reordering combining marks takes time quadratic in their number: for these, days."""
    field = Field("x", "text")
    hostile = "\u0327\u0301" * 5_000_000
    with pytest.raises(Refused, match="at most 4096 characters"):
        field.check(hostile)
    assert len(field.check(("\u0327\u0301" * 5_000)[:4096])) == 4096


def test_characters_that_grow_are_measured_again():
    growing = "\ufb2c" * 4096  # each becomes three in NFC
    with pytest.raises(Refused, match="at most 4096 characters"):
        Field("x", "text").check(growing)
