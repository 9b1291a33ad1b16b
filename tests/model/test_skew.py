"""Logged rows replayed: what training would compute, and the first field that serving has not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import make_rows

from inprocml import Bundle, Model
from inprocml.monitoring.verdict import State


@pytest.fixture
def model(store):
    with Model(store, name="logged") as model:
        yield model


@pytest.fixture
def transform(store):
    return Bundle.open(store / "1").transform


@pytest.fixture
def log(model, transform):
    """300 rows as a service would log them: the row, its features, its answer."""
    rows, _ = make_rows(300)
    features = transform.transform(rows)
    answers = model.predict_many(rows)
    return [
        {**row, "features": made.tolist(), "value": answer.value, "probability": answer.probability}
        for row, made, answer in zip(rows, features, answers, strict=True)
    ]


def names(transform):
    return transform.get_feature_names_out().tolist()


def test_what_training_computes_is_no_skew(model, log):
    seen = model.drift().health.seen
    report = model.skew(json.loads(json.dumps(log)))
    assert (report.rows, report.differing, report.refused, report.first) == (300, 0, 0, None)
    assert report.compared == ("features", "value", "probability")
    assert report.by_field == {}
    assert report.drift.state is State.OK
    assert report.drift.rows == 300
    assert str(report).startswith("No skew")
    assert model.drift().health.seen == seen


def test_a_log_without_rows_is_no_evidence(model):
    report = model.skew([])
    assert report.rows == 0
    assert str(report).startswith("Nothing was compared: the log has no rows")


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_the_first_field_that_differs_is_named(_packed, data):
    transform = Bundle.open(_packed / "1").transform
    rows, _ = make_rows(40)
    features = transform.transform(rows)
    row = data.draw(st.integers(0, 39))
    column = data.draw(st.integers(0, features.shape[1] - 1))
    later = data.draw(st.lists(st.tuples(st.integers(row + 1, 40), st.integers(0, features.shape[1] - 1))))
    wrong = features.copy()
    for place, at in [(row, column), *later]:
        if place < 40:
            wrong[place, at] += 0.5
    with Model(_packed, version="1", name="m") as model:
        log = [{**row, "features": made.tolist()} for row, made in zip(rows, wrong, strict=True)]
        report = model.skew(iter(log))
    assert report.first is not None
    assert (report.first.row, report.first.part) == (row, names(transform)[column])
    assert report.first.fields == ("amount" if names(transform)[column].startswith("amount") else "country",)
    assert report.first.expected == float(features[row, column])
    assert report.first.found == float(wrong[row, column])
    assert report.differing == (np.abs(wrong - features) > 0).any(axis=1).sum()
    assert sum(report.by_field.values()) >= report.differing


@pytest.mark.parametrize("kind", ["frame", "columns"])
def test_frames_and_columns_are_logs_too(model, log, kind):
    log[7]["features"][0] = 9.0
    frame = pd.DataFrame(log)
    frame["note"] = "not a field"
    given = frame if kind == "frame" else frame.to_dict("list")
    report = model.skew(given)
    assert (report.rows, report.differing, report.first.row) == (300, 1, 7)


def test_features_of_another_implementation_go_by_name(model, transform, log):
    for row in log:
        made = dict(zip(names(transform), row["features"], strict=True))
        row["features"] = {name: made[name] for name in names(transform)[:1]}
    log[3]["features"][names(transform)[0]] = 7.5
    report = model.skew(log)
    assert (report.differing, report.first.row, report.first.found) == (1, 3, 7.5)
    log[2]["features"]["amuont"] = 1.0
    assert model.skew(log).first.found == "amuont"


def test_answers_that_differ_are_the_model_s(model, log):
    log[5]["probability"] = 0.0
    log[9]["value"] = "nobody"
    report = model.skew(log)
    assert (report.first.row, report.first.part, report.first.fields) == (5, "probability", ())
    assert dict(report.by_field) == {"probability": 1, "value": 1}
    assert "row 5: probability is " in str(report)


@pytest.mark.parametrize("kind", ["rows", "columns", "numpy", "iterator"])
@pytest.mark.parametrize("part", ["value", "probability"])
def test_an_answer_that_was_logged_as_nan_differs(model, log, kind, part):
    for row in log:
        row[part] = np.float32("nan") if kind == "numpy" else float("nan")
    columns = {name: [row[name] for row in log] for name in log[0]}
    given = {"columns": columns, "numpy": columns, "iterator": iter(log)}.get(kind, log)
    report = model.skew(given)
    assert (report.differing, dict(report.by_field)) == (300, {part: 300})
    assert str(report.first).endswith("in training and nan in the log")


def test_an_answer_of_nan_is_equal_to_nan(model, log, monkeypatch):
    from inprocml.serving import Servable

    true = Servable.predictions
    unknown = {"probability": float("nan")}
    monkeypatch.setattr(
        Servable, "predictions", lambda *given: [replace(each, **unknown) for each in true(*given)]
    )
    nan = [row | unknown for row in log]
    assert model.skew(nan).differing == 0
    assert model.skew(log).differing == 300


def test_what_was_not_logged_does_not_differ(model, log):
    frame = pd.DataFrame(log)
    frame.loc[5:, "probability"] = float("nan")
    frame["value"] = float("nan")  # how pandas reads a column of nothing
    report = model.skew(frame)
    assert (report.differing, report.compared) == (0, ("features", "probability"))
    frame.loc[2, "probability"] = 7.0
    assert (model.skew(frame).differing, model.skew(frame).first.row) == (1, 2)
    for row in log[5:]:
        row["probability"] = None
    assert model.skew(log).differing == 0


def test_rows_that_training_refuses_are_told(model, log):
    log[4]["amount"] = "a secret"
    log[6]["colour"] = "<b>"
    report = model.skew(log)
    assert (report.refused, report.differing, report.rows) == (2, 2, 300)
    assert (report.first.row, report.first.part, report.first.fields) == (4, "refused", ("amount",))
    assert "a secret" not in str(report)
    assert report.drift.rows == 298
    assert "<b>" not in report._repr_html_()


def test_a_log_without_features_is_compared_with_training_alone(model, log):
    rows = [{"amount": row["amount"] * 9 + 400, "country": row["country"]} for row in log]
    report = model.skew(rows)
    assert report.compared == ()
    assert report.differing == 0
    assert report.drift.state is State.DRIFT
    assert "amount" in {found.name for found in report.drift.drifted}


@pytest.mark.parametrize(
    "features",
    [[], [1.0], "nonsense", [None] * 5, ["x"] * 5, 5, [float("inf")] * 5, [1e300] * 5, {}, [[1]] * 5],
    ids=repr,
)
def test_features_of_any_make_are_compared_and_never_raise(model, log, features):
    log[0]["features"] = features
    report = model.skew(log[:60])
    assert report.rows == 60
    assert (report.first is None) == (features == {})
    assert len(repr(report)) < 20_000


def test_a_tolerance_for_rounded_logs(model, log):
    for row in log:
        row["features"] = [round(value, 3) for value in row["features"]]
    assert model.skew(log).differing > 0
    assert model.skew(log, tolerance=1e-3).differing == 0
    with pytest.raises(ValueError, match="tolerance"):
        model.skew(log, tolerance=float("nan"))


def test_no_rows(model):
    report = model.skew([])
    assert (report.rows, report.first, report.drift.state) == (0, None, State.INSUFFICIENT)


@pytest.mark.parametrize("width", [40, 72, 120])
def test_text_keeps_to_its_width(model, log, width):
    log[1]["features"][0] = 3.25
    text = model.skew(log).text(width)
    assert max(map(len, text.splitlines())) <= width
    assert "3.25 in the log" in " ".join(text.split())
