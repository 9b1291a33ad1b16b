"""Rows given as a table against training: at once, as one window, and not as rows that were served."""

from __future__ import annotations

import pandas as pd
import pytest
from tests.conftest import make_rows

from inprocml import InvalidRow, Model
from inprocml.monitoring import Reference
from inprocml.monitoring.verdict import State, Test


@pytest.fixture
def model(store):
    with Model(store, name="given") as model:
        yield model


def moved(rows):
    return [{**row, "amount": 3 * row["amount"] + 500, "country": "Atlantis"} for row in rows]


def test_rows_of_training_are_no_news(model):
    rows, _ = make_rows(400)
    report = model.drift(rows)
    assert report.state is State.OK
    assert report.reference is Reference.TRAIN
    assert report.rows == report.health.sampled == 400
    assert {found.state for found in report.findings} == {State.OK}
    assert "400 rows compared" in str(report)


@pytest.mark.parametrize("kind", ["rows", "frame", "columns", "iterator"])
def test_what_moved_is_named_from_any_table(model, kind):
    rows = moved(make_rows(300)[0])
    frame = pd.DataFrame(rows)
    given = {"rows": rows, "frame": frame, "columns": frame.to_dict("list"), "iterator": iter(rows)}[kind]
    report = model.drift(given)
    assert report.state is State.DRIFT
    assert {"amount", "country"} <= {found.name for found in report.drifted}
    country = report["country"]
    assert (country.test, dict(country.new_values)) == (Test.UNSEEN, {"Atlantis": 300})
    assert country.why == "country: 100 % unseen, 0 % in training"
    assert sum(country.current) == 300
    assert "Atlantis" in report._repr_html_()


def test_names_of_new_values_are_counted_exactly_however_many_there_are(model):
    rows, _ = make_rows(1_200)
    for place, row in enumerate(rows):
        row["country"] = f"land{place % 100:02}" if place < 1_000 else "Atlantis"
    report = model.drift(iter(rows))
    wanted = {"Atlantis": 200} | {f"land{place:02}": 10 for place in range(31)}
    assert list(report["country"].new_values.items()) == list(wanted.items())
    assert report["country"].new_values_exact
    said = " ".join(str(report).split())
    assert "Unseen values: Atlantis (200), land00 (10)" in said
    assert "land03 (10) and at least 27 more" in said


def test_few_rows_give_no_verdict(model):
    for count in (1, 49):
        report = model.drift(moved(make_rows(count)[0]))
        assert report.state is State.INSUFFICIENT
        assert report.drifted == ()
        assert report.rows == count
    assert model.drift([]).state is State.INSUFFICIENT


def test_they_are_not_counted_as_served(model):
    model.drift(make_rows(100)[0])
    assert model.drift().health.seen == 0


def test_no_monitoring_is_needed(store):
    with Model(store, monitoring=False) as model:
        assert model.drift(make_rows(100)[0]).state is State.OK


def test_a_bad_row_is_told_with_its_place(model):
    rows, _ = make_rows(60)
    rows[41] = {"amount": "much"}
    with pytest.raises(InvalidRow) as caught:
        model.drift(rows)
    assert caught.value.row == 41


def test_rows_are_compared_with_training_alone(model):
    with pytest.raises(ValueError, match="leave reference= out"):
        model.drift(make_rows(60)[0], reference="live")


@pytest.mark.parametrize("given", [None, 7, 0.5, b"train", object(), True])
def test_what_is_no_rows_is_refused_and_never_taken_for_the_rows_served(model, given):
    with pytest.raises(TypeError, match=f"drift takes a table .*'live'; not {type(given).__name__}$"):
        model.drift(given)
    with pytest.raises(TypeError, match=f"skew takes a table .*; not {type(given).__name__}$"):
        model.skew(given)


@pytest.mark.parametrize("named", ["later", "", 7, None])
def test_what_is_no_reference_is_named(model, named):
    with pytest.raises(ValueError, match="'train' or 'live'"):
        model.drift(reference=named)


@pytest.mark.parametrize("tolerance", [None, "0.1", True])
def test_a_tolerance_is_a_number(model, tolerance):
    with pytest.raises(TypeError, match="tolerance must be a number"):
        model.skew([], tolerance=tolerance)
