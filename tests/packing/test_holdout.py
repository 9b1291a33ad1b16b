"""Labelled rows that were not trained on: counted when a model is packed, compared with when it serves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from tests.conftest import make_rows

import inprocml
from inprocml import Category, Classes, InvalidRow, Model, Numeric, PackError, Regression, Transform
from inprocml.errors import Corrupt, Unsupported
from inprocml.monitoring.baseline import Baseline
from inprocml.monitoring.quality import ClassTally, NumberTally, held_out
from inprocml.monitoring.quality.tally import UNIT

ROWS, LABELS = make_rows(600)
HELD, TRUTHS = make_rows(500, seed=7)


@pytest.fixture(scope="module")
def trained():
    transform = Transform({"amount": Numeric(missing="median", scale="standard"), "country": Category()})
    return transform, LogisticRegression().fit(transform.fit_transform(ROWS), LABELS)


@pytest.fixture
def packed(trained, tmp_path):
    def packed(**more):
        transform, model = trained
        return inprocml.pack(
            tmp_path / "fraud",
            transform=transform,
            model=model,
            output=Classes(["ok", "fraud"]),
            baseline=ROWS,
            **more,
        )

    return packed


def test_held_out_rows_are_counted_by_score_and_label(packed, trained):
    bundle = packed(holdout=(HELD, TRUTHS))
    transform, model = trained
    scores = model.predict_proba(transform.transform(HELD))[:, 1]
    tally = bundle.holdout
    assert isinstance(tally, ClassTally)
    assert tally.labelled == tally.seen == 500
    assert tally.positives.sum() == TRUTHS.sum()
    assert tally.rows.sum() == 500
    assert tally.sums.sum() / UNIT == pytest.approx(scores.sum(), abs=1e-3)
    assert tally.confusion.tolist() == [
        [int(((truth == TRUTHS) & ((scores > 0.5) == answer)).sum()) for answer in (0, 1)] for truth in (0, 1)
    ]


@pytest.mark.parametrize(
    "spell",
    [
        lambda labels: [("ok", "fraud")[label] for label in labels],
        lambda labels: labels,
        lambda labels: labels.tolist(),
        lambda labels: labels[:, None],
        lambda labels: iter(labels.tolist()),
    ],
    ids=["names", "array", "list", "column", "iterator"],
)
def test_labels_are_spelt_as_labels_of_training_are(packed, spell):
    assert packed(holdout=(HELD, spell(TRUTHS))).holdout.positives.sum() == TRUTHS.sum()


def test_the_card_shows_what_was_measured(packed):
    bundle = packed(holdout=(HELD, TRUTHS))
    accuracy = bundle.holdout.confusion.trace() / 500
    for card in (str(bundle.card), bundle.card.html, inprocml.Bundle.open(bundle.path).card.html):
        assert "not trained on" in card
        assert f"{accuracy:.4g}" in card
    plain = packed()
    assert "not trained on" not in plain.card
    assert "not trained on" not in plain.card.html


def test_without_a_holdout_training_labels_are_no_reference(packed):
    bundle = packed(labels=LABELS)
    assert bundle.holdout is None
    assert "holdout" not in json.loads((bundle.path / "baseline.json").read_bytes())
    with Model(bundle.path.parent) as model:
        assert model.quality().settings.reference is None


def test_a_model_compares_with_its_holdout_by_itself(packed):
    bundle = packed(holdout=(HELD, TRUTHS))
    with Model(bundle.path.parent) as model:
        reference = model.quality().settings.reference
    assert reference.document() == bundle.holdout.document()


def test_a_regression_is_compared_by_its_errors(tmp_path):
    transform = Transform({"amount": Numeric(scale="standard")})
    rows, held = ([{"amount": row["amount"]} for row in each] for each in (ROWS, HELD))
    truths = np.array([row["amount"] * 2 + index % 3 for index, row in enumerate(held)])
    model = LinearRegression().fit(transform.fit_transform(rows), [row["amount"] * 2 for row in rows])
    pack = {"transform": transform, "model": model, "output": Regression(), "baseline": rows}
    bundle = inprocml.pack(tmp_path / "price", holdout=(held, truths), **pack)
    tally = bundle.holdout
    assert isinstance(tally, NumberTally)
    assert tally.labelled == 500
    assert tally.counts[1] / 500 == pytest.approx(1.0, abs=0.01)
    for wrong in ([*truths[:-1], float("nan")], [*truths[:-1], "1"], [True] * 500, truths[:-1]):
        with pytest.raises(PackError, match="holdout"):
            inprocml.pack(tmp_path / "price", holdout=(held, wrong), **pack)


@pytest.mark.parametrize(
    ("holdout", "said"),
    [
        ((HELD, TRUTHS[:-1]), "500 rows, and 499 labels"),
        ((HELD, ["maybe"] * 500), "500 of 500 are neither"),
        ((HELD, [None] * 500), "500 of 500 are neither"),
        ((HELD, [[1, 2]] * 500), "500 of 500 are neither"),
        ((HELD, 5), "no list of values|and 1 labels"),
        ((ROWS, LABELS), "is the training table"),
        (([], []), "0 rows"),
        (HELD, "give a pair"),
        ((HELD,), "give a pair"),
        (5, "give a pair"),
    ],
)
def test_a_holdout_that_cannot_be_is_refused_by_name(packed, holdout, said):
    with pytest.raises(PackError, match=said) as refused:
        packed(holdout=holdout)
    assert "holdout" in str(refused.value)


def test_a_row_that_breaks_the_schema_is_refused_as_one_of_the_baseline(packed):
    with pytest.raises(InvalidRow, match="row 3"):
        packed(holdout=([*HELD[:3], {**HELD[3], "amount": "much"}, *HELD[4:]], TRUTHS))


# --- what a file may say ----------------------------------------------------------------------------------


def document_of(bundle):
    return json.loads((bundle.path / "baseline.json").read_bytes())


def test_a_baseline_with_a_holdout_is_read_as_it_was_written(packed):
    bundle = packed(holdout=(HELD, TRUTHS))
    text = (bundle.path / "baseline.json").read_text()
    assert Baseline.from_json(text).to_json() == text


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        [],
        {},
        {"kind": "classes@1"},
        {"kind": "classes@1", "classes": 2, "counts": [-1] * 708},
        {"kind": "classes@1", "classes": 2, "counts": [0.5] * 708},
        {"kind": "classes@1", "classes": 1, "counts": [0] * 708},
        {"kind": "classes@1", "classes": 2, "counts": [0] * 9_000},
        {"kind": "classes@1", "classes": 2, "counts": [0] * 708, "more": 1},
        {"kind": "numbers@1", "counts": [1.0] * 7},
        {"kind": "numbers@1", "counts": ["1"] * 8},
    ],
)
def test_a_holdout_of_another_form_is_refused(packed, wrong):
    document = document_of(packed(holdout=(HELD, TRUTHS))) | {"holdout": wrong}
    with pytest.raises(Corrupt, match="the baseline"):
        Baseline.from_json(json.dumps(document))


def test_a_holdout_of_a_later_kind_is_unsupported(packed):
    document = document_of(packed(holdout=(HELD, TRUTHS)))
    document["holdout"]["kind"] = "classes@2"
    with pytest.raises(Unsupported, match="classes@2"):
        Baseline.from_json(json.dumps(document))


def forged(change):
    tally = ClassTally(2)
    tally.saw(np.full(10, 0.25), np.zeros(10, np.int64))
    tally.label_rows(np.full(10, 0.25), np.zeros(10, np.int64), np.zeros(10))
    change(tally)
    return tally.document()


@pytest.mark.parametrize(
    "change",
    [
        lambda tally: tally.counts.fill(0),
        lambda tally: tally.rows.fill(2**40),
        lambda tally: tally.sums.fill(2**62),
        lambda tally: tally.positives.fill(11),
        lambda tally: tally.seen_rows.fill(3),
        lambda tally: tally.confusion.fill(3),
    ],
)
def test_counts_that_no_rows_can_have_are_refused(change):
    assert held_out(forged(lambda _: None), 2).labelled == 10
    with pytest.raises(ValueError):
        held_out(forged(change), 2)


@pytest.mark.parametrize("sums", [[0.0] * 8, [1e300] * 8, [-1.0] * 8, [1e12] * 8])
def test_sums_that_no_rows_can_have_are_refused(sums):
    with pytest.raises(ValueError):
        held_out({"kind": "numbers@1", "counts": sums}, 0)


def test_a_holdout_of_other_classes_than_the_models_is_refused(packed):
    bundle = packed(holdout=(HELD, TRUTHS))
    with pytest.raises(ValueError, match="3 classes"):
        held_out(document_of(bundle)["holdout"], 3)
    with pytest.raises(ValueError, match="numbers@1"):
        held_out(document_of(bundle)["holdout"], 0)
