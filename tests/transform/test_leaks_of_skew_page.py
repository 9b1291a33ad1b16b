"""Every line of the table in docs/explanation/skew.md, on both sides: what scikit-learn does with such a
request, and that inprocml encodes it as training would, gives it the unseen slot, or refuses it by name.

Each case is sent through all four doors. The page's lines and the cases are compared, so that neither can
say what the other does not.
"""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, StandardScaler

from inprocml import Category, Hashed, InvalidRow, Numeric, Timestamp, Transform

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "skew.md"
ZONE = ZoneInfo("America/New_York")
NULL, NAN = None, float("nan")
ROW = {
    "amount": 4.0,
    "price": 3.0,
    "plan": "café",
    "zip": 94110,
    "merchant": "m1",
    "when": datetime(2013, 6, 30, 23, 30, tzinfo=ZONE),
}
BLOCKS = {
    "amount": slice(0, 1),
    "price": slice(1, 4),
    "plan": slice(4, 8),
    "zip": slice(8, 10),
    "merchant": slice(10, 14),
    "when": slice(14, 16),
}
ZEROS, UNSEEN, REFUSED = "all zeros", "the unseen slot", "refused"


@dataclass(frozen=True)
class As:
    """Encoded as this value of the field was in training."""

    value: Any


@dataclass(frozen=True)
class NotAs:
    """Accepted, and encoded otherwise than this value of the field was in training."""

    value: Any


@dataclass(frozen=True)
class Case:
    """Values of one field, what scikit-learn does with each (an error's type, if it raises), and we."""

    field: str
    values: list[Any]
    theirs: Any
    ours: Any


CASES = {
    "`null` for a category that was null at times in training": Case("plan", [NULL], ZEROS, As(NULL)),
    "`pandas.NA` for it": Case("plan", [pd.NA], ZEROS, As(NULL)),
    "NaN for it": Case("plan", [NAN], TypeError, As(NULL)),
    '`"CAFÉ"`, `"café "`, a category never seen': Case("plan", ["CAFÉ", "café ", "us"], ZEROS, UNSEEN),
    '`"café"` with its accent as a character of its own': Case("plan", ["cafe\u0301"], ZEROS, As("café")),
    "`3` for a category of strings": Case("plan", [3], TypeError, REFUSED),
    '`"94110"` for a category of integers': Case("zip", ["94110"], ZEROS, REFUSED),
    "`null` for a category that never was": Case("zip", [NULL], ZEROS, REFUSED),
    '`"1.5"` for a number': Case("amount", ["1.5"], As(1.5), REFUSED),
    "`true` for a number": Case("amount", [True], As(1.0), REFUSED),
    '`"nan"` for a number': Case("amount", ["nan"], As(NAN), REFUSED),
    "`null`, NaN for a number": Case("amount", [NULL, NAN], As(NAN), As(NAN)),
    "`3` for a number with a point": Case("amount", [3], As(3.0), As(3.0)),
    "infinity": Case("amount", [float("inf")], ValueError, REFUSED),
    "`null` where a logarithm is taken": Case("price", [NULL], TypeError, REFUSED),
    "NaN there": Case("price", [NAN], ValueError, REFUSED),
    "-2 there": Case("price", [-2.0], ValueError, REFUSED),
    "`null` for a hashed string": Case("merchant", [NULL], TypeError, REFUSED),
    "the same instant in another time zone": Case(
        "when",
        [ROW["when"].astimezone(ZoneInfo("US/Pacific")), ROW["when"].astimezone(ZoneInfo("Asia/Kolkata"))],
        NotAs(ROW["when"]),
        As(ROW["when"]),
    ),
    "the same instant as ISO 8601 text": Case(
        "when", ["2013-07-01T03:30:00Z", "2013-06-30T23:30:00-04:00"], AttributeError, As(ROW["when"])
    ),
    "a time without a zone": Case("when", [datetime(2013, 7, 1, 3, 30)], NotAs(ROW["when"]), REFUSED),
    "NaT": Case("when", [pd.NaT], NotAs(ROW["when"]), As(NULL)),
    "a time as seconds since 1970": Case("when", [1372649400], AttributeError, REFUSED),
}
WHOLE = [
    "a frame of float32",
    "columns in another order, and more of them",
    "a column too few",
    "a numpy array",
    "one row through `pd.get_dummies`, or category codes",
    '`astype("int64")` of a time after an upgrade of pandas',
]


def frame(rows):
    """The rows as a table that was read with care, as training data is."""
    table = pd.DataFrame(rows).astype({"plan": "str", "amount": "float64"})
    return table.assign(when=pd.to_datetime(table["when"], utc=True).dt.tz_convert(ZONE))


TRAINING = [
    {
        "amount": (1.5, NULL, 4.0, 9.25)[i % 4],
        "price": float(i % 7),
        "plan": ("pro", "free", NULL, "café")[i % 4],
        "zip": (94110, 10001)[i % 2],
        "merchant": f"m{i}",
        "when": f"2013-0{1 + i % 9}-01T{i % 24:02d}:00:00-05:00",
    }
    for i in range(48)
]


@pytest.fixture(scope="module")
def ours():
    fields = {
        "amount": Numeric(missing="median", scale="standard"),
        "price": Numeric(log=True),
        "plan": Category(missing="slot"),
        "zip": Category(),
        "merchant": Hashed(buckets=4),
        "when": Timestamp(parts=("hour", "month"), timezone=ZONE.key, missing="slot"),
    }
    return Transform(fields).fit(frame(TRAINING))


@pytest.fixture(scope="module")
def theirs():
    bins = KBinsDiscretizer(3, encode="onehot-dense", strategy="uniform", subsample=None)
    categories = {"handle_unknown": "ignore", "sparse_output": False}
    hasher = FeatureHasher(4, input_type="string", alternate_sign=False)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["amount"]),
            ("price", make_pipeline(FunctionTransformer(lambda f: np.log1p(f.to_numpy())), bins), ["price"]),
            ("plan", OneHotEncoder(**categories), ["plan"]),
            ("zip", OneHotEncoder(**categories), ["zip"]),
            (
                "merchant",
                make_pipeline(FunctionTransformer(lambda f: [[text] for text in f["merchant"]]), hasher),
                ["merchant"],
            ),
            ("when", FunctionTransformer(lambda f: np.c_[f["when"].dt.hour, f["when"].dt.month]), ["when"]),
        ],
        sparse_threshold=0,
    ).fit(frame(TRAINING))


def pairs(cases):
    return [
        pytest.param(case, value, id=f"{line}-{place}")
        for line, case in cases.items()
        for place, value in enumerate(case.values)
    ]


def trained(theirs_or_ours, field, value):
    """Features of the row with this value, in a table as training's was."""
    return theirs_or_ours.transform(frame([{**ROW, field: value}]))


def doors(row):
    yield [row]
    yield {name: [value] for name, value in row.items()}
    yield pd.DataFrame({name: pd.Series([value], dtype=object) for name, value in row.items()})


@pytest.mark.parametrize(("case", "value"), pairs(CASES))
def test_what_scikit_learn_does(theirs, case, value):
    request = pd.DataFrame([{**ROW, case.field: value}])
    if isinstance(case.theirs, type):
        # numpy warns of the logarithm, and a server's log has that somewhere
        with np.errstate(all="ignore"), pytest.raises(case.theirs):
            theirs.transform(request)
        return
    features = theirs.transform(request)  # a warning would be an error here: it says nothing
    if case.theirs == ZEROS:
        assert not features[:, BLOCKS[case.field]].any()
        assert trained(theirs, case.field, ROW[case.field])[:, BLOCKS[case.field]].any()
    else:
        same = np.array_equal(features, trained(theirs, case.field, case.theirs.value), equal_nan=True)
        assert same == isinstance(case.theirs, As)


@pytest.mark.parametrize(("case", "value"), pairs(CASES))
def test_what_inprocml_does(ours, case, value):
    row = {**ROW, case.field: value}
    if case.ours == REFUSED:
        for call, request in [(ours.transform_one, row), *((ours.transform, table) for table in doors(row))]:
            with pytest.raises(InvalidRow) as caught:
                call(request)
            assert set(caught.value.issues) == {case.field}
        return
    one = ours.transform_one(row)
    if case.ours == UNSEEN:
        assert one[ours.unseen_columns[case.field]] == 1.0
        assert ours.transform_one(ROW)[ours.unseen_columns[case.field]] == 0.0
    else:
        assert one.tobytes() == trained(ours, case.field, case.ours.value).tobytes()
    assert {ours.transform(table).tobytes() for table in doors(row)} == {one.tobytes()}


def test_float32(theirs, ours):
    table = frame(TRAINING).fillna({"amount": 0.7})
    narrow = table.astype({"amount": "float32"})
    wide = narrow.astype({"amount": "float64"})
    assert (theirs.transform(narrow) != theirs.transform(wide)).any()
    assert ours.transform(narrow).tobytes() == ours.transform(wide).tobytes()


def test_order_of_columns_and_more_of_them(theirs, ours):
    table = frame([ROW])
    other = table[list(table)[::-1]].assign(more=1)
    assert (theirs.transform(other) == theirs.transform(table)).all()
    assert ours.transform(other).tobytes() == ours.transform(table).tobytes()
    assert ours.transform_one(dict(reversed(ROW.items()))).tobytes() == ours.transform_one(ROW).tobytes()
    with pytest.raises(InvalidRow) as caught:
        ours.transform_one({**ROW, "more": 1})
    assert set(caught.value.issues) == {"more"}


def test_a_column_too_few(theirs, ours):
    row = {name: value for name, value in ROW.items() if name != "zip"}
    with pytest.raises(ValueError, match="columns are missing"):
        theirs.transform(pd.DataFrame([row]))
    for call, request in [(ours.transform_one, row), *((ours.transform, table) for table in doors(row))]:
        with pytest.raises(InvalidRow) as caught:
            call(request)
        assert set(caught.value.issues) == {"zip"}


def test_an_array_has_no_names(theirs, ours):
    array = np.array([list(ROW.values())], dtype=object)
    with pytest.raises(ValueError, match="only supported for dataframes"):
        theirs.transform(array)
    with pytest.raises(TypeError, match="a table is"):
        ours.transform(array)
    with pytest.raises(InvalidRow, match="mapping of field names"):
        ours.transform_one(array[0])


def test_one_row_through_dummies_and_codes(ours):
    plans = pd.DataFrame({"plan": ["pro", "free", "café"]})
    assert len(pd.get_dummies(plans).columns) == 3
    assert list(pd.get_dummies(plans.iloc[[1]]).columns) == ["plan_free"]
    codes = plans["plan"].astype("category").cat.codes
    alone = plans.iloc[[0]]["plan"].astype("category").cat.codes
    assert codes.iloc[0] != alone.iloc[0]
    for plan in plans["plan"]:
        categorical = frame([{**ROW, "plan": plan}]).astype({"plan": "category"})
        assert ours.transform(categorical).tobytes() == ours.transform_one({**ROW, "plan": plan}).tobytes()


def test_the_unit_of_time(ours):
    """pandas 2 counts nanoseconds by default, pandas 3 microseconds: a thousandth of the number."""
    times = frame([ROW])["when"]
    assert times.dt.as_unit("ns").astype("int64")[0] == 1000 * times.dt.as_unit("us").astype("int64")[0]
    tables = [frame([ROW]).assign(when=times.dt.as_unit(unit)) for unit in ("s", "ms", "us", "ns")]
    assert len({ours.transform(table).tobytes() for table in tables}) == 1
    with pytest.raises(InvalidRow) as caught:
        ours.transform(frame([ROW]).assign(when=times.astype("int64")))
    assert set(caught.value.issues) == {"when"}


def test_the_page_says_what_is_tested_and_nothing_else():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("| the request sends"))
    table = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    assert [cells[0] for cells in table] == [*CASES, *WHOLE]
    said = {cells[0]: cells[1:] for cells in table}
    for line, case in CASES.items():
        theirs, ours = said[line]
        assert ours.startswith("refused") == (case.ours == REFUSED), line
        assert ours.startswith("unseen") == (case.ours == UNSEEN), line
        assert theirs.startswith("all zeros") == (case.theirs == ZEROS), line
        if isinstance(case.theirs, type):
            assert theirs.startswith(f"`{case.theirs.__name__}`"), line
