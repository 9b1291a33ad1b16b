"""pack as a whole: what it keeps, what it refuses, and that nothing half-made is ever visible."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import skl2onnx
from sklearn.linear_model import LinearRegression, LogisticRegression

import inprocml
from inprocml import Bundle, Classes, InvalidRow, Numeric, PackError, ParityError, Regression, Transform, pack
from inprocml.backends.onnx import OnnxBackend
from inprocml.packing import parity
from inprocml.packing.labels import count_labels
from inprocml.packing.provenance import commit
from inprocml.packing.sample import GOLDEN_ROWS, SAMPLE_ROWS, golden_rows, sample_rows


@pytest.fixture
def logistic(fitted):
    return fitted["logistic"][0]


def test_versions_stand_beside_each_other(pack_into, logistic, tmp_path):
    first, second = pack_into(logistic), pack_into(logistic, version="1.5")
    assert [first.path, second.path] == [tmp_path / "late" / "1", tmp_path / "late" / "1.5"]
    assert pack_into(logistic).version == "2"
    assert Bundle.open(first.path).digest == first.digest
    assert first.name == "late"


def test_the_store_s_parents_are_made(flights, logistic, tmp_path):
    bundle = pack(
        tmp_path / "a" / "b",
        transform=flights.transform,
        model=logistic,
        output=Classes([0, 1]),
        baseline=flights.table,
    )
    assert bundle.path == tmp_path / "a" / "b" / "1"


def test_any_table_gives_the_same_content(flights, pack_into, logistic):
    frame = pd.DataFrame(flights.table)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    bundles = [pack_into(logistic, baseline=table) for table in (flights.table, frame, rows)]
    for name in ("golden.json", "baseline.json", "model.onnx", "transform.json"):
        assert len({bundle.manifest.files[name].sha256 for bundle in bundles}) == 1, name


def test_metrics_labels_and_card_are_kept(flights, pack_into, logistic):
    bundle = pack_into(
        logistic, metrics={"auc": np.float64(0.75), "rows": 300}, labels=flights.late, card="Made for tests."
    )
    assert bundle.manifest.metrics == {"auc": 0.75, "rows": 300.0}
    assert bundle.manifest.label_counts == tuple(np.bincount(flights.late))
    assert "Made for tests." in bundle.card
    assert "| auc | 0.75 |" in bundle.card


def test_the_manifest_tells_no_one_s_name_or_place(pack_into, logistic, tmp_path, monkeypatch):
    monkeypatch.setenv("USER", "alice-in-tests")
    text = (pack_into(logistic).path / "manifest.json").read_text()
    for secret in (str(tmp_path), f"{Path.home()}/", os.uname().nodename, "alice-in-tests"):
        assert secret not in text
    packages = json.loads(text)["provenance"]["packages"]
    assert {"inprocml", "numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime"} <= set(packages)


def test_the_commit_is_read_without_git(tmp_path):
    assert commit(tmp_path) is None
    run = lambda *words: (
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    )
    run("git", "init", "-q", "-b", "main")
    assert commit(tmp_path) is None
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    run("git", *identity, "commit", "-q", "--allow-empty", "-m", "x")
    head = run("git", "rev-parse", "HEAD").strip()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    assert commit(tmp_path / "deep" / "er") == head
    run("git", "pack-refs", "--all")
    assert commit(tmp_path) == head
    run("git", "worktree", "add", "-q", "--detach", "tree")
    assert commit(tmp_path / "tree") == head
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/../../../etc/passwd\n")
    assert commit(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"transform": Transform({"a": Numeric()})}, "transform is not fitted.*fit_transform"),
        ({"transform": "t"}, r"give an inprocml\.Transform"),
        ({"output": "late"}, r"Classes\(\[\.\.\.\]\) or inprocml\.Regression"),
        ({"baseline": []}, "baseline has no rows"),
        ({"metrics": {"auc": float("nan")}}, "'auc' is not a finite number"),
        ({"metrics": {"auc": "high"}}, "'auc' is not a finite number"),
        ({"metrics": {"": 1.0}}, "finite number with a short name"),
        ({"labels": [0, 1]}, "labels has 2 entries, the baseline 300 rows"),
        ({"labels": [7] * 300}, "300 of 300 are neither"),
        ({"version": "../1"}, "cannot be a name"),
        ({"parity_limit": -1.0}, "0 or greater"),
        ({"parity_limit": float("nan")}, "0 or greater"),
        ({"runtime": "tensorflow"}, "'onnx' or 'torch'"),
    ],
)
def test_wrong_arguments_are_told(pack_into, logistic, tmp_path, changes, told):
    with pytest.raises(PackError, match=told):
        pack_into(logistic, **changes)
    assert not list((tmp_path / "late").glob("*"))


@pytest.mark.parametrize(
    "model", [object(), None, 3, lambda rows: rows, SimpleNamespace(predict=print), dict]
)
def test_a_model_of_no_known_kind_lists_those_there_are(pack_into, model):
    with pytest.raises(
        PackError, match=r"scikit-learn classifier or regressor, a torch.nn.Module, or an ONNX file"
    ):
        pack_into(model)


def test_rows_in_the_order_of_time_tell_how_far_stretches_of_them_lie_apart(flights, pack_into, logistic):
    four = {name: [*column] * 4 for name, column in flights.table.items()}
    assert pack_into(logistic, baseline=four).baseline.stretches == ()
    four["delay"][300:450] = [120.0 + place % 40 for place in range(150)]  # a storm
    (found,) = pack_into(logistic, baseline=four).baseline.stretches
    assert found.rows == 150
    # all of it is so far apart that nothing could lie beyond; what counts are stretches that hold half of it
    assert 0.7 < min(found.train, found.live) <= max(found.train, found.live) < 0.935


def test_a_baseline_that_breaks_the_schema_names_row_and_field(flights, pack_into, logistic):
    with pytest.raises(InvalidRow) as caught:
        pack_into(logistic, baseline=flights.table | {"distance": ["far"] * 300})
    assert set(caught.value.issues) == {"distance"}


def test_packing_into_a_bundle_is_refused(flights, pack_into, logistic):
    folder = pack_into(logistic).path
    with pytest.raises(PackError, match="one bundle, not a store"):
        pack(
            folder,
            transform=flights.transform,
            model=logistic,
            output=Classes([0, 1]),
            baseline=flights.table,
        )


def test_missing_skl2onnx_names_the_extra(pack_into, logistic, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "skl2onnx", None)
    with pytest.raises(PackError, match=r"pip install 'inprocml\[sklearn\]'"):
        pack_into(logistic)


def test_a_packed_model_that_differs_is_refused_with_rows_and_distance(flights, pack_into, tmp_path):
    model = LogisticRegression(max_iter=300).fit(flights.features, flights.late)
    honest = model.predict_proba

    def drifting(features):
        answers = honest(features)
        for row, by in ((5, 0.25), (9, 0.125)):
            here = (features == flights.features[row]).all(axis=1)
            answers[here] += np.where(answers[here] > 0.5, -by, by)
        return answers

    model.predict_proba = drifting  # the graph is made from the coefficients
    with pytest.raises(ParityError, match=r"2 of 300 .*parity_limit=") as caught:
        pack_into(model)
    assert caught.value.rows == (5, 9)
    assert caught.value.distance == pytest.approx(0.25, abs=1e-5)
    assert caught.value.limit == parity.LIMIT
    assert not (tmp_path / "late").exists()
    bundle = pack_into(model, parity_limit=0.3)
    assert bundle.parity.limit == 0.3
    assert bundle.parity.distance == pytest.approx(0.25, abs=1e-5)


def test_a_converter_that_forgets_the_link_is_caught(flights, fitted, pack_into, monkeypatch, tmp_path):
    """As skl2onnx 1.20 did with a Poisson regressor: a graph that runs, of the right shape, and no word."""
    linear = fitted["linear"][0]
    really = skl2onnx.to_onnx

    class Poisson(LinearRegression):
        def predict(self, features):
            return np.exp(super().predict(features) / 1000)

    def forgetful(model, **options):
        return really(linear, **options) if isinstance(model, Poisson) else really(model, **options)

    monkeypatch.setattr(skl2onnx, "to_onnx", forgetful)
    with pytest.raises(ParityError, match="300 of 300"):
        pack_into(Poisson().fit(flights.features, flights.value), Regression())
    assert not (tmp_path / "late").exists()
    pack_into(linear, Regression())  # the stub alone refuses nothing


def test_a_limit_of_zero_is_taken_at_its_word(pack_into, logistic):
    with pytest.raises(ParityError):
        pack_into(logistic, parity_limit=0.0)


def test_what_was_written_is_replayed_before_it_is_visible(pack_into, logistic, tmp_path, monkeypatch):
    real, calls = OnnxBackend.run, []

    def last_one_lies(self, inputs):
        calls.append(len(next(iter(inputs.values()))))
        answers = real(self, inputs)
        return {name: 1 - value for name, value in answers.items()} if calls.count(16) else answers

    monkeypatch.setattr(OnnxBackend, "run", last_one_lies)
    with pytest.raises(inprocml.Corrupt, match="golden"):
        pack_into(logistic)
    assert list((tmp_path / "late").iterdir()) == []


# parity, by itself


FORTY = {"features": np.zeros((40, 1), np.float32)}


def measured(packed, trained, output, limit=1e-4):
    return parity.measure(
        packed,
        lambda part, batch: packed[: len(part["features"])],
        lambda part: trained,
        FORTY,
        output=output,
        limit=limit,
        reference="a test",
        rows=np.arange(40) * 10,
    )


def test_regression_is_judged_by_size_and_spread():
    trained = np.linspace(-1e6, 1e6, 40)
    assert measured(trained + 10.0, trained, Regression()).distance == pytest.approx(
        10 / trained.std(), rel=1e-3
    )
    with pytest.raises(ParityError) as caught:
        measured(trained * np.where(np.arange(40) == 3, 1.01, 1.0), trained, Regression())
    assert caught.value.rows == (30,)
    assert caught.value.distance == pytest.approx(0.01)
    constant = np.full(40, 0.0)
    assert measured(constant, constant, Regression()).distance == 0


def test_logits_are_compared_as_probabilities():
    trained = np.array([[1000.0, -1000.0]] * 40)
    assert measured(trained + 1, trained, Classes(["a", "b"], scores="logits")).distance == 0


def test_flips_are_counted_within_the_limit():
    trained = np.array([[0.5 + 1e-6, 0.5 - 1e-6]] * 40)
    found = measured(trained[:, ::-1], trained, Classes(["a", "b"]))
    assert (found.flips, found.unit) == (40, "probability")


def test_nan_is_beyond_every_limit():
    trained = np.zeros(40)
    with pytest.raises(ParityError):
        measured(np.full(40, np.nan), trained, Regression(), limit=1e9)
    with pytest.raises(PackError, match="trained model answers NaN"):
        measured(trained, np.full(40, np.nan), Regression())


def test_a_model_that_depends_on_its_batch_is_noticed():
    trained = np.linspace(0, 1, 40)

    def packed(part, batch):
        return trained[: len(part["features"])] + (0.5 if batch == 2 else 0)

    with pytest.raises(ParityError):
        parity.measure(
            trained,
            packed,
            lambda part: trained,
            FORTY,
            output=Regression(),
            limit=1e-4,
            reference="a test",
            rows=np.arange(40),
        )


# the sample and the labels


def test_golden_rows_cover_missing_unseen_and_extremes():
    count = 5000
    features = np.zeros((count, 3), np.float32)
    features[1234, 0], features[2345, 0], features[2222, 2], features[3456, 2] = 9, -9, 1, 2
    columns = {"a": np.zeros(count), "b": np.array([None if i == 777 else "x" for i in range(count)], object)}
    columns["a"][4000] = np.nan
    chosen = golden_rows(features, columns, {"b": 2})
    assert len(chosen) == len(set(chosen)) == GOLDEN_ROWS
    assert {0, 1, 777, 1234, 2222, 2345, 3456, 4000} <= set(chosen.tolist())
    sample = sample_rows(count, chosen)
    assert sample[:GOLDEN_ROWS].tolist() == chosen.tolist()
    assert len(sample) == len(set(sample)) == SAMPLE_ROWS


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17])
def test_small_tables_are_taken_whole(count):
    chosen = golden_rows(np.zeros((count, 2), np.float32), {"a": np.zeros(count)}, {})
    assert len(set(chosen.tolist())) == min(count, GOLDEN_ROWS)
    assert sorted(sample_rows(count, chosen)) == list(range(count))


def test_one_row_packs(pack_into, logistic, flights):
    one = {name: list(column[:1]) for name, column in flights.table.items()}
    assert pack_into(logistic, baseline=one).manifest.golden.rows == 1


@pytest.mark.parametrize(
    ("labels", "classes", "counts"),
    [
        (["b", "a", "b"], None, (1, 2)),
        (np.array([[1], [0], [1]]), None, (1, 2)),
        ([7, 3, 7], (3, 7), (1, 2)),
        (pd.Series([1.0, 0.0, 1.0]), (0, 1), (1, 2)),
        ([True, False, True], None, (1, 2)),
    ],
)
def test_labels_are_counted_by_name_class_or_position(labels, classes, counts):
    assert count_labels(labels, Classes(["a", "b"]), classes, 3) == counts


def test_targets_of_a_regression_are_not_counted():
    assert count_labels([1.5, 2.5], Regression(), None, 2) is None


def test_messages_say_what_to_do():
    """Every PackError ends in an instruction: a sentence of its own after what was found."""
    with pytest.raises(PackError) as caught:
        pack("x", transform=None, model=None, output=None, baseline=[])
    assert re.search(r"[;.] \w", str(caught.value))
