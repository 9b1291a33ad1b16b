"""Each silent leak of scikit-learn serving: here the row is encoded as in training, or refused by name.

The cases are the rows of the table that was measured on one fitted ColumnTransformer, where every one of
them was accepted and encoded differently, or raised somewhere deep inside.
"""

# ruff: noqa: DTZ001 - times without a zone are part of what is tested

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from inprocml import Category, InvalidRow, Numeric, Timestamp, Transform

PACIFIC = ZoneInfo("US/Pacific")


def features(transform, **row):
    return dict(zip(transform.get_feature_names_out(), transform.transform_one(row).tolist(), strict=True))


NO_COLUMN = ": the table has no column of this name"


def refused(transform, **row):
    """The issues, checked to be the same for a row, a list, columns and a frame, and to hold no value."""
    found = []
    for call, table in (
        (transform.transform_one, row),
        (transform.transform, [row]),
        (transform.transform, {name: [value] for name, value in row.items()}),
        (
            transform.transform,
            pd.DataFrame({name: pd.Series([value], dtype=object) for name, value in row.items()}),
        ),
    ):
        with pytest.raises(InvalidRow) as caught:
            call(table)
        # of a column that is not there, a table can say more than a row of a field
        found.append({name: why.removesuffix(NO_COLUMN) for name, why in caught.value.issues.items()})
    assert found[0] == found[1] == found[2] == found[3]
    return found[0]


@pytest.fixture(scope="module")
def plan():
    frame = pd.DataFrame({"plan": pd.Series(["pro", "free", None, "ent", "café"], dtype="str")})
    return Transform({"plan": Category(missing="slot")}).fit(frame)


@pytest.mark.parametrize("null", [None, float("nan"), np.nan, pd.NA, pd.NaT])
def test_null_category_meets_the_slot_that_training_learnt(plan, null):
    trained = plan.transform(pd.DataFrame({"plan": pd.Series([None], dtype="str")}))
    assert plan.transform_one({"plan": null}).tobytes() == trained.tobytes()
    assert features(plan, plan=null)["plan=?missing"] == 1.0


def test_absent_is_null(plan):
    assert plan.transform_one({}).tobytes() == plan.transform_one({"plan": None}).tobytes()


@pytest.mark.parametrize("value", ["PRO", "pro ", "other", "nan", "None", ""])
def test_near_misses_are_unseen_not_silent_zeros(plan, value):
    assert features(plan, plan=value)["plan=?unseen"] == 1.0
    assert sum(features(plan, plan=value).values()) == 1.0


def test_decomposed_unicode_is_the_same_category(plan):
    assert (
        plan.transform_one({"plan": "cafe\u0301"}).tobytes() == plan.transform_one({"plan": "café"}).tobytes()
    )
    assert features(plan, plan="cafe\u0301")["plan=café"] == 1.0


def test_string_for_an_integer_category_is_refused_and_the_reverse(plan):
    codes = Transform({"zip": Category()}).fit({"zip": [94110, 10001]})
    assert refused(codes, zip="94110") == {"zip": "must be an integer, not str"}
    assert refused(codes, zip=94110.0) == {"zip": "must be an integer, not float"}
    assert refused(plan, plan=3) == {"plan": "must be a string, not int"}
    assert refused(codes, zip=True) == {"zip": "must be an integer, not bool"}


@pytest.mark.parametrize("value", ["1.5", "nan", "", True, np.True_, Decimal("1.5"), 1 + 0j, [1.5], b"1.5"])
def test_what_merely_looks_like_a_number_is_refused(value):
    amount = Transform({"amount": Numeric(missing="median")}).fit({"amount": [1.0, 2.0]})
    assert refused(amount, amount=value) == {"amount": f"must be a number, not {type(value).__name__}"}


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), np.float32("inf")])
def test_infinity_is_refused(value):
    amount = Transform({"amount": Numeric(missing=0.0)}).fit({"amount": [1.0, 2.0]})
    assert refused(amount, amount=value) == {"amount": "must be finite"}


def test_json_three_is_a_float():
    amount = Transform({"amount": Numeric(scale="standard")}).fit({"amount": [1.0, 2.0, 4.5]})
    assert amount.transform_one({"amount": 3}).tobytes() == amount.transform_one({"amount": 3.0}).tobytes()


@pytest.mark.parametrize("null", [None, float("nan"), pd.NA])
def test_missing_number_is_filled_or_refused_as_declared(null):
    filled = Transform({"amount": Numeric(missing="median")}).fit({"amount": [1.0, 2.0, 9.0]})
    assert features(filled, amount=null) == {"amount": 2.0}
    required = Transform({"amount": Numeric()}).fit({"amount": [1.0, 2.0, 9.0]})
    assert refused(required, amount=null) == {"amount": "is missing"}


@pytest.mark.parametrize("value", [-2, -1, -1.0])
def test_below_the_logarithm_is_refused_by_name(value):
    amount = Transform({"amount": Numeric(log=True)}).fit({"amount": [1.0, 2.0]})
    assert set(refused(amount, amount=value)) == {"amount"}


def test_float32_frames_are_encoded_as_the_values_they_hold():
    amount = Transform({"amount": Numeric(scale="standard")}).fit({"amount": [0.1, 0.7, 12.3]})
    narrow = np.array([0.1, 12.3], dtype=np.float32)
    expected = np.stack([amount.transform_one({"amount": float(value)}) for value in narrow])
    assert amount.transform(pd.DataFrame({"amount": narrow})).tobytes() == expected.tobytes()


@pytest.fixture(scope="module")
def when():
    return Transform({"when": Timestamp(timezone="America/New_York", missing="slot")}).fit(
        {"when": ["2013-01-01T05:00:00Z"]}
    )


def test_one_instant_in_any_zone_gives_the_same_features(when):
    instant = datetime(2013, 6, 30, 23, 30, tzinfo=ZoneInfo("America/New_York"))
    spelt = [
        instant,
        instant.astimezone(PACIFIC),
        instant.astimezone(timezone(timedelta(hours=5, minutes=30))),
        pd.Timestamp(instant).tz_convert("UTC"),
        "2013-06-30T23:30:00-04:00",
        "2013-07-01T03:30:00Z",
        "2013-07-01 09:00:00.000+05:30",
    ]
    expected = when.transform_one({"when": instant}).tobytes()
    assert {when.transform_one({"when": value}).tobytes() for value in spelt} == {expected}
    frame = pd.DataFrame({"when": pd.to_datetime([instant]).tz_convert("US/Pacific")})
    assert when.transform(frame).tobytes() == expected
    assert features(when, when=instant)["when.hour=23"] == 1.0
    assert features(when, when=instant)["when.month=6"] == 1.0


@pytest.mark.parametrize(
    "value",
    [
        datetime(2013, 1, 1, 5),
        pd.Timestamp(2013, 1, 1, 5),
        "2013-01-01T05:00:00",
        np.datetime64("2013-01-01T05:00", "us"),
    ],
)
def test_no_zone_is_assumed_where_one_is_declared(when, value):
    assert "UTC offset" in refused(when, when=value)["when"]


def test_no_zone_is_dropped_where_none_is_declared():
    wall = Transform({"when": Timestamp()}).fit({"when": ["2013-01-01T05:00:00"]})
    assert "no UTC offset" in refused(wall, when="2013-01-01T05:00:00Z")["when"]
    assert "no UTC offset" in refused(wall, when=datetime(2013, 1, 1, 5, tzinfo=PACIFIC))["when"]


@pytest.mark.parametrize(
    "value", ["2013-01-01", "20130101T050000Z", "1357034400", "noon", "2013-13-01T00:00Z"]
)
def test_what_merely_looks_like_a_time_is_refused(when, value):
    assert set(refused(when, when=value)) == {"when"}


@pytest.mark.parametrize("value", [1357034400, 1357034400.0, datetime(2013, 1, 1).date(), True])
def test_epoch_numbers_and_dates_are_refused(when, value):
    assert type(value).__name__ in refused(when, when=value)["when"]


def test_nat_is_missing(when):
    assert features(when, when=pd.NaT)["when=?missing"] == 1.0
    frame = pd.DataFrame({"when": pd.to_datetime([None], utc=True)})
    assert when.transform(frame).tobytes() == when.transform_one({"when": None}).tobytes()


def test_the_unit_that_pandas_keeps_times_in_is_no_matter(when):
    times = pd.Series([pd.Timestamp("2013-01-01T05:00:00Z"), pd.Timestamp("1969-12-31T23:59:59.999999Z")])
    answers = {when.transform({"when": times.dt.as_unit(unit)}).tobytes() for unit in ("s", "ms", "us", "ns")}
    assert len(answers) == 1


def test_missing_column_is_refused_by_name():
    both = Transform({"a": Numeric(), "b": Numeric()}).fit({"a": [1.0], "b": [2.0]})
    assert refused(both, a=1.0) == {"b": "is missing"}


def test_more_and_reordered_columns_change_nothing_but_a_row_must_not_have_them():
    both = Transform({"a": Numeric(), "b": Numeric()}).fit({"a": [1.0], "b": [2.0]})
    expected = both.transform_one({"a": 1.5, "b": 2.5}).tobytes()
    assert both.transform_one({"b": 2.5, "a": 1.5}).tobytes() == expected
    assert both.transform(pd.DataFrame({"c": ["x"], "b": [2.5], "a": [1.5]})).tobytes() == expected
    for call, row in (
        (both.transform_one, {"a": 1, "b": 2, "c": 3}),
        (both.transform, [{"a": 1, "b": 2, "c": 3}]),
    ):
        with pytest.raises(InvalidRow) as caught:
            call(row)
        assert dict(caught.value.issues) == {"c": "is not a field of this model: remove it"}


def test_one_row_gets_the_columns_that_the_training_frame_got(plan):
    """What pd.get_dummies and category codes get wrong: a single row does not know the other categories."""
    for value in ("ent", "free", "pro"):
        frame = pd.DataFrame({"plan": pd.Categorical([value])})
        assert plan.transform(frame).tobytes() == plan.transform_one({"plan": value}).tobytes()
        assert features(plan, plan=value)[f"plan={value}"] == 1.0


def test_a_numpy_row_and_a_bare_value_are_refused_as_rows(plan):
    for row in (np.array(["pro"]), ["pro"], "pro", None, 3):
        with pytest.raises(InvalidRow) as caught:
            plan.transform_one(row)
        assert set(caught.value.issues) == {"(row)"}
