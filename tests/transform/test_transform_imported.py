"""Formulas and coded values: what they accept, and the same bits for a float, an array and generated code."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocml import InvalidRow, Transform
from inprocml.errors import Corrupt
from inprocml.transform.operations import checked_operations, run_many, run_one
from inprocml.transform.specs_imported import Coded, Formula, Operand, Output

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
ONE = st.sampled_from(["add", "subtract", "multiply", "fill", "above", "equals", "constant"])
NONE = st.sampled_from(["is_missing", "absolute", "sqrt", "square", "log1p", "log", "exp", "expm1"])
OPERATIONS = st.one_of(
    st.tuples(ONE, NUMBERS),
    st.tuples(NONE),
    st.tuples(st.just("divide"), NUMBERS.filter(bool)),
    st.tuples(st.just("yeo-johnson"), st.floats(-5, 5)),
    st.tuples(st.just("replace"), NUMBERS, NUMBERS),
    st.sets(NUMBERS, min_size=2, max_size=2).map(lambda two: ("clip", *sorted(two))),
    st.sets(NUMBERS, min_size=1, max_size=5).map(lambda edges: ("bin", *sorted(edges))),
)
ANY = st.floats(width=64) | st.sampled_from([-1.0, 0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324])


@settings(max_examples=400)
@given(st.lists(OPERATIONS, max_size=6), st.lists(ANY, min_size=1, max_size=20))
def test_a_float_and_an_array_go_through_the_same_bits(operations, values):
    operations = checked_operations(operations)
    with np.errstate(all="ignore"):
        many = run_many(operations, np.array(values)).tolist()
    for one, other in zip([run_one(operations, value) for value in values], many, strict=True):
        assert struct.pack("d", one) == struct.pack("d", other) or (math.isnan(one) and math.isnan(other))


@settings(max_examples=200)
@given(
    st.lists(OPERATIONS, max_size=3),
    st.lists(OPERATIONS, max_size=3),
    st.lists(OPERATIONS, max_size=3),
    st.lists(st.tuples(ANY | st.none(), ANY | st.booleans()), min_size=1, max_size=8),
)
def test_every_path_of_any_formula_gives_the_same_bytes_or_the_same_refusal(first, second, after, pairs):
    formula = Formula(
        operands=(Operand("a", "number", tuple(first)), Operand("b", "number", tuple(second))),
        outputs=(Output("product", (0, 1), tuple(after)), Output("a", (0,)), Output("b", (1, 1))),
    )
    transform = Transform({"f": formula}).fit({"a": [1.0], "b": [1.0]})
    again = Transform.from_json(transform.to_json())
    assert again.fields == transform.fields
    for a, b in pairs:
        row = {"a": a, "b": b}
        expected = _answer(transform._plan.reference, row)
        assert _answer(again.transform_one, row) == expected
        table = _answer(transform.transform, [row])
        assert table == expected if isinstance(expected, bytes) else table.keys() == expected.keys()


def _answer(call, row):
    try:
        return call(row).tobytes()
    except InvalidRow as refused:
        return dict(refused.issues)


def test_a_field_may_be_missing_where_something_stands_in_for_it():
    def required(operations, after=()):
        formula = Formula(operands=(Operand("x", "number", operations),), outputs=(Output("x", (0,), after),))
        (field,) = Transform({"f": formula}).fit({"x": [1.0]}).schema.fields
        return field.required

    assert required((("subtract", 1.0),))
    assert not required((("subtract", 1.0), ("fill", 0.0)))
    assert not required((), (("is_missing",),))
    assert required((("fill", -1.0), ("sqrt",)))


def test_what_has_no_finite_feature_is_refused_by_every_door():
    formula = Formula(operands=(Operand("x", "number", (("log",),)),), outputs=(Output("x", (0,)),))
    transform = Transform({"f": formula}).fit({"x": [1.0]})
    for value in (0.0, -1.0):
        for call, table in (
            (transform.transform_one, {"x": value}),
            (transform.transform, {"x": [1.0, value]}),
        ):
            with pytest.raises(InvalidRow, match="x: gives a feature of f that is no finite number"):
                call(table)


def test_values_that_training_did_not_know_are_refused_or_have_their_features():
    closed = Coded(reads="text", categories=("a", "b"), labels=("x",), rows=(((0, 1.0),), ((0, 2.0),)))
    open_ = Coded(
        reads="number", categories=(1.0,), labels=("x", "y"), rows=(((0, 1.0),),), unseen=((1, 1.0),)
    )
    transform = Transform({"c": closed, "n": open_}).fit({"c": ["a"], "n": [1]})
    assert transform.unseen_columns == {"n": 2}
    assert transform.transform({"c": ["b", "a"], "n": [1, 7.5]}).tolist() == [[2, 1, 0], [1, 0, 1]]
    for call, table in (
        (transform.transform_one, {"c": "z", "n": 1}),
        (transform.transform, {"c": ["a", "z"], "n": [1, 1]}),
    ):
        with pytest.raises(InvalidRow, match="c: must be one of the 2 values that training knew"):
            call(table)
    for value in (True, "1", None, math.inf):
        with pytest.raises(InvalidRow, match="n: "):
            transform.transform_one({"c": "a", "n": value})


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Operand("x", "text"),
        lambda: Operand("x", "number", (("import", 1.0),)),
        lambda: Operand("x", "number", (("divide", 0.0),)),
        lambda: Operand("x", "number", (("add",),)),
        lambda: Operand("x", "number", (("add", math.nan),)),
        lambda: Operand("x", "number", ((),)),
        lambda: Operand("x", "number", (("bin", 1.0, 1.0),)),
        lambda: Operand("x", "number", (("clip", 2.0, 1.0),)),
        lambda: Operand("x", "number", (("square",),) * 51),
        lambda: Output("x", ()),
        lambda: Output("x", (0,) * 11),
        lambda: Formula(operands=(Operand("x"),), outputs=()),
        lambda: Formula(operands=(Operand("x"),), outputs=(Output("x", (1,)),)),
        lambda: Formula(operands=(Operand("x"), Operand("y")), outputs=(Output("x", (0,)),)),
        lambda: Formula(operands=(Operand("x"), Operand("x", "flag")), outputs=(Output("x", (0, 1)),)),
        lambda: Formula(operands=(Operand("x"),), outputs=(Output("x", (0,)), Output("x", (0,)))),
        lambda: Coded(reads="text", categories=("b", "a"), labels=("x",), rows=((), ())),
        lambda: Coded(reads="text", categories=(1,), labels=("x",), rows=((),)),
        lambda: Coded(reads="integer", categories=(True,), labels=("x",), rows=((),)),
        lambda: Coded(reads="text", categories=("a",), labels=("x",), rows=(((1, 1.0),),)),
        lambda: Coded(reads="text", categories=("a",), labels=("x",), rows=()),
        lambda: Coded(reads="text", categories=("a",), labels=(), rows=((),)),
        lambda: Coded(reads="text", categories=("a",), labels=("x",), rows=(((0, math.inf),),)),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(declare):
    with pytest.raises((TypeError, ValueError)):
        declare()


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('["fill",2.0]', '["fill","2.0"]'),
        ('["fill",2.0]', '["fill"]'),
        ('["fill",2.0]', '["__import__"]'),
        ('"factors":[0]', '"factors":[0.5]'),
        ('"factors":[0]', '"factors":[-1]'),
        ('"reads":"number"', '"reads":"content"'),
        ("[[0,1.0]]", "[[0.5,1.0]]"),
        ("[[0,1.0]]", "[[0,1e300]]"),
        ("[[0,1.0]]", "[[0,1.0,2.0]]"),
        ('"categories":["a"]', '"categories":[1]'),
        ('"categories":["a"]', '"categories":["e\\u0301"]'),
    ],
)
def test_documents_are_checked_again(good, bad):
    formula = Formula(operands=(Operand("x", "number", (("fill", 2.0),)),), outputs=(Output("x", (0,)),))
    coded = Coded(reads="text", categories=("a",), labels=("x",), rows=(((0, 1.0),),))
    text = Transform({"f": formula, "c": coded}).fit({"x": [1.0], "c": ["a"]}).to_json()
    assert good in text
    with pytest.raises(Corrupt):
        Transform.from_json(text.replace(good, bad))
