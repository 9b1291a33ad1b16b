"""Every option of every kind: the generated row path, the reference and the column paths agree to the bit."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transform.kinds_rows import FIELDS, READ, as_numpy, fitted, rows

from inprocml import Category, Flag, InvalidRow, Numeric, Timestamp, Transform, Vector

TRANSFORM = fitted()
REFERENCE = TRANSFORM._plan.reference  # the slow path is not public, and this is what it is kept for


def answer(call, *arguments):
    try:
        return call(*arguments).tobytes()
    except InvalidRow as refused:
        return dict(refused.issues)


def test_every_path_gives_the_same_bytes():
    table = rows(1500, 2)
    single = [TRANSFORM.transform_one(row).tobytes() for row in table]
    assert single == [REFERENCE(row).tobytes() for row in table]
    together = b"".join(single)
    assert TRANSFORM.transform(table).tobytes() == together
    columns = {name: [row[name] for row in table] for name in READ}
    assert TRANSFORM.transform(columns).tobytes() == together
    assert TRANSFORM.transform(pd.DataFrame(columns, dtype=object)).tobytes() == together
    assert TRANSFORM.transform([as_numpy(row) for row in table]).tobytes() == together
    again = Transform.from_json(TRANSFORM.to_json())
    assert again.to_json() == TRANSFORM.to_json()
    assert again.fields == TRANSFORM.fields
    assert again.transform(table).tobytes() == together
    assert np.isfinite(TRANSFORM.transform(table)).all()
    assert (
        len(TRANSFORM.get_feature_names_out())
        == len(set(TRANSFORM.get_feature_names_out()))
        == TRANSFORM.width
    )


ODD = [True, 0, 1, "1.5", "", None, float("nan"), math.inf, -math.inf, 1e308, -1e308, 2**60, [], [1.0], {}]
ODD += [
    b"x",
    "2021-01-01T00:00:00",
    "2021-01-01T00:00:00Z",
    np.float32(0.1),
    np.True_,
    pd.NA,
    pd.NaT,
    -1,
    5e-324,
]


@settings(max_examples=400, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.sampled_from([*READ, "other"]), st.sampled_from(ODD)), max_size=3),
)
def test_odd_values_are_judged_alike_by_the_generated_code_and_the_reference(seed, changes):
    (row,) = rows(1, seed)
    for name, value in changes:
        row[name] = value
    expected = answer(REFERENCE, row)
    assert answer(TRANSFORM.transform_one, row) == expected
    table = answer(TRANSFORM.transform, [row])
    assert table == expected if isinstance(expected, bytes) else table.keys() == expected.keys()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.sets(st.sampled_from(READ)))
def test_absent_fields_are_missing(seed, absent):
    (row,) = rows(1, seed)
    given_row = {name: value for name, value in row.items() if name not in absent}
    told = answer(TRANSFORM.transform_one, row | dict.fromkeys(absent))
    assert answer(TRANSFORM.transform_one, given_row) == told == answer(REFERENCE, given_row)


def test_the_generated_code_holds_nothing_of_the_fields(monkeypatch):
    sources = []
    monkeypatch.setattr("builtins.compile", _recording(sources))
    hostile = '"]; import os; os.abort() #'
    Transform({hostile: Category(), "ok": Numeric(missing="flag", log=True, clip=(0, 1))}).fit(
        {hostile: ["'''+1", "b\n"], "ok": [0.5, None]}
    )
    (source,) = sources
    assert "import" not in source
    assert "abort" not in source
    assert "+1" not in source


def _recording(sources):
    def record(source, *arguments, **named):
        sources.append(source)
        return real(source, *arguments, **named)

    real = compile
    return record


@pytest.mark.parametrize("count", [1, 30, 1001])
def test_transforms_of_any_width_have_both_paths(count):
    transform = Transform({f"x{i}": Numeric(scale="standard") for i in range(count)})
    table = [{f"x{i}": float(i * k) for i in range(count)} for k in range(3)]
    features = transform.fit_transform(table)
    assert [transform.transform_one(row).tobytes() for row in table] == [part.tobytes() for part in features]


def test_one_field_encoded_twice_is_one_field_of_the_row():
    transform = Transform({"x": Numeric(scale="standard"), "x_bins": Numeric(field="x", bins=2)})
    features = transform.fit_transform({"x": [1.0, 2.0, 3.0, 4.0]})
    assert [field.name for field in transform.schema.fields] == ["x"]
    assert list(transform.get_feature_names_out()) == ["x", "x_bins=bin0", "x_bins=bin1"]
    assert features[:, 1].tolist() == [1.0, 1.0, 0.0, 0.0]


def test_entries_that_share_a_field_must_read_it_alike():
    with pytest.raises(ValueError, match=r"field 'x' is read in two ways"):
        Transform({"x": Numeric(), "y": Category(field="x")}).fit({"x": [1, 2]})
    both = Transform({"x": Numeric(missing=0.0), "y": Numeric(field="x", log=True)}).fit({"x": [1, 2]})
    with pytest.raises(InvalidRow, match="x: is missing"):  # one of the two cannot do without
        both.transform_one({"x": None})
    with pytest.raises(InvalidRow, match="x: must be greater than -1"):
        both.transform_one({"x": -1.0})


def test_flags_are_true_or_false_and_nothing_else():
    transform = Transform({"f": Flag(missing="slot")}).fit({"f": [True, False]})
    assert transform.transform({"f": [True, False, None]}).tolist() == [[1, 0], [0, 0], [0, 1]]
    assert transform.transform({"f": np.array([True, False])}).tolist() == [[1, 0], [0, 0]]
    for other in (0, 1, 1.0, "true", "yes", [True]):
        with pytest.raises(InvalidRow, match="f: must be true or false"):
            transform.transform_one({"f": other})
        with pytest.raises(InvalidRow, match="f: must be true or false"):
            transform.transform({"f": [True, other]})


def test_vectors_have_their_length_and_finite_numbers():
    transform = Transform({"v": Vector(size=2)}).fit({"v": [[1.0, 2.0]]})
    assert transform.transform({"v": np.array([[1.0, 2.0]]).tolist()}).tolist() == [[1.0, 2.0]]
    for other, reason in [
        ([1.0], "must have 2 numbers, not 1"),
        ([1.0, math.inf], r"must be finite \(number 1 of the list\)"),
        ([1.0, "2"], r"must be a number, not str \(number 1"),
        ([1.0, None], r"is missing \(number 1"),
        ("ab", "must be a list of 2 numbers, not str"),
        ([1.0, 1e39], "must be at most"),
        (np.ones((2, 2)), "must be a list of 2 numbers"),
    ]:
        with pytest.raises(InvalidRow, match=f"v: {reason}"):
            transform.transform_one({"v": other})
        with pytest.raises(InvalidRow, match=f"v: {reason}"):
            transform.transform({"v": [[0.0, 0.0], other]})


def test_robust_scaling_is_scikit_learns():
    from sklearn.preprocessing import RobustScaler

    x = np.random.default_rng(3).normal(5, 3, size=(101, 1))
    ours = Transform({"x": Numeric(scale="robust")}).fit_transform({"x": x[:, 0]})
    np.testing.assert_allclose(ours, RobustScaler().fit_transform(x), rtol=1e-6, atol=1e-7)


def test_the_exponent_is_scikit_learns_to_a_few_digits():
    from sklearn.preprocessing import PowerTransformer

    x = np.random.default_rng(4).gamma(2.0, 3.0, size=(500, 1))
    ours = Transform({"x": Numeric(power="yeo-johnson", scale="standard")}).fit({"x": x[:, 0]})
    theirs = PowerTransformer().fit(x)
    np.testing.assert_allclose(ours.transform({"x": x[:, 0]}), theirs.transform(x), atol=1e-4)


def test_quantile_bins_hold_about_as_many_rows_each():
    x = np.random.default_rng(5).lognormal(size=1000)
    for spec in (Numeric(bins=8), Numeric(bins=8, log=True)):
        features = Transform({"x": spec}).fit_transform({"x": x})
        assert features.shape == (1000, 8)
        assert set(features.sum(axis=0)) <= {124.0, 125.0, 126.0}
        assert (features.sum(axis=1) == 1).all()


def test_values_on_an_edge_belong_to_the_bin_above():
    transform = Transform({"x": Numeric(bins=(0.0, 10.0), encoding="ordinal")}).fit({"x": [0.0]})
    values = [-1e300, math.nextafter(0.0, -1), -0.0, 0.0, math.nextafter(10.0, 0), 10.0, 1e300]
    assert transform.transform({"x": values})[:, 0].tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert [float(transform.transform_one({"x": value})[0]) for value in values] == [0, 0, 1, 1, 1, 2, 2]


def test_folded_categories_are_one_category():
    transform = Transform({"c": Category(strip=True, casefold=True)}).fit({"c": ["Straße", " UA", "ua"]})
    assert list(transform.get_feature_names_out()) == ["c=strasse", "c=ua", "c=?unseen"]
    for spelling in ("STRASSE", " strasse\n", "Straße"):
        assert transform.transform_one({"c": spelling}).tolist() == [1, 0, 0]
    with pytest.raises(InvalidRow, match="c: must have at most 4096 characters"):
        transform.transform_one({"c": "ß" * 4096})  # folding doubles it


def test_ordinals_and_indices_number_the_slots():
    table = {"o": ["b", "a", None], "i": [7, 3, 7]}
    transform = Transform(
        {"o": Category(encoding="ordinal", missing="slot"), "i": Category(encoding="index")}
    )
    found = transform.fit_transform(table)
    assert [(spec.name, spec.shape, spec.dtype) for spec in transform.tensors] == [
        ("features", (1,), "float32"),
        ("i", (), "int64"),
    ]
    assert found["features"].tolist() == [[1.0], [0.0], [3.0]]
    assert found["i"].tolist() == [1, 0, 1]
    one = transform.transform_one({"o": "z", "i": 4})
    assert one["features"].tolist() == [2.0]
    assert one["i"].tolist() == 2
    assert one["i"].dtype == np.int64


def test_cycles_meet_where_they_end():
    parts = {"hour": "cyclic", "weekday": "cyclic", "month": "cyclic", "minute": "cyclic", "day": "cyclic"}
    transform = Transform({"t": Timestamp(parts=parts)}).fit({"t": ["2021-01-01T00:00:00"]})
    # a Monday, the first of the month, at midnight
    assert transform.transform_one({"t": "2018-01-01T00:00:00"}).tolist() == [0.0, 1.0] * 5
    six = transform.transform_one({"t": "2018-04-01T06:15:00"})
    assert six[:2].tolist() == [1.0, 0.0]
    assert six[4:8].tolist() == [1.0, 0.0, 1.0, 0.0]
    pairs = np.array([transform.transform_one({"t": f"2018-01-01T{h:02}:00:00"})[:2] for h in range(24)])
    gaps = np.linalg.norm(pairs - np.roll(pairs, 1, axis=0), axis=1)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-6)


def test_elapsed_days_count_from_the_declared_time():
    spec = Timestamp(parts=(), since="2021-01-01T00:00:00+01:00", timezone="Europe/Berlin")
    transform = Transform({"t": spec}).fit({"t": ["2021-01-02T00:00:00Z"]})
    assert list(transform.get_feature_names_out()) == ["t.since"]
    # a day of 23 hours is shorter: instants are counted, not dates
    assert transform.transform_one({"t": "2021-03-28T00:00:00+01:00"}).tolist() == [86.0]
    assert transform.transform_one({"t": "2021-03-29T00:00:00+02:00"})[0] == np.float32(86 + 23 / 24)


@pytest.mark.parametrize(
    ("declare", "error"),
    [
        (lambda: Numeric(power="cube"), ValueError),
        (lambda: Numeric(power="sqrt", log=True), ValueError),
        (lambda: Numeric(power="sqrt", clip=(-1, 1)), ValueError),
        (lambda: Numeric(power="sqrt", missing=-1), ValueError),
        (lambda: Numeric(bins=1), ValueError),
        (lambda: Numeric(bins=10**6), ValueError),
        (lambda: Numeric(bins=True), TypeError),
        (lambda: Numeric(bins=(1, 1)), ValueError),
        (lambda: Numeric(bins=(2, 1)), ValueError),
        (lambda: Numeric(bins=()), ValueError),
        (lambda: Numeric(bins=(0, math.nan)), ValueError),
        (lambda: Numeric(bins="auto"), TypeError),
        (lambda: Numeric(bins=4, scale="standard"), ValueError),
        (lambda: Numeric(bins=4, power="sqrt"), ValueError),
        (lambda: Numeric(bins=(1, 2), log=True), ValueError),
        (lambda: Numeric(encoding="ordinal"), ValueError),
        (lambda: Numeric(field=3), TypeError),
        (lambda: Category(encoding="dense"), ValueError),
        (lambda: Category(strip=1), TypeError),
        (lambda: Flag(missing="mean"), ValueError),
        (lambda: Vector(size=0), ValueError),
        (lambda: Vector(size=2, scale="robust"), ValueError),
        (lambda: Timestamp(parts={"hour": "sine"}), ValueError),
        (lambda: Timestamp(parts={"weekend": "cyclic"}), ValueError),
        (lambda: Timestamp(parts={}), ValueError),
        (lambda: Timestamp(since=3), TypeError),
        (lambda: Timestamp(since="2020-01-01"), ValueError),
        (lambda: Timestamp(since="2020-01-01T00:00:00Z"), ValueError),
        (lambda: Timestamp(since="2020-01-01T00:00:00", timezone="UTC"), ValueError),
        (lambda: Transform({"a": Numeric(field="")}), ValueError),
        (lambda: Transform({"t": Timestamp(), "t.since": Numeric()}), ValueError),
    ],
)
def test_declarations_that_make_no_sense_are_refused_at_once(declare, error):
    with pytest.raises(error):
        declare()


def test_categories_of_numbers_cannot_be_folded():
    with pytest.raises(ValueError, match="strip and casefold are for strings"):
        Transform({"c": Category(casefold=True)}).fit({"c": [1, 2]})


def test_declarations_are_values():
    first, second = (Timestamp(parts={"hour": "cyclic"}) for _ in range(2))
    assert first == second
    assert len({first, second}) == 1
    assert FIELDS["at"] != first


def test_rows_drawn_for_these_tests_cover_what_they_should():
    table = rows(300, 7)
    features = TRANSFORM.transform(table)
    names = TRANSFORM.get_feature_names_out()
    silent = [name for name, column in zip(names, features.T, strict=True) if not column.any()]
    # buckets, rare categories and what is always zero aside, every feature is used
    assert not [
        name
        for name in silent
        if not name.startswith(
            (
                "hash_wide#",
                "wide=",
                "coded_wide=",
                "bins_many=",
                "at.month=",
                "vector_plain#1",
                "fold=?unseen",
            )
        )
    ]


def test_every_kind_can_be_seen_compared_and_described():
    assert TRANSFORM.diff(TRANSFORM).rows == "same"
    assert all(name in TRANSFORM._repr_html_() for name in FIELDS)
    schema = TRANSFORM.Row.model_json_schema(by_alias=True)
    assert list(schema["properties"]) == READ
    assert schema["properties"]["flag"]["type"] == "boolean"
    assert schema["properties"]["vector"]["type"] == ["array", "null"]
    for row in rows(100, 9):
        model = TRANSFORM.Row.model_validate(row)
        assert TRANSFORM.transform_one(model.model_dump()).tobytes() == TRANSFORM.transform_one(row).tobytes()
