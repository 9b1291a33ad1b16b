"""What ``diff`` promises: identity, soundness of "compatible", and the layout of features."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.transform.transform_rows import FIELDS, GOOD, fitted, tables, training_rows

from inprocml import Category, Hashed, InvalidRow, Numeric, Timestamp, Transform, TransformError

ROWS = training_rows()
ORDINARY = 1e30
OTHER = {
    "plain": [Numeric(missing=1), Numeric(log=True, clip=(0, 9)), Category()],
    "median": [
        Numeric(),
        Numeric(missing=0, log=True),
        Numeric(missing="median", scale="minmax"),
        Numeric(missing="mean"),
    ],
    "mean": [Numeric(missing="mean", log=True, clip=(0, 1))],
    "constant": [Numeric(missing=0.25), Numeric(missing=0.25, clip=(0, 1)), Numeric(log=True)],
    "log": [Numeric(), Numeric(missing=1, scale="standard")],
    "carrier": [Category(missing="slot"), Category(), Hashed(buckets=3, missing="slot")],
    "zip": [Category(missing="slot"), Category(min_count=9, missing="slot")],
    "origin": [Category(missing="slot"), Hashed(buckets=4)],
    "tail": [Hashed(buckets=8, missing="slot"), Hashed(buckets=7)],
    "route": [Hashed(buckets=16, missing="slot")],
    "at": [Timestamp(timezone="UTC", missing="slot"), Timestamp(timezone="America/New_York", missing="slot")],
    "wall": [Timestamp(missing="slot"), Timestamp(parts=("hour", "day"))],
}


def fit(fields, start):
    """Fit on the rows from ``start`` on that have what these fields require."""
    required = {name for name, spec in fields.items() if spec.missing is None}
    rows = [
        {name: row[name] for name in fields}
        for row in ROWS[start:]
        if all(row[name] is not None for name in required)
    ]
    try:
        return Transform(fields).fit(rows)
    except (TransformError, InvalidRow):  # nothing to learn, or values that another kind refuses
        assume(False)


@st.composite
def pairs(draw):
    """Two fitted transforms: on other rows, with some fields declared otherwise, left out, or elsewhere."""
    names = draw(st.lists(st.sampled_from(list(FIELDS)), min_size=2, max_size=6, unique=True))
    fields = {name: draw(st.sampled_from([FIELDS[name], *OTHER[name]])) for name in names}
    others = dict(fields)
    for name in draw(st.sets(st.sampled_from(names), max_size=2)):
        others[name] = draw(st.sampled_from([FIELDS[name], *OTHER[name]]))
    for name in draw(st.sets(st.sampled_from(names), max_size=1)):
        if draw(st.booleans()):
            del others[name]
    if draw(st.booleans()):
        added = draw(st.sampled_from(list(FIELDS)))
        others.setdefault(added, FIELDS[added])
    return fit(fields, 0), fit(others, draw(st.sampled_from([0, 20])))


@settings(max_examples=40, deadline=None)
@given(pairs())
def test_nothing_changes_from_one_to_itself(pair):
    one = pair[0]
    found = one.diff(Transform.from_json(one.to_json()))
    assert {field.verdict for field in found.fields.values()} == {"same"}
    assert found.rows == "same"
    assert found.same_features
    assert found == one.diff(one)


def accepted(transform, row):
    try:
        return transform.transform_one(row).tobytes()
    except InvalidRow:
        return None


@settings(max_examples=200, deadline=None)
@given(pairs(), tables())
def test_a_row_is_accepted_again_where_every_field_is_compatible(pair, rows):
    one, other = pair
    found = one.diff(other)
    for whole in [*rows, *ROWS[:3]]:
        row = {name: value for name, value in whole.items() if name in one.fields}
        if any(isinstance(value, float) and abs(value) > ORDINARY for value in row.values()):
            continue
        before, after = accepted(one, row), accepted(other, row)
        if before is not None and found.rows in {"same", "compatible"}:
            assert after is not None
        if before is not None and after is not None and found.same_features:
            assert before == after
        if before is not None and after is None:
            assert found.rows in {"needs default", "breaking"}


@settings(max_examples=60, deadline=None)
@given(pairs())
def test_the_layout_says_where_every_feature_went(pair):
    one, other = pair
    found = one.diff(other)
    before, after = list(one.get_feature_names_out()), list(other.get_feature_names_out())
    assert found.same_layout == (before == after)
    assert set(found.added) == set(after) - set(before)
    assert set(found.removed) == set(before) - set(after)
    assert all(before.index(name) != after.index(name) for name in found.moved)
    assert found.same_features == (one.to_json() == other.to_json())
    assert {*one.schema.names, *other.schema.names} == set(found.fields)


def verdict(before, after, rows, other_rows=None):
    one = Transform({"keep": Numeric(missing=0), "a": before} if before else {"keep": Numeric(missing=0)})
    other = Transform({"keep": Numeric(missing=0), "a": after} if after else {"keep": Numeric(missing=0)})
    rows = [{"keep": 0, "a": value} for value in rows]
    other_rows = rows if other_rows is None else [{"keep": 0, "a": value} for value in other_rows]
    strip = lambda spec, rows: rows if spec else [{"keep": 0}]
    return one.fit(strip(before, rows)).diff(other.fit(strip(after, other_rows)))


WALL = ["2013-01-01T05:00:00"]
INSTANT = ["2013-01-01T05:00:00Z"]


@pytest.mark.parametrize(
    ("before", "after", "values", "others", "expected", "why"),
    [
        (Category(), Category(), ["x"], ["x", "y"], "compatible", "features changed"),
        (
            Numeric(scale="standard"),
            Numeric(scale="standard"),
            [1, 2],
            [1, 4],
            "compatible",
            "features changed",
        ),
        (Numeric(), Numeric(missing=0), [1], None, "compatible", "may be left out now"),
        (None, Numeric(missing=0), [1], None, "compatible", "new and may be left out"),
        (None, Numeric(), [1], None, "needs default", "new and required"),
        (Numeric(missing=0), Numeric(), [1], None, "needs default", "required now"),
        (Numeric(), None, [1], None, "breaking", "no field any more"),
        (Category(), Category(), ["x"], [1], "breaking", "dtype changed from str to int"),
        (Category(), Hashed(buckets=2), ["x"], None, "breaking", "kind changed from category to text"),
        (Timestamp(), Timestamp(timezone="UTC"), WALL, INSTANT, "breaking", "wallclock to instant"),
        (
            Timestamp(timezone="UTC"),
            Timestamp(timezone="Asia/Kolkata"),
            INSTANT,
            None,
            "breaking",
            "timezone changed from UTC to Asia/Kolkata",
        ),
        (Numeric(), Numeric(log=True), [1], None, "breaking", "lower limit rose to -1"),
        (Numeric(log=True), Numeric(), [1], None, "compatible", "features changed"),
        (Numeric(missing=0), Numeric(log=True), [1], None, "breaking", "required now"),
    ],
)
def test_verdicts_and_their_reasons(before, after, values, others, expected, why):
    found = verdict(before, after, values, others)
    assert found.fields["a"].verdict == found.rows == expected
    assert why in "; ".join(found.fields["a"].reasons)
    assert found.fields["keep"].verdict == "same"
    assert why in repr(found)
    assert why in found._repr_html_()


def test_what_was_learnt_and_by_how_much_it_moved():
    found = verdict(
        Numeric(missing="mean", scale="minmax"), Numeric(missing="mean", scale="minmax"), [1, 3], [2, 6]
    )
    moved = {change.what: change.by for change in found.fitted}
    assert moved == {"fill": 2, "offset": 1, "divisor": 2}
    assert {change.entry for change in found.fitted} == {"a"}
    assert found.declared == ()
    assert found.same_layout
    assert not found.same_features
    assert "2 -> 4 (+2)" in repr(found)
    (change,) = verdict(Category(), Category(), ["x", "y"], ["y", "z", "w"]).fitted
    assert (change.gained, change.lost, change.by) == (("w", "z"), ("x",), None)
    assert str(change) == "2 more ('w', 'z'), 1 fewer ('x')"


def test_changed_arguments_are_not_what_was_learnt():
    found = verdict(Numeric(scale="standard"), Numeric(scale="minmax"), [1, 2])
    assert [(change.what, change.before, change.after) for change in found.declared] == [
        ("scale", "standard", "minmax")
    ]
    assert {change.what for change in found.fitted} == {"offset", "divisor"}
    (kind,) = verdict(Numeric(), Category(), [1]).declared
    assert (kind.what, kind.before, kind.after, kind.by) == ("kind", "numeric@1", "category@1", None)


def test_the_report_escapes_what_it_shows_and_speaks_of_nothing_that_is_the_same():
    found = verdict(Category(), Category(), ["x"], ["<script>"])
    shown = found._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    same = fitted().diff(fitted())
    assert repr(same) == f"rows: same ({len(GOOD)} of {len(GOOD)} fields are the same)\nfeatures: same"
    assert "<table" not in same._repr_html_()


def test_both_must_be_fitted():
    with pytest.raises(TransformError, match="not fitted"):
        fitted().diff(Transform({"a": Numeric()}))
    with pytest.raises(TransformError, match="not fitted"):
        Transform({"a": Numeric()}).diff(fitted())


NUMERIC = st.builds(
    Numeric,
    missing=st.sampled_from([None, "mean", 0.5]),
    scale=st.sampled_from(["none", "standard"]),
    log=st.booleans(),
    clip=st.sampled_from([None, (0, 2)]),
)


@settings(max_examples=200, deadline=None)
@given(NUMERIC, NUMERIC, st.sampled_from([-3.0, -1.0, 0.0, 9.9e29, 1e30, -1e30, None]))
def test_limits_and_gaps_of_numbers_decide_what_is_accepted_again(before, after, value):
    one, other = (Transform({"a": spec}).fit([{"a": 1.0}, {"a": 4.0}]) for spec in (before, after))
    found = one.diff(other)
    if accepted(one, {"a": value}) is not None and found.rows in {"same", "compatible"}:
        assert accepted(other, {"a": value}) is not None
    if before == after:
        assert found.rows == "same"
