"""What each kind of field accepts and refuses, value by value and column by column."""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from inprocml.schema import Field, Refused
from inprocml.schema.missing import is_missing


class Code(IntEnum):
    ONE = 1


class Name(StrEnum):
    UA = "UA"


VALUES = {
    "int": 3,
    "float": 2.5,
    "large int": 2**53 + 1,
    "huge int": 10**400,
    "64-bit int": 2**63,
    "inf": float("inf"),
    "bool": True,
    "numpy bool": np.True_,
    "numpy int": np.int16(3),
    "numpy float": np.float32(2.5),
    "long double": np.longdouble(2.5),
    "longer double": np.longdouble(1) + np.finfo(np.longdouble).eps,
    "numpy duration": np.timedelta64(3, "s"),
    "duration": timedelta(3),
    "complex": 1 + 0j,
    "Decimal": Decimal(3),
    "Decimal NaN": Decimal("nan"),
    "Fraction": Fraction(3),
    "IntEnum": Code.ONE,
    "StrEnum": Name.UA,
    "str": "UA",
    "digits": "3",
    "empty": "",
    "numpy str": np.str_("UA"),
    "half a character": "\udc00",
    "bytes": b"UA",
    "list": ["UA"],
    "dict": {"UA": 1},
    "zero-dimensional": np.array(3.0),
    "object": object(),
    "class": float,
    "date": date(2013, 1, 1),
    "naive": datetime(2013, 1, 1),
    "aware": datetime(2013, 1, 1, tzinfo=UTC),
    "naive Timestamp": pd.Timestamp("2013-01-01"),
    "aware Timestamp": pd.Timestamp("2013-01-01", tz="Asia/Tokyo"),
    "numpy time": np.datetime64("2013-01-01T00:00"),
    "numpy date": np.datetime64("2013-01-01"),
    "naive ISO": "2013-01-01T00:00",
    "aware ISO": "2013-01-01T00:00Z",
    "pandas Period": pd.Period("2013-01"),
}
if np.finfo(np.longdouble).eps == np.finfo(np.float64).eps:  # pragma: no cover - not on x86
    del VALUES["longer double"]

STRINGS = {"StrEnum", "str", "digits", "empty", "numpy str", "naive ISO", "aware ISO"}
FIELDS = {
    "number": (
        Field("x", "number"),
        {"int", "float", "numpy int", "numpy float", "long double", "IntEnum", "64-bit int"},
    ),
    "category of str": (Field("x", "category"), STRINGS),
    "category of int": (Field("x", "category", dtype="int"), {"int", "numpy int", "IntEnum", "large int"}),
    "text": (Field("x", "text"), STRINGS),
    "instant": (Field("x", "instant", timezone="UTC"), {"aware", "aware Timestamp", "aware ISO"}),
    "wallclock": (Field("x", "wallclock"), {"naive", "naive Timestamp", "numpy time", "naive ISO"}),
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("kind", FIELDS)
def test_what_each_kind_accepts(kind, value):
    field, accepted = FIELDS[kind]
    column = np.empty(1, dtype=object)
    column[0] = VALUES[value]
    if value not in accepted:
        for judge, given in (
            (field.check, VALUES[value]),
            (field.check_column, [VALUES[value]]),
            (field.check_column, column),
        ):
            with pytest.raises(Refused) as caught:
                judge(given)
            assert caught.value.reason.startswith("must ")
        return
    canonical = field.check(VALUES[value])
    assert type(canonical) in {float, int, str, datetime}
    assert field.check_column([VALUES[value]])[0] == field.check_column(column)[0]
    if kind == "instant":  # columns of instants are in UTC
        assert canonical.utcoffset() is not None
        canonical = canonical.astimezone(UTC).replace(tzinfo=None)
    assert field.check_column(column)[0] == canonical


MISSING = {
    "None": None,
    "NaN": float("nan"),
    "numpy NaN": np.float32("nan"),
    "half NaN": np.float16("nan"),
    "long NaN": np.longdouble("nan"),
    "NaT": pd.NaT,
    "numpy NaT": np.datetime64("NaT"),
    "numpy NaT of nanoseconds": np.datetime64("NaT", "ns"),
    "numpy duration NaT": np.timedelta64("NaT"),
    "pandas NA": pd.NA,
    "masked": np.ma.masked,
}


@pytest.mark.parametrize("mark", MISSING)
@pytest.mark.parametrize("kind", FIELDS)
def test_one_rule_for_missing(kind, mark):
    required = FIELDS[kind][0]
    optional = Field("x", required.kind, required=False, dtype=required.dtype, timezone=required.timezone)
    assert is_missing(MISSING[mark])
    assert optional.check(MISSING[mark]) is None
    assert optional.render(optional.check_column([MISSING[mark]])[0]) is None
    for judge, given in ((required.check, MISSING[mark]), (required.check_column, [MISSING[mark]])):
        with pytest.raises(Refused) as caught:
            judge(given)
        assert caught.value.reason == "is missing"


@pytest.mark.parametrize("value", ["", "nan", "NaN", "None", "NaT", " ", 0, False, np.inf, [], {}])
def test_what_is_not_missing(value):
    assert not is_missing(value)


def test_numbers_keep_every_bit():
    field = Field("x", "number")
    for value in (-0.0, 5e-324, 0.1, 2**53, -(2**63), 2**1000):
        assert np.float64(field.check(value)).tobytes() == np.float64(value).tobytes()
        assert field.check_column([value]).tobytes() == np.float64(value).tobytes()


def test_integers_beyond_exactness_are_judged_one_by_one_in_columns():
    field = Field("x", "number", required=False)
    assert field.check_column(np.array([2**53, 2**60], dtype=np.int64)).tolist() == [2.0**53, 2.0**60]
    for column in (np.array([0, 2**53 + 1]), pd.Series([0, 2**53 + 1]), [0.5, 2**53 + 1], [0, 10**400]):
        with pytest.raises(Refused, match="exactly") as caught:
            field.check_column(column)
        assert caught.value.row == 1


def test_limits_are_inclusive_and_named():
    field = Field("x", "number", limits=(-1.5, 2.0))
    assert field.check(-1.5) == -1.5
    assert field.check(2) == 2.0
    with pytest.raises(Refused, match=r"at least -1\.5"):
        field.check(-2)
    with pytest.raises(Refused, match=r"at most 2\.0"):
        field.check_column(np.array([0.0, 3.0]))


def test_strings_become_plain_and_composed():
    field = Field("x", "text")
    for value in (np.str_("cafe\u0301"), Name.UA, "cafe\u0301"):
        assert type(field.check(value)) is str
    assert field.check("cafe\u0301") == "café"
    assert field.check_column(["cafe\u0301", "café"]).tolist() == ["café", "café"]
    assert field.check_column(np.array(["cafe\u0301"])).tolist() == ["café"]


def test_numpy_string_and_integer_columns():
    assert Field("x", "category", dtype="int").check_column(np.array([1, 2], dtype=np.uint8)).tolist() == [
        1,
        2,
    ]
    with pytest.raises(Refused, match="64 bits"):
        Field("x", "category", dtype="int").check_column(np.array([2**63], dtype=np.uint64))
    with pytest.raises(Refused, match="not bytes"):
        Field("x", "text").check_column(np.array([b"UA"]))


def test_an_iterable_column():
    assert Field("x", "number").check_column(range(3)).tolist() == [0.0, 1.0, 2.0]


CODE = Field("code", "category", required=False, dtype="int")
GAPS = pd.Series([3, None, 17])  # pandas makes floats of it


@pytest.mark.parametrize("column", [GAPS, GAPS.to_numpy(), pd.Series([3.5, 7.0])])
@pytest.mark.parametrize("field", [CODE, Field("code", "category", dtype="int")])
def test_integers_that_pandas_turned_into_floats_are_refused_with_what_to_do(column, field):
    with pytest.raises(Refused, match=r"must be an integer, not float64.*astype\('Int64'\)") as refused:
        field.check_column(column)
    assert "3" not in refused.value.reason.replace("Int64", "")
    assert "17" not in refused.value.reason


def test_the_advice_works_and_is_only_for_columns():
    assert CODE.check_column(GAPS.astype("Int64")).tolist() == [3, None, 17]
    assert CODE.check_column(np.array([np.nan, np.nan])).tolist() == [None, None]
    for check in (lambda: CODE.check(3.0), lambda: CODE.check_column([3.0])):
        with pytest.raises(Refused, match=r"^must be an integer, not float$"):
            check()
    with pytest.raises(Refused, match="is missing"):
        Field("code", "category", dtype="int").check_column(np.array([np.nan]))
