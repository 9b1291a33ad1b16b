"""Whether a new version may take an old one's place: every point, both ways, and files of rows."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression
from tests.conftest import make_rows, pack_small

import inprocml
from inprocml import Bundle, Category, Classes, Numeric, Regression, Transform
from inprocml.checking import Check, Limits, Report, check, read_rows
from inprocml.checking.metrics import measure
from inprocml.checking.scored import Answers
from inprocml.errors import PackError


def by(report, what):
    return next(one for one in report.checks if one.what == what)


@pytest.fixture
def old(store):
    return Bundle.open(store / "1")


@pytest.fixture
def labelled():
    rows, labels = make_rows(300, seed=9)
    return pd.DataFrame(rows), [("ok", "fraud")[label] for label in labels]


def packed(path, spec, *, estimator=None, output=None, target=None, metrics=None):
    rows, labels = make_rows()
    transform = Transform(spec)
    estimator = (estimator or LogisticRegression()).fit(
        transform.fit_transform(rows), labels if target is None else target
    )
    return inprocml.pack(
        path,
        transform=transform,
        model=estimator,
        output=output or Classes(["ok", "fraud"]),
        baseline=rows,
        metrics=metrics,
    )


def test_a_version_may_take_its_own_place(old, labelled):
    report = check(old, against=old, table=labelled[0], labels=labelled[1], limits=Limits(disagreement=0.0))
    assert report.passed
    assert {one.what for one in report.checks} >= {
        "rows",
        "output",
        "size",
        "rows of the file",
        "answers otherwise",
        "accuracy",
        "auc",
        "f1",
        "log_loss",
        "latency of one row",
    }
    assert all(one.passed is not False for one in report.checks)


def test_a_worse_version_fails_on_the_figures_that_are_worse(store, old, labelled):
    worse = pack_small(store, seed=200)
    report = check(worse, against=old, table=labelled[0], labels=labelled[1])
    assert not report.passed
    assert by(report, "accuracy").passed is False
    better = check(old, against=worse, table=labelled[0], labels=labelled[1])
    assert by(better, "accuracy").passed
    allowed = Limits(metrics=dict.fromkeys(["accuracy", "auc", "f1", "log_loss"], 1.0))
    assert check(worse, against=old, table=labelled[0], labels=labelled[1], limits=allowed).passed


def test_answers_otherwise_are_counted_and_limited(store, old, labelled):
    other = pack_small(store, seed=200)
    one, two = (
        inprocml.Model(path).predict_many(labelled[0]) for path in (store / "1", store / other.version)
    )
    share = sum(a.value != b.value for a, b in zip(one, two, strict=True)) / len(one)
    report = check(other, against=old, table=labelled[0], limits=Limits(disagreement=share))
    assert by(report, "answers otherwise").passed
    assert by(report, "answers otherwise").new == f"{share:.4g}"
    report = check(other, against=old, table=labelled[0], limits=Limits(disagreement=share - 0.001))
    assert by(report, "answers otherwise").passed is False


def test_rows_that_the_new_version_refuses_fail_by_name(tmp_path, old, labelled):
    spec = {"amount": Numeric(), "country": Category()}
    narrower = packed(tmp_path / "n", spec)
    report = check(narrower, against=old)
    assert by(report, "rows").passed is False
    table = labelled[0].assign(amount=math.nan)
    refused = by(check(narrower, against=old, table=table), "rows of the file")
    assert refused.passed is False
    assert refused.new.startswith("refused by the new version: amount (")
    assert refused.new.endswith("(row 0)")
    assert refused.old == "300"
    assert by(report, "rows").new in {"breaking: amount", "needs default: amount"}
    assert by(check(narrower, against=old, limits=Limits(breaking=True)), "rows").passed


def test_other_labels_or_another_kind_of_answer_fail(tmp_path, old):
    spec = {"amount": Numeric(missing="median"), "country": Category()}
    other = packed(tmp_path / "a", spec, output=Classes(["ok", "risky"]))
    assert by(check(other, against=old), "output").passed is False
    number = packed(
        tmp_path / "b", spec, estimator=LinearRegression(), output=Regression(), target=np.arange(400.0)
    )
    assert by(check(number, against=old), "output").passed is False


def test_size_is_limited(store, old):
    assert by(check(old, against=old, limits=Limits(size=0.5)), "size").passed is False
    assert by(check(old, against=old, limits=Limits(size=1.0)), "size").passed


def test_without_labels_the_metrics_given_when_packed_are_compared(tmp_path):
    spec = {"amount": Numeric(missing="median"), "country": Category()}
    one = packed(tmp_path / "s", spec, metrics={"auc": 0.9, "loss": 0.3, "only_old": 1.0})
    two = packed(tmp_path / "s", spec, metrics={"auc": 0.8, "loss": 0.2})
    report = check(two, against=one)
    assert by(report, "as packed: auc").passed is False
    assert by(report, "as packed: loss").passed
    assert by(report, "as packed: only_old").passed is None
    limits = Limits(metrics={"only_old": 0.1, "auc": 0.2})
    demanded = check(two, against=one, limits=limits)
    assert by(demanded, "as packed: auc").passed
    assert by(demanded, "as packed: only_old").passed is False, "a limit on what is missing is not kept"


def test_a_regression_is_judged_by_its_errors(tmp_path):
    rows, _ = make_rows()
    target = np.array([row["amount"] * 2 for row in rows])
    spec = {"amount": Numeric(missing="median"), "country": Category()}
    one = packed(tmp_path / "s", spec, estimator=LinearRegression(), output=Regression(), target=target)
    two = packed(tmp_path / "s", spec, estimator=LinearRegression(), output=Regression(), target=target + 50)
    report = check(two, against=one, table=rows, labels=target.tolist())
    assert by(report, "rmse").passed is False
    assert float(by(report, "mae").new) == pytest.approx(50, rel=1e-3)
    assert float(by(report, "mean change of the answers").new) == pytest.approx(50, rel=1e-3)


def test_a_damaged_version_is_refused_before_anything_is_compared(store, old):
    damaged = store / "1" / "model.onnx"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(inprocml.Corrupt):
        check(Bundle.open(store / "1"), against=old)


def test_labels_that_the_model_does_not_know_say_which_row(old, labelled):
    labels = [*labelled[1][:3], "f" * 50, *labelled[1][4:]]
    with pytest.raises(PackError, match=rf"the label '{'f' * 40}' of row 3, in column 'truth', is none"):
        check(old, against=old, table=labelled[0], labels=labels, column="truth")
    with pytest.raises(PackError, match="of row 3 is none of the model's"):
        check(old, against=old, table=labelled[0], labels=labels)


def test_paths_are_opened(store):
    limits = Limits(latency=50)
    assert check(store / "1", against=str(store / "1"), limits=limits).new == "new 1"
    with pytest.raises(inprocml.BundleError):
        check(store / "7", against=store / "1")


@pytest.mark.parametrize("table", [[], pd.DataFrame({"amount": [], "country": []})])
def test_a_table_without_rows_proves_nothing(old, table):
    with pytest.raises(PackError, match="table holds no rows"):
        check(old, against=old, table=table)


def test_who_refuses_a_row_is_told(tmp_path, old, labelled):
    narrower = packed(tmp_path / "n", {"amount": Numeric(), "country": Category()})
    table = labelled[0].assign(amount=math.nan)
    refused = by(check(old, against=narrower, table=table), "rows of the file")
    assert refused.old.startswith("refused by the old version: amount (")
    assert refused.new == "300"
    assert refused.passed is False


@pytest.mark.parametrize("kind", ["other labels", "a number"])
def test_with_another_output_answers_and_metrics_are_left_out(tmp_path, old, labelled, kind):
    spec = {"amount": Numeric(missing="median"), "country": Category()}
    if kind == "a number":
        more = {"estimator": LinearRegression(), "output": Regression(), "target": np.arange(400.0)}
    else:
        more = {"output": Classes(["ok", "risky"])}
    report = check(packed(tmp_path / "a", spec, **more), against=old, table=labelled[0], labels=labelled[1])
    assert by(report, "output").passed is False
    assert by(report, "answers and metrics").verdict == "-"
    assert "accuracy" not in {one.what for one in report.checks}


@pytest.mark.parametrize(
    "limits", [{"latency": -1.0}, {"metrics": {"auc": math.nan}}, {"disagreement": -0.1}]
)
def test_impossible_limits_are_refused(limits):
    with pytest.raises(ValueError, match="the limit of"):
        Limits(**limits)


@given(
    st.lists(st.tuples(st.floats(0.001, 0.999), st.booleans()), min_size=2, max_size=60).filter(
        lambda pairs: len({label for _, label in pairs}) == 2
    )
)
def test_auc_is_the_chance_that_a_positive_ranks_above_a_negative(pairs):
    scores = np.array([score for score, _ in pairs])
    answers = Answers([score > 0.5 for score in scores], np.column_stack([1 - scores, scores]))
    figures = measure(answers, [label for _, label in pairs], (False, True))
    above = [(a > b) + 0.5 * (a == b) for a, positive in pairs if positive for b, other in pairs if not other]
    assert figures["auc"] == pytest.approx(sum(above) / len(above))
    assert figures["accuracy"] == pytest.approx(np.mean([(s > 0.5) == label for s, label in pairs]))


def test_a_truth_of_one_class_has_no_auc():
    answers = Answers([True, False], np.array([[0.2, 0.8], [0.7, 0.3]]))
    assert "auc" not in measure(answers, [True, True], (False, True))


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_file_of_rows_is_read_as_the_schema_takes_it(tmp_path, old, labelled, kind):
    frame = labelled[0].assign(label=labelled[1], note="not the schema's")
    path = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        getattr(frame, f"to_{kind}")(path, index=False)
    table, labels = read_rows(path, old.transform.schema, "label")
    assert labels == labelled[1]
    assert list(table[0] if kind == "jsonl" else table.columns) == ["amount", "country"]
    np.testing.assert_array_equal(old.transform.transform(table), old.transform.transform(labelled[0]))


def test_digits_in_a_csv_stay_text_where_the_schema_wants_text(tmp_path):
    rows = [{"code": f"0{n % 3}", "x": float(n)} for n in range(30)]
    transform = Transform({"code": Category(), "x": Numeric()}).fit(rows)
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    table, labels = read_rows(tmp_path / "rows.csv", transform.schema, None)
    assert labels is None
    np.testing.assert_array_equal(transform.transform(table), transform.transform(rows))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("rows.pkl", b"\x80", "no file of rows"),
        ("rows.parquet", b"junk", "cannot be read"),
        ("rows.csv", b"", "rows.csv holds no rows"),
        ("rows.csv", b"amount,label\n", "rows.csv holds no rows"),
        ("rows.jsonl", b"\n", "rows.jsonl holds no rows"),
        ("rows.csv", b"amount\n1\n", "no column 'label'.*amount"),
        ("rows.jsonl", b"{", "cannot be read"),
        ("rows.jsonl", b"[1]\n", "no objects"),
        ("rows.jsonl", b'{"amount": 1}\n', "without 'label'"),
    ],
)
def test_a_file_that_is_no_table_says_so(tmp_path, old, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PackError, match=complaint):
        read_rows(tmp_path / name, old.transform.schema, "label")


def test_a_report_shows_in_a_terminal_and_escapes_in_a_notebook():
    report = Report(
        "new 2", "old 1", (Check("<b>", "1", "2", "", passed=False), Check("size", "1", "1", "", None))
    )
    assert "FAILED: <b>" in repr(report)
    assert "<b>" not in report._repr_html_()
    assert report.to_dict()["passed"] is False
