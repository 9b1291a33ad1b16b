"""Counts of workers are the counts of one process, bit for bit; and a record says all of a tally."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.monitoring.counting.kit import BASELINE, FORM, TRANSFORM, output_columns, rows_of, tally_of

from inprocml import Category, Numeric, Transform
from inprocml.monitoring import build_baseline
from inprocml.monitoring.counting import Form, Frequent, Tally
from inprocml.monitoring.series import layout_of

ROWS = rows_of(np.random.default_rng(2), 400, 0.5, new=0.05)


def exact(tally):
    """What is integers: all but the sums and squares of numbers, whose rounding depends on the order."""
    ends = tally.moments[:, 2:].tolist()
    return tally.numbers, tally.counts.tolist(), tally.infinite.tolist(), ends


def test_counts_are_those_of_the_baseline_on_the_same_rows():
    tally = tally_of(ROWS)
    columns = BASELINE.count(TRANSFORM.columns(ROWS))
    answered = BASELINE.count_outputs({"probability": np.stack(list(output_columns(ROWS).values()), axis=1)})
    parts = tally.form.layout.parts(tally.counts)
    for series, part in zip(FORM.layout.series, parts, strict=True):
        group = columns if series.role == "input" else answered
        assert part.tolist() == list(group[series.name].counts)
    assert tally.rows == 400


@given(st.lists(st.integers(0, 400), max_size=6), st.randoms())
def test_workers_have_counted_what_one_process_would_have(cuts, chance):
    bounds = [0, *sorted(cuts), 400]
    parts = [tally_of(ROWS[a:b]) for a, b in itertools.pairwise(bounds)]
    chance.shuffle(parts)
    merged = Tally(FORM)
    for part in parts:
        merged.merge(part)
    whole = tally_of(ROWS)
    assert exact(merged) == exact(whole)
    np.testing.assert_allclose(merged.moments, whole.moments, rtol=1e-12)


@given(st.integers(0, 400))
def test_a_record_brings_back_the_tally(count):
    tally = tally_of(ROWS[:count])
    tally.numbers["dropped"] = 7
    again = Tally.from_bytes(FORM, tally.to_bytes())
    assert exact(again) == exact(tally)
    assert np.array_equal(again.moments, tally.moments)
    assert {k: v.counts for k, v in again.names.items()} == {k: v.counts for k, v in tally.names.items()}
    assert len(tally.to_bytes()) == FORM.size


def test_the_names_of_values_that_training_never_saw_are_kept():
    place = [each.name for each in FORM.layout.series].index("carrier")
    counts = tally_of(ROWS).names[place].counts
    assert set(counts) == {"new0", "new1", "new2"}
    assert sum(counts.values()) == sum(row["carrier"].startswith("new") for row in ROWS)


def test_moments_are_those_of_the_finite_values():
    place = [each.name for each in FORM.layout.series].index("delay")
    known = np.array([row["delay"] for row in ROWS if row["delay"] is not None])
    total, squares, low, high = tally_of(ROWS).moments[place]
    assert total == pytest.approx(known.sum())
    assert squares == pytest.approx((known**2).sum())
    assert (low, high) == (known.min(), known.max())


def test_infinities_are_counted_apart_and_are_in_no_moment():
    column = np.array([1.0, np.inf, -np.inf, np.inf, np.nan])
    schema = Transform({"x": Numeric(missing="mean")}).fit([{"x": 1.0}, {"x": 2.0}]).schema
    form = Form(layout_of(build_baseline(schema, {"x": np.array([1.0, 2.0])})))
    tally = Tally(form)
    tally.add({"x": column}, {})
    assert tally.infinite.tolist() == [[1, 2]]
    assert tally.moments.tolist() == [[1.0, 1.0, 1.0, 1.0]]
    assert tally.counts.sum() == 5


def test_all_or_nothing_is_counted():
    tally = tally_of(ROWS[:10])
    before = exact(tally)
    columns = TRANSFORM.columns(ROWS[:3])
    with pytest.raises(KeyError):
        tally.add({name: columns[name] for name in ("delay", "zip")}, output_columns(ROWS[:3]))
    with pytest.raises(ValueError, match="one length"):
        tally.add(columns, output_columns(ROWS[:4]))
    assert exact(tally) == before


def test_tallies_of_other_bins_do_not_add_up():
    schema = Transform({"x": Category(min_count=1)}).fit([{"x": "a"}]).schema
    other = Form(layout_of(build_baseline(schema, {"x": np.array(["a"], object)})))
    with pytest.raises(ValueError, match="same bins"):
        tally_of([]).merge(Tally(other))


@pytest.mark.parametrize("at", [0, 8 * 6, 8 * 40])
def test_a_record_with_a_count_below_zero_is_refused(at):
    record = bytearray(tally_of(ROWS).to_bytes())
    record[at : at + 8] = (-1).to_bytes(8, "little", signed=True)
    with pytest.raises(ValueError, match="below zero"):
        Tally.from_bytes(FORM, bytes(record))


def test_a_record_of_another_length_is_refused():
    with pytest.raises(ValueError, match="bytes"):
        Tally.from_bytes(FORM, tally_of([]).to_bytes() + b"\0")


def test_a_million_values_never_seen_take_no_more_room_than_a_few():
    place = [each.name for each in FORM.layout.series].index("carrier")
    rows = [{**ROWS[0], "carrier": "often"}] * 30 + [{**ROWS[0], "carrier": "\U0001f600" * 64}] * 20
    tally = tally_of(rows)
    for start in range(0, 1_000_000, 50_000):
        tally.names[place].add((f"value{n}", 1) for n in range(start, start + 50_000))
        tally.names[place].add([("often", 2_000)])
    assert len(tally.names[place].counts) <= 32
    assert next(iter(tally.names[place].counts)) == "often"
    assert len(tally.to_bytes()) == FORM.size
    assert next(iter(Tally.from_bytes(FORM, tally.to_bytes()).names[place].counts)) == "often"


@given(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(1, 50)), max_size=60), st.integers(1, 6))
def test_a_summary_errs_by_less_than_its_share(values, most):
    true = {value: sum(n for other, n in values if other == value) for value, _ in values}
    half = len(values) // 2
    first, second = Frequent(most), Frequent(most)
    first.add(values[:half])
    second.add(values[half:])
    first.merge(second)
    bound = sum(true.values()) / (most + 1)
    assert len(first.counts) <= most
    for value, count in true.items():
        assert count - bound <= first.counters.get(value, 0) <= first.counts.get(value, 0) <= count
        assert value in first.counts or count <= bound
    assert all(first.counts.values())
    assert len(first.counts) == min(most, len(true)), "names stay as long as there is room"
    if len(true) <= most:
        assert first.counts == true


@pytest.mark.parametrize("apart", [4, 20, 30])
def test_names_that_stay_take_no_counts_from_a_frequent_value(apart):
    names, rows = Frequent(), 9_000
    for row in range(0, rows, apart):
        names.add([("often", 1), *((f"new{row + n}", 1) for n in range(1, apart))])
    assert rows // apart - rows / 33 <= names.counts["often"] <= rows // apart
    assert len(names.counts) == 32


def named(values, **room):
    """A tally of rows with these carriers."""
    tally = Tally(FORM, **room)
    for start in range(0, len(values), 40):
        rows = [{**ROWS[0], "carrier": value} for value in values[start : start + 40]]
        tally.add(TRANSFORM.columns(rows), output_columns(rows))
    return tally


@settings(deadline=None, max_examples=30)
@given(
    st.dictionaries(st.integers(0, 120), st.integers(1, 6), max_size=60),
    st.integers(0, 30),
    st.integers(0, 300),
    st.randoms(),
)
def test_of_many_names_each_count_is_a_lower_bound_and_frequent_ones_are_there(rare, often, cut, chance):
    true = Counter({f"new{value}": times for value, times in rare.items()})
    true += Counter(newest=often)
    values = [*true.elements(), *["UA"] * 20]
    chance.shuffle(values)
    place = [each.name for each in FORM.layout.series].index("carrier")
    total = Tally(FORM)
    for part in (named(values[:cut]), named(values[cut:])):
        total.merge(Tally.from_bytes(FORM, part.to_bytes()))
    found, exact = total.new_values(place)
    assert all(1 <= times <= true[value] for value, times in found.items())
    assert {value for value, times in true.items() if times > true.total() / 33} <= set(found)
    assert bool(found) == bool(true)
    assert not exact or found == true
    assert exact or len(true) > 32
    whole, exact = named(values, names=200).new_values(place)
    assert exact
    assert list(whole.items()) == sorted(true.items(), key=lambda one: (-one[1], one[0]))[:32]


def test_of_columns_without_names_nothing_is_said():
    place = [each.name for each in FORM.layout.series].index("delay")
    assert tally_of(ROWS).new_values(place) == ({}, False)


def test_names_stay_when_each_value_comes_as_often_as_all_others():
    place = [each.name for each in FORM.layout.series].index("carrier")
    found, exact = named([f"new{n % 40:02}" for n in range(4_000)]).new_values(place)
    assert len(found) == 32
    assert all(1 <= times <= 100 for times in found.values())
    assert not exact


def test_sums_beyond_float64_leave_a_record_that_can_be_read():
    transform = Transform({"x": Numeric(missing="median")}).fit([{"x": 1.0}, {"x": 2.0}, {"x": None}] * 20)
    form = Form(layout_of(build_baseline(transform.schema, transform.columns([{"x": 1.0}, {"x": 2.0}] * 20))))
    tally = Tally(form)
    for sign in (1, -1, 1):
        tally.add({"x": sign * np.full(3, 1.7e308)}, {})
    again = Tally.from_bytes(form, tally.to_bytes())
    again.merge(tally)
    assert again.moments.tolist() == [[np.inf, np.inf, -1.7e308, 1.7e308]]
