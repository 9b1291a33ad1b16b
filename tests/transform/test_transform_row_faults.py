"""What may go wrong in the middle of a row: told once, told fully, and never with the value."""

from __future__ import annotations

import math
import traceback

import numpy as np
import pytest
from tests.transform.test_transform_derived import defined

from inprocml import Category, Corrupt, InvalidRow, Numeric, Timestamp, Transform, TransformError
from inprocml.transform import Custom, Vector, register

SECRET = "2013-02-30T05:00:00Z"


@pytest.mark.parametrize(
    "row", [{"at": SECRET, "plan": "a"}, {"at": "2013-01-01T00:00:00Z", "plan": [SECRET]}]
)
def test_no_exception_that_quotes_a_value_travels_with_the_refusal(row):
    transform = Transform({"at": Timestamp(timezone="UTC"), "plan": Category()}).fit(
        {"at": ["2013-01-01T00:00:00Z"], "plan": ["a"]}
    )
    with pytest.raises(InvalidRow) as caught:
        transform.transform_one(row)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


SEEN = []
ANSWERS = iter([ValueError, 1.0, 1.0, 1.0])


def counted(x):
    SEEN.append(x)
    raise KeyError(x)


def moody(x):
    answer = next(ANSWERS)
    if answer is ValueError:
        raise ValueError
    return answer


def test_a_custom_function_that_fails_is_called_once():
    register("counted", counted)
    transform = Transform({"c": Custom("counted", {"x": "number"}), "n": Numeric(missing=0)}).fit(
        {"x": [1.0], "n": [1.0]}
    )
    for row in ({"x": 1.0, "n": 2.0}, {"x": 1.0}):
        SEEN.clear()
        with pytest.raises(TransformError, match="raised KeyError"):
            transform.transform_one(row)
        assert SEEN == [1.0]


def test_a_custom_function_may_be_interrupted():
    def stopped(x):
        raise KeyboardInterrupt

    register("stopped", stopped)
    transform = Transform({"c": Custom("stopped", {"x": "number"})}).fit({"x": [1.0]})
    with pytest.raises(KeyboardInterrupt):
        transform.transform_one({"x": 1.0})


def test_a_custom_function_that_changes_its_mind_is_still_a_refusal():
    register("moody", moody)
    transform = Transform({"c": Custom("moody", {"x": "number"})}).fit({"x": [1.0]})
    with pytest.raises(InvalidRow, match="is refused by the custom function"):
        transform.transform({"x": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("body", "width", "error"),
    [
        ("return None", 2, TransformError),
        ("return 1.0", 2, TransformError),
        ("return 10 ** 400", 1, InvalidRow),
        ("return [0, -10 ** 400]", 2, InvalidRow),
        ("return [0, float('nan')]", 2, InvalidRow),
    ],
)
def test_whatever_a_custom_function_returns_is_judged(body, width, error):
    register("odd", defined("odd", f"def odd(x):\n    {body}\n"))
    transform = Transform({"c": Custom("odd", {"x": "number"}, width=width)}).fit({"x": [1.0]})
    with pytest.raises(error):
        transform.transform_one({"x": 1.0})
    with pytest.raises(error):
        transform.transform({"x": [1.0]})


def test_numbers_of_numpy_are_numbers_to_a_custom_function():
    register("halves", lambda x: [np.float16(x), np.float32(x), np.int8(x), x])
    transform = Transform({"c": Custom("halves", {"x": "number"}, width=4)}).fit({"x": [1.0]})
    assert transform.transform_one({"x": 2.0}).tolist() == [2.0] * 4


def test_vectors_may_come_as_one_array_of_rows():
    table = np.arange(12.0).reshape(4, 3)
    transform = Transform({"v": Vector(size=3, scale="standard")}).fit({"v": table})
    expected = transform.transform([{"v": row} for row in table.tolist()])
    for dtype in (np.float64, np.float32, np.float16, np.int64, np.uint8):
        assert transform.transform({"v": table.astype(dtype)}).tobytes() == expected.tobytes()
    assert transform.transform({"v": np.asfortranarray(table)}).tobytes() == expected.tobytes()
    assert transform.transform({"v": table[:0]}).shape == (0, 3)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (np.zeros((2, 4)), "must have 3 numbers, not 4"),
        (np.zeros((2, 3, 1)), "must be a one-dimensional column"),
        (np.zeros((2, 3), dtype=bool), "must be a one-dimensional column"),
        (np.array([[0.0, 0.0, math.nan]] * 2), "is missing"),
    ],
)
def test_an_array_that_holds_no_such_vectors_is_refused(table, why):
    transform = Transform({"v": Vector(size=3)}).fit({"v": [[1.0, 2.0, 3.0]]})
    with pytest.raises(InvalidRow, match=why):
        transform.transform({"v": table})


def test_a_table_in_place_of_a_number_is_refused():
    with pytest.raises(
        InvalidRow, match="must be a number, not an array: a column of numbers is one-dimensional"
    ):
        Transform({"n": Numeric()}).fit({"n": np.zeros((3, 2))})


def test_exponents_are_learnt_of_numbers_whose_bent_sums_leave_float64():
    # judged at exponent 1.18, the sum of these is beyond float64; at 0.1 it is not
    rows = {"x": [10.0**260.2, 10.0**260.3, 10.0**260.4] * 20}
    transform = Transform({"x": Numeric(power="yeo-johnson", scale="standard")}).fit(rows)
    assert np.isfinite(transform.transform(rows)).all()


def test_entries_that_share_a_field_but_no_value_are_refused():
    fitted = Transform({"a": Numeric(scale="standard"), "b": Numeric(field="a", scale="standard")}).fit(
        {"a": [1.0, 3.0]}
    )
    document = fitted.to_json()
    moved = document.replace(
        '"divisor":1.0,"exponent":1.0,"field":"a"', '"divisor":1e-30,"exponent":1.0,"field":"a"'
    )
    moved = moved.replace('"name":"b","offset":2.0', '"name":"b","offset":1e300')
    moved = moved.replace(
        '"divisor":1.0,"exponent":1.0,"field":null', '"divisor":1e-30,"exponent":1.0,"field":null'
    )
    assert moved.count("1e") == 3
    with pytest.raises(Corrupt, match="no value in common"):
        Transform.from_json(moved)


@pytest.mark.parametrize("table", [{"x": 1.0, "c": "a"}, {"x": 1.0}, {"c": "a", "x": [1.0]}])
def test_a_row_given_to_fit_is_told_what_a_table_is(table):
    with pytest.raises(InvalidRow, match="must be a column: a list or a one-dimensional array"):
        Transform({"x": Numeric(), "c": Category()}).fit(table)


@pytest.mark.parametrize("first", [1.0, math.nan])
def test_integers_that_pandas_made_floats_of_are_explained_while_fitting(first):
    column = np.array([first, 2.0, math.nan])
    with pytest.raises(InvalidRow, match=r"pandas makes floats of integers .* astype\('Int64'\)"):
        Transform({"c": Category(missing="slot")}).fit({"c": column})
