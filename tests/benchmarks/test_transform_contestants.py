"""The contestants of the transform's benchmark answer alike: a race with wrong answers measures nothing."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import payments, transform_rivals
from benchmarks.by_hand import Rejected, learn
from benchmarks.by_hand_row import strict
from benchmarks.transform import agree
from inprocml import InvalidRow

TRAINED, SERVED = 4_000, 200
TRAINING, ROWS = payments.payments(TRAINED, seed=1), payments.payments(SERVED, seed=2)
NAMES = st.sampled_from(payments.FIELDS)


@pytest.fixture(scope="module")
def ours():
    return payments.declared().fit(TRAINING)


@pytest.fixture(scope="module")
def by_hand():
    return learn(TRAINING)


def test_the_rows_are_what_the_page_says():
    assert all(list(row) == list(payments.FIELDS) for row in ROWS)
    numbers = [row[name] for row in ROWS for name in payments.NUMBERS]
    assert {type(number) for number in numbers} == {int, float, type(None)}
    rare = [row[name] not in known for row in ROWS for name, known in payments.KNOWN.items()]
    assert 0 < sum(rare) < 0.03 * len(rare)
    assert len({row["at"] for row in TRAINING}) == TRAINED
    assert payments.payments(SERVED, seed=2) == ROWS


def test_ours_and_by_hand_give_the_same_bytes(ours, by_hand):
    assert ours.width == by_hand.width == 66
    agree(ours, by_hand, ROWS)


def test_agree_would_notice(ours):
    other = learn(TRAINING[1:])
    with pytest.raises(AssertionError):
        agree(ours, other, ROWS)


def test_scikit_learn_gives_the_same_numbers(ours):
    columns = transform_rivals.column_transformer(payments.as_frame(TRAINING))
    expected = ours.transform(ROWS)
    assert np.allclose(columns.transform(payments.as_frame(ROWS)), expected, rtol=1e-6, atol=1e-6)
    one = [columns.transform(pd.DataFrame([row]))[0] for row in ROWS[:20]]
    assert np.allclose(one, expected[:20], rtol=1e-6, atol=1e-6)


def test_the_fused_graph_gives_its_subset_in_float32(ours):
    run = transform_rivals.fused(payments.as_frame(TRAINING))
    many = run(payments.as_float32(ROWS))
    assert many.shape == (SERVED, 10 + 24)
    numbers = [list(ours.get_feature_names_out()).index(name) for name in payments.NUMBERS]
    assert np.allclose(many[:, :10], ours.transform(ROWS)[:, numbers], rtol=1e-3, atol=1e-4)
    assert np.array_equal(run(ROWS[0])[0], many[0])


def test_pydantic_accepts_every_row_and_no_other_field():
    check = transform_rivals.pydantic_check()
    for row in ROWS:
        check(row)
    with pytest.raises(ValueError, match="Extra inputs"):
        check({**ROWS[0], "more": 1})


wrong = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=1),
    st.sampled_from([2**53 + 1, 2**60, 10**400, "\ud800", "US", "cafe\u0301", "x" * 4097, "x" * 65]),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        [
            "2025-06-30T23:30:11",
            "2025-06-30T23:30:11+02:00",
            "2025-06-30 23:30Z",
            "2025-W26-1T23:30:11Z",
            "20250630T233011.12Z",
            "2025-02-30T23:30:11Z",
            "2025-06-30T24:00:00Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-14:00",
        ]
    ),
)


@given(
    place=st.integers(0, SERVED - 1), changes=st.dictionaries(NAMES, wrong, max_size=3), more=st.booleans()
)
def test_the_same_rows_are_refused_for_the_same_fields(ours, by_hand, place, changes, more):
    row = {**json.loads(json.dumps(ROWS[place])), **changes, **({"more": 1} if more else {})}
    encode = strict(by_hand)
    try:
        expected = ours.transform_one(row).tobytes()
    except InvalidRow as refused:
        with pytest.raises(Rejected) as caught:
            encode(row)
        assert set(caught.value.issues) == set(refused.issues)
        return
    assert encode(row).tobytes() == expected


@given(place=st.integers(0, SERVED - 1), gone=st.sets(NAMES, min_size=1, max_size=3))
def test_absent_fields_are_filled_or_refused_alike(ours, by_hand, place, gone):
    row = {name: value for name, value in ROWS[place].items() if name not in gone}
    required = gone - set(payments.NUMBERS)
    if not required:
        assert strict(by_hand)(row).tobytes() == ours.transform_one(row).tobytes()
        return
    for encode, refusal in ((ours.transform_one, InvalidRow), (strict(by_hand), Rejected)):
        with pytest.raises(refusal) as caught:
            encode(row)
        assert set(caught.value.issues) == required
