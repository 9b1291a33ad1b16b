"""Bins as the conventions say, counts that add up, JSON that round-trips, and hostile JSON refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inprocml import Category, Corrupt, Hashed, Numeric, PackError, Timestamp, Transform, Unsupported
from inprocml.monitoring import Baseline, NumberBins, ValueBins, build_baseline, layout_of, numeric_edges

TRANSFORM = Transform(
    {
        "delay": Numeric(missing="median"),
        "carrier": Category(missing="slot"),
        "zip": Category(),
        "tail": Hashed(buckets=8),
        "at": Timestamp(timezone="America/New_York", missing="slot"),
        "wall": Timestamp(),
    }
)


def table(count, shift=0):
    start = datetime.fromisoformat("2013-01-07T05:00:00+00:00")
    return [
        {
            "delay": None if i % 10 == 0 else i * 7 % 53 + shift,
            "carrier": None if i % 9 == 0 else ("UA", "AA", "B6")[i % 3] if not shift else f"new{i % 2}",
            "zip": 10_000 + i % 5,
            "tail": f"N{i * 31 % 300:04d}",
            "at": None if i % 8 == 0 else (start + timedelta(hours=i)).isoformat(),
            "wall": f"2013-01-{i % 28 + 1:02d}T{i % 24:02d}:00",
        }
        for i in range(count)
    ]


def baseline(count=800):
    columns = TRANSFORM.fit(table(count)).columns(table(count))
    ranks = np.arange(count) / count
    return build_baseline(
        TRANSFORM.schema, columns, {"p": np.stack([ranks, 1 - ranks], axis=1), "score": ranks}
    )


def expected_edges(values):
    """The conventions, written down once more without numpy's help where that is practical."""
    finite = sorted(value for value in values if np.isfinite(value))
    if not finite:
        return []
    atoms = sorted({value for value in finite if finite.count(value) >= len(finite) / 16})
    rest = [value for value in finite if value not in atoms]
    cuts = max(1, round(16 * len(rest) / len(finite)))
    edges = {*atoms, *(np.nextafter(a, np.inf) for a in atoms), finite[0], np.nextafter(finite[-1], np.inf)}
    for j in range(1, cuts):
        if rest:
            edges.add(float(np.quantile(rest, j / cuts, method="linear")))
    return sorted(edge for edge in edges if np.isfinite(edge))


_numbers = st.floats(-1e9, 1e9) | st.integers(-3, 3).map(float) | st.sampled_from([np.nan, np.inf, -np.inf])


@settings(max_examples=150, deadline=None)
@given(st.lists(_numbers, max_size=120))
def test_edges_are_those_of_the_conventions(values):
    edges = numeric_edges(values)
    assert edges.tolist() == expected_edges(values)
    assert edges.tolist() == numeric_edges(values[::-1]).tolist()
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= 64


def test_a_constant_that_moves_is_seen():
    bins = NumberBins(tuple(numeric_edges([5.0] * 100)))
    before, after, below = (bins.count(np.full(10, value)).counts for value in (5.0, 7.0, 4.0))
    assert len({before, after, below}) == 3


def test_atoms_have_a_bin_of_their_own():
    values = [0.0] * 50 + [float(i) for i in range(1, 51)]
    bins = NumberBins(tuple(numeric_edges(values)))
    counted = bins.count(np.array([0.0, 0.0, 1e-300, -1e-300]))
    assert sorted(counted.counts, reverse=True)[:3] == [2, 1, 1]


@settings(max_examples=100, deadline=None)
@given(st.lists(_numbers, max_size=60), st.lists(_numbers, max_size=60))
def test_number_counts_are_a_partition_by_definition(reference, current):
    bins = NumberBins(tuple(numeric_edges(reference).tolist()))
    counted = bins.count(np.array(current, dtype=np.float64))
    assert counted.rows == len(current)
    assert counted.missing == sum(1 for value in current if np.isnan(value))
    assert counted.infinite == (current.count(-np.inf), current.count(np.inf))
    ends = [-np.inf, *bins.edges, np.inf]
    for place, (low, high) in enumerate(pairwise(ends)):
        inside = [v for v in current if low <= v < high or (v == high == np.inf and place == len(bins.edges))]
        assert counted.counts[place] == len(inside)
    assert len(bins.labels()) == bins.size == len(counted.counts)


def test_values_top_other_unseen_missing():
    known = [f"c{i:03d}" for i in range(100) for _ in range(200 - i)]
    column = np.array([*known, None], dtype=object)
    bins = ValueBins.of(column)
    assert bins.top == tuple(f"c{i:03d}" for i in range(64))
    assert bins.rest == tuple(f"c{i:03d}" for i in range(64, 100))
    counted = bins.count(np.array(["c000", "c099", "c070", "new", None, "c000"], dtype=object))
    assert counted.counts[0] == 2
    assert counted.counts[-3:] == (2, 1, 1)
    assert bins.labels()[-3:] == ["other", "unseen", "missing"]
    assert bins.count(column).counts[-2] == 0


def test_nothing_is_called_unseen_where_the_list_is_not_complete():
    column = np.array([f"N{i:06d}" for i in range(20_000)], dtype=object)
    bins = ValueBins.of(column)
    assert not bins.complete
    assert bins.count(np.array(["something else"], dtype=object)).counts[-3:] == (1, 0, 0)
    long = ValueBins.of(np.array(["a"] * 2 + [f"b{i}" for i in range(64)] + ["c" * 65], dtype=object))
    assert not long.complete
    assert "c" * 65 not in long.rest


def test_ties_and_order_are_no_matter():
    column = np.array(["b", "a", "c", "a", "b"], dtype=object)
    assert ValueBins.of(column) == ValueBins.of(column[::-1])
    assert ValueBins.of(column).top == ("a", "b", "c")


def test_hours_of_the_week_are_local():
    counted = baseline().fields["at"]
    assert counted.rows == 800
    assert counted.missing == 100
    labels = counted.bins.labels()
    monday = TRANSFORM.columns([{**table(2)[1], "at": "2013-01-07T05:30:00Z"}])["at"]
    counts = counted.bins.count(monday).counts
    assert [label for label, count in zip(labels, counts, strict=True) if count] == ["Mon 00"]


def test_every_field_and_output_is_counted_and_sums_to_the_rows():
    found = baseline()
    assert list(found.fields) == list(TRANSFORM.fields)
    assert list(found.outputs) == ["p[0]", "p[1]", "score"]
    for counted in (*found.fields.values(), *found.outputs.values()):
        assert counted.rows == found.rows == 800
        assert len(counted.bins.labels()) == len(counted.counts)


def test_live_rows_are_counted_on_the_same_bins_and_add_up():
    reference = baseline()
    rows = table(100, shift=1000)
    first, second = (reference.count(TRANSFORM.columns(part)) for part in (rows[:37], rows[37:]))
    whole = reference.count(TRANSFORM.columns(rows))
    assert {name: first[name] + second[name] for name in whole} == whole
    assert whole["carrier"].counts[-2] == sum(1 for row in rows if row["carrier"])
    assert whole["delay"].counts[-2] == sum(1 for row in rows if row["delay"] is not None)
    outputs = reference.count_outputs({"p": np.array([[0.5, 2.0]]), "score": [np.inf]})
    assert outputs["p[1]"].counts[-2] == 1
    assert outputs["score"].infinite == (0, 1)
    with pytest.raises(ValueError, match="same bins"):
        _ = whole["delay"] + whole["carrier"]


def test_training_rows_counted_again_give_the_baseline():
    reference = baseline()
    assert reference.count(TRANSFORM.columns(table(800))) == dict(reference.fields)


def test_round_trip():
    text = baseline().to_json()
    again = Baseline.from_json(text)
    assert again == baseline()
    assert again.to_json() == text
    assert Baseline.from_json(text.encode()) == again
    assert json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == text


def test_shapes_that_do_not_fit():
    columns = TRANSFORM.fit(table(50)).columns(table(50))
    with pytest.raises(ValueError, match="same number of rows"):
        build_baseline(TRANSFORM.schema, columns, {"p": [1.0]})
    with pytest.raises(ValueError, match="of shape"):
        build_baseline(TRANSFORM.schema, columns, {"p": np.zeros((50, 2, 2))})


def test_extremes_of_float64_have_finite_edges():
    largest = np.finfo(np.float64).max
    bins = NumberBins(tuple(numeric_edges([-largest, 0.0, largest, 5e-324])))
    assert np.isfinite(bins.edges).all()
    assert bins.count(np.array([largest, -largest, np.inf])).rows == 3


def test_too_much_to_be_read_again_is_refused_when_written():
    bins = ValueBins(tuple(f"{i:04096d}" for i in range(64)), (), complete=True)
    counted = bins.count(np.array([None], dtype=object))
    with pytest.raises(PackError, match="Leave out"):
        Baseline(1, {f"f{i}": counted for i in range(70)}, {}).to_json()


TEXT = baseline(60).to_json()


def changed(kind, /, **changes):
    document = json.loads(TEXT)
    field = next(field for field in document["fields"] if field["kind"] == kind)
    field.update(changes)
    return json.dumps(document)


def top(**changes):
    return json.dumps(json.loads(TEXT) | changes)


BAD = {
    "not JSON": "{",
    "not an object": "[]",
    "no kind": "{}",
    "fields of another type": top(fields={}),
    "a field of another type": top(fields=[3]),
    "more": top(callback="os.system"),
    "rows negative": top(rows=-1),
    "rows that do not match": top(rows=61),
    "rows a float": top(rows=60.0),
    "two fields of one name": top(fields=[json.loads(TEXT)["fields"][0]] * 2),
    "an output of another kind": top(outputs=[json.loads(TEXT)["fields"][1]]),
    "NaN": TEXT.replace('"rows":60', '"rows":NaN'),
    "a key twice": TEXT.replace('"rows":60', '"rows":60,"rows":60'),
    "counts negative": changed("number@1", counts=[-1]),
    "counts short": changed("number@1", counts=[60]),
    "counts true": changed("hour_of_week@1", counts=[True] * 169),
    "counts huge": changed("hour_of_week@1", counts=[2**63] + [0] * 168),
    "edges falling": changed("number@1", edges=[2.0, 1.0], counts=[60, 0, 0, 0]),
    "edges equal": changed("number@1", edges=[1.0, 1.0], counts=[60, 0, 0, 0]),
    "edges without end": changed("number@1", edges=list(range(100))),
    "infinities above all": changed("number@1", infinite=[60, 60]),
    "infinities three": changed("number@1", infinite=[0, 0, 0]),
    "top too long": changed("value@1", top=[f"{i}" for i in range(65)]),
    "top twice": changed("value@1", top=["a", "a"], rest=[], counts=[60, 0, 0, 0, 0]),
    "top in rest": changed("value@1", top=["a"], rest=["a"], counts=[60, 0, 0, 0]),
    "top of two types": changed("value@1", top=["a"], rest=[1], counts=[60, 0, 0, 0]),
    "top not in NFC": changed("value@1", top=["cafe\u0301"], rest=[], counts=[60, 0, 0, 0]),
    "top with half a character": changed("value@1", top=["\ud800"], rest=[], counts=[60, 0, 0, 0]),
    "rest unsorted": changed("value@1", top=[], rest=["b", "a"], counts=[60, 0, 0]),
    "rest long": changed("value@1", top=[], rest=["b" * 65], counts=[60, 0, 0]),
    "complete a number": changed("value@1", complete=1),
    "unrest of two": changed("number@1", unrest=[0.0, 0.0]),
    "unrest of many": changed("number@1", unrest=[0.0] * 100_000),
    "unrest below 0": changed("value@1", unrest=[0.0, -0.1, 0.0]),
    "unrest above 1": changed("hour_of_week@1", unrest=[0.0, 0.0, 1.1]),
    "unrest an object": changed("number@1", unrest={}),
    "unrest in the first kind": top(kind="baseline@1"),
    "once in the second kind": top(kind="baseline@2"),
    "once negative": changed("value@1", once=-1),
    "once a float": changed("value@1", once=1.0),
    "more values once than rows": changed("value@1", once=61),
    "more values once than others": changed("value@1", once=7),
    "values once of a list that is cut": changed("value@1", once=1, complete=False),
    "once of a number": changed("number@1", once=1),
}


def test_earlier_kinds_are_read():
    document = json.loads(TEXT) | {"kind": "baseline@2"}
    for each in document["fields"]:
        each.pop("once", None)
    assert Baseline.from_json(json.dumps(document)) == replace(baseline(60), once={})
    document["kind"] = "baseline@1"
    for each in (*document["fields"], *document["outputs"]):
        del each["unrest"]
    assert Baseline.from_json(json.dumps(document)) == replace(baseline(60), once={})


def test_what_came_once_is_what_new_rows_are_expected_to_bring():
    """Good 1953: of rows left out one by one, those whose value came once had never been seen."""
    column = np.array([*("abc" * 30), *(f"v{place}" for place in range(7)), None], object)
    schema = (
        Transform({"c": Category(missing="slot")}).fit([{"c": value} for value in column.tolist()]).schema
    )
    told = build_baseline(schema, {"c": column})
    assert told.once == {"c": 7}
    assert Baseline.from_json(told.to_json()) == told
    (series,) = layout_of(told).series
    named = dict(zip(series.bins.labels(), series.reference.counts, strict=True))
    assert (named["=a"], named["=v3"], named["unseen"], named["missing"]) == (30, 0, 7, 1)
    assert series.reference.rows == told.rows


@given(st.lists(st.integers(0, 300), max_size=400))
def test_leaving_each_row_out_is_counting_it_among_the_others(values):
    column = np.array(values, object)
    schema = Transform({"c": Category()}).fit([{"c": "a"}]).schema
    told = build_baseline(schema, {"c": column})
    seen = Counter(values)
    expected = sum(seen[value] == 1 for value in values)
    (series,) = layout_of(told).series
    assert series.reference.counts[-2] == expected
    assert series.reference.rows == len(values)
    assert min(series.reference.counts) >= 0


def test_of_two_probabilities_that_mirror_one_another_one_is_watched():
    schema = Transform({"x": Numeric()}).fit([{"x": 1.0}]).schema
    p = np.random.default_rng(0).beta(2, 5, 500).astype(np.float32)

    def watched(*columns):
        told = build_baseline(schema, {"x": p.astype(float)}, {"probability": np.stack(columns, axis=1)})
        return [each.name for each in layout_of(told).series if each.role == "output"]

    assert watched(1 - p, p) == ["probability[1]"]
    assert len(watched(p / 2, 1 - p, p / 2)) == 3


@given(st.integers(0, 2**32 - 1), st.floats(0, 60))
def test_scores_near_0_and_1_are_watched_once_too(seed, steepness):
    margin = np.random.default_rng(seed).normal(size=400) * steepness
    p = (1 / (1 + np.exp(-margin))).astype(np.float32)
    q = (1 / (1 + np.exp(margin))).astype(np.float32)  # tells more apart where p is 1
    told = build_baseline(
        TRANSFORM.schema, TRANSFORM.columns(table(400)), {"probability": np.stack([q, p], 1)}
    )
    read = Baseline.from_json(told.to_json())
    assert list(told.watched_outputs) == list(read.watched_outputs) == ["probability[1]"]


def test_unrest_is_written_and_read_and_belongs_to_the_series():
    told = {("input", "delay"): (0.25, 0.0, 1.0), ("output", "p[0]"): (0.0, 0.5, 0.0)}
    read = Baseline.from_json(replace(baseline(60), unrest=told).to_json())
    assert read.unrest == told
    shown = {(each.role, each.name): each.unrest for each in layout_of(read).series if any(each.unrest)}
    assert shown == told


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_hostile_text_is_corrupt(text):
    with pytest.raises(Corrupt, match=r"^the baseline cannot be read: .*Take the file") as caught:
        Baseline.from_json(text)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("text", [top(kind="baseline@4"), changed("number@1", kind="sketch@1")])
def test_kinds_of_another_release_are_unsupported(text):
    with pytest.raises(Unsupported, match="Upgrade inprocml"):
        Baseline.from_json(text)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20, unique=True))
def test_no_two_bins_have_one_name(values):
    labels = NumberBins(tuple(sorted({value + 0.0 for value in values}))).labels()
    assert len(set(labels)) == len(labels)


def test_names_of_bins_are_as_short_as_tells_them_apart():
    since_1970 = NumberBins(tuple(1_700_000_000.0 + second for second in range(4)))
    assert since_1970.labels()[1:3] == ["[1700000000, 1700000001)", "[1700000001, 1700000002)"]
    assert NumberBins((5.0, 5.000000000000001, 7.123456789)).labels()[:3] == [
        "[-inf, 5)",
        "[5, 5)",
        "[5, 7.12346)",
    ]


def test_a_baseline_fits_the_schema_that_it_was_built_for():
    made = baseline()
    again = Baseline.from_json(made.to_json())
    assert again.fitting(TRANSFORM.schema) is again


@pytest.mark.parametrize(
    "names", [("ghost", "delay"), ("delay", "carrier"), ("at", "delay"), ("tail.", "delay")]
)
def test_a_baseline_of_columns_that_rows_do_not_have_is_refused(names):
    """Loaded, it would let no row be counted."""
    given, taken = names
    made = baseline()
    fields = {name: counted for name, counted in made.fields.items() if name != given}
    fields[given] = made.fields["carrier" if given == "tail." else taken]
    other = replace(made, fields=fields, once={})
    with pytest.raises(Corrupt, match="column '.*' that rows do not have"):
        other.fitting(TRANSFORM.schema)
