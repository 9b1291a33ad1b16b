"""What a model says of the rows that it answered: drift, and the truth that comes later."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest
from tests.conftest import make_rows, wait_for

import inprocml
from inprocml import BundleError, DriftReport, Model, Monitoring, Unavailable
from inprocml.model.watched import Exported
from inprocml.monitoring import Feedback
from inprocml.monitoring.quality.sqlite import SqliteStore
from inprocml.monitoring.verdict import State


@pytest.fixture
def model(store, tmp_path):
    with Model(store, name="watched", monitoring=Monitoring(folder=tmp_path / "counts")) as model:
        yield model


def test_a_report_without_rows_gives_no_verdict(model):
    report = model.drift()
    assert isinstance(report, DriftReport)
    assert report.state is State.INSUFFICIENT
    assert report.drifted == ()
    assert (report.rows, report.health.seen) == (0, 0)
    assert {found.name for found in report.findings} == {
        "amount",
        "country",
        "probability[1]",  # the other one is its mirror
    }
    assert "amount" in str(report)
    assert "<" in report._repr_html_()


@pytest.mark.parametrize("reference", ["train", "live"])
def test_every_door_is_counted(model, row, reference):
    rows, _ = make_rows(50)
    model.predict(row)
    model.predict_many(rows)
    list(model.predict_many(iter(rows)))
    report = model.drift(reference)
    assert DriftReport.from_dict(report.to_dict()) == report
    assert report.health.sampled == report.health.seen == 101
    assert report.reference == reference


async def test_coroutines_are_counted_too(model, row):
    await model.apredict(row)
    assert model.drift().health.sampled == 1


def test_values_that_training_never_saw_are_named(model, row):
    for _ in range(5):
        model.predict({**row, "country": "Atlantis"})
    found = model.drift()["country"]
    assert dict(found.new_values) == {"Atlantis": 5}
    assert found.measures.unseen == 1.0


def test_values_of_private_fields_are_named_nowhere(store, row, tmp_path):
    settings = Monitoring(folder=tmp_path, private=["country"])
    with Model(store, name="discreet", monitoring=settings) as model:
        for _ in range(60):
            model.predict({**row, "country": "jane.doe@example.org"})
        for report in (model.drift(), model.drift([{**row, "country": "jane.doe@example.org"}] * 60)):
            found = report["country"]
            assert found.labels == ("category 1", "category 2", "category 3", "other", "unseen", "missing")
            assert (found.measures.unseen, dict(found.new_values)) == (1.0, {})
            told = report.text() + report.html() + json.dumps(report.to_dict())
            assert "jane" not in told
            assert "=us" not in told
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"jane" in path.read_bytes()]


def test_names_that_were_kept_before_a_field_was_private_are_not_told(store, row, tmp_path):
    for private in ((), ("country",)):
        with Model(store, monitoring=Monitoring(folder=tmp_path, private=private)) as model:
            model.predict({**row, "country": "Atlantis"})
            report = model.drift()
    assert report.health.seen == 2
    assert dict(report["country"].new_values) == {}


@pytest.mark.parametrize(("name", "said"), [("town", "does not have"), ("amount", "have ends")])
def test_a_private_field_that_hides_nothing_is_refused(store, row, name, said):
    with Model(store, monitoring=Monitoring(private=[name])) as model, pytest.raises(BundleError, match=said):
        model.predict(row)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"private": "country"}, TypeError),
        ({"private": [1]}, TypeError),
        ({"private": 7}, TypeError),
        ({"private": ["country"], "slices": {"country": ["us"]}}, ValueError),
    ],
)
def test_private_is_names_of_fields_that_are_told_nowhere_else(given, error):
    with pytest.raises(error, match="private"):
        Monitoring(**given)


@pytest.mark.parametrize(
    "slices", [{"c": "abc"}, {"c": b"abc"}, {"c": 7}, {"c": iter("ab")}, ["c"], "c", None]
)
def test_slices_are_several_values_of_each_field(slices):
    with pytest.raises(TypeError, match=r"^slices must be several values of each field, as in slices=\{"):
        Monitoring(slices=slices)


def test_a_number_without_a_bound_is_told_without_one():
    with pytest.raises(ValueError, match="^labels_within is 0 and must be a finite number above 0$"):
        Monitoring(labels_within=0)
    with pytest.raises(
        ValueError, match="^usual_labels is 2 and must be a finite number above 0, at most 1$"
    ):
        Monitoring(usual_labels=2)


def test_refused_rows_are_not_counted(model, row):
    with pytest.raises(inprocml.InvalidRow):
        model.predict({**row, "amount": "much"})
    with pytest.raises(Unavailable):
        model.close() or model.predict(row)


def test_another_reference_is_no_reference(model):
    with pytest.raises(ValueError, match="yesterday"):
        model.drift("yesterday")
    with pytest.raises(
        ValueError, match="a DataFrame, a mapping of columns, a list of rows.*a list of their paths"
    ):
        model.drift("nofile.csv")


def test_each_version_has_its_own_report(model, row, add_version):
    model.predict(row)
    assert model.drift().health.seen == 1
    add_version()
    assert model.reload() == "2"
    report = model.drift()
    assert (report.version, report.health.seen) == ("2", 0)


def test_a_label_that_comes_at_once_finds_its_prediction(model, row):
    prediction = model.predict(row)
    assert model.feedback(prediction.id, "fraud") is Feedback.MATCHED
    assert model.feedback(prediction.id, "fraud") is Feedback.DUPLICATE
    assert model.quality().counters.outcomes["matched"] == 1


def test_labels_that_fit_nothing_are_counted_and_raise_nothing(model, row):
    prediction = model.predict(row)
    assert model.feedback("nobody-1", "ok") is Feedback.UNMATCHED
    for label in ("maybe", 1, None, float("nan"), ["ok"], b"ok"):
        assert model.feedback(prediction.id, label) is Feedback.INVALID
    for strange in (7, None, "", "x" * 10_000, "a\n-1"):
        assert model.feedback(strange, "ok") in {Feedback.INVALID, Feedback.UNMATCHED}
    assert model.feedback(prediction.id, "ok") is Feedback.MATCHED


def test_a_label_for_a_version_that_was_swapped_away_counts_for_that_one(model, row, add_version):
    before = model.predict(row)
    add_version()
    model.reload()
    after = model.predict(row)
    assert model.feedback(before.id, "ok") is Feedback.MATCHED
    assert model.quality().counters.outcomes["matched"] == 0
    assert model.feedback(after.id, "ok") is Feedback.MATCHED
    assert model.quality().counters.outcomes["matched"] == 1


def test_figures_are_those_of_the_labels(store, tmp_path):
    settings = Monitoring(
        folder=tmp_path, slices={"country": ("de", "us")}, usual_labels=1.0, labels_within=3600
    )
    with Model(store, monitoring=settings) as model:
        rows, labels = make_rows(300, seed=9)
        right = 0
        for row, label in zip(rows, labels, strict=True):
            prediction, truth = model.predict(row), ("ok", "fraud")[label]
            right += prediction.value == truth
            assert model.feedback(prediction.id, truth) is Feedback.MATCHED
        report = model.quality()
        assert report.slices["country"]["us"]["accuracy"].value <= 1.0
        assert sum(report.counters.outcomes.values()) == 300 >= right > 150
        assert report.slices["country"]["us"]["accuracy"].rows == sum(row["country"] == "us" for row in rows)


def test_in_a_store_labels_reach_every_process(store, tmp_path, row):
    """Two models stand for two processes: each has a memory of its own."""
    kept = SqliteStore(tmp_path / "predictions.db", model="fraud")
    first = Model(store, name="a", monitoring=Monitoring(folder=tmp_path, store=kept))
    prediction = first.predict(row)
    first.drift()  # the watcher does so within a second
    first.close()
    script = f"""
from inprocml import Model, Monitoring
from inprocml.monitoring.quality.sqlite import SqliteStore
kept = SqliteStore({str(tmp_path / "predictions.db")!r}, model="fraud")
model = Model({str(store)!r}, name="a", monitoring=Monitoring(folder={str(tmp_path)!r}, store=kept))
print(model.feedback({prediction.id!r}, "ok"), model.feedback({prediction.id!r}, "ok"))
"""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.split() == ["matched", "duplicate"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_worker_counts_for_itself_and_its_parent_goes_on(model, row):
    model.predict(row)
    assert model.drift().health.seen == 1
    child = os.fork()
    if child == 0:
        try:
            for _ in range(3):
                model.predict(row)
            health = model.drift().health
            os._exit(0 if (health.seen, health.workers) == (4, 2) else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    model.predict(row)
    assert model.drift().health.seen == 5


def test_a_model_that_watches_nothing_says_so(store, row):
    with Model(store, monitoring=False) as model:
        prediction = model.predict(row)
        for ask in (model.drift, model.quality, lambda: model.feedback(prediction.id, "ok")):
            with pytest.raises(ValueError, match="monitoring=False"):
                ask()


@pytest.mark.parametrize("wrong", [None, "on", 1, {}])
def test_monitoring_is_settings_or_yes_or_no(store, wrong):
    with pytest.raises(TypeError, match="monitoring"):
        Model(store, monitoring=wrong)


def test_a_store_that_is_none_is_refused_where_it_is_written():
    with pytest.raises(TypeError, match="store"):
        Monitoring(store="predictions.db")
    with pytest.raises(ValueError, match="labels_within"):
        Monitoring(labels_within=-1.0)


def test_quality_is_of_all_processes_and_outlives_them(store, tmp_path, row):
    """Another process answers, is told, and ends without a word; this one knows."""
    script = f"""
import os
from inprocml import Model, Monitoring
model = Model({str(store)!r}, name="a", monitoring=Monitoring(folder={str(tmp_path)!r}))
for truth in ("ok", "fraud", "ok"):
    prediction = model.predict({row!r})
    assert model.feedback(prediction.id, truth) == "matched"
model._servable(model._process()).monitor.look()  # the watcher does so within a second
os.kill(os.getpid(), 9)
"""
    import subprocess

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=50, check=False)
    assert done.returncode == -9, done.stderr
    with Model(store, name="a", monitoring=Monitoring(folder=tmp_path)) as model:
        prediction = model.predict(row)
        assert model.feedback(prediction.id, "ok") is Feedback.MATCHED
        report = model.quality()
    assert report.counters.outcomes["matched"] == 4
    assert (report.scope, report.workers) == ("host", 1)
    assert (report.model, report.version) == ("a", "1")
    assert "accuracy" in report.metrics
    assert "<" in report._repr_html_()


def test_figures_are_exported_by_the_process_that_decides(store, tmp_path):
    settings = Monitoring(folder=tmp_path, usual_labels=1.0, labels_within=3600)
    with Model(store, monitoring=settings) as model:
        monitor = model._servable(model._process()).monitor
        names = [f"x-{place}" for place in range(100)]
        at = time.time() - 7200  # of an hour that is over
        monitor.quality.predicted(names, [0.9] * 100, at)
        for place, name in enumerate(names):
            assert monitor.quality.feedback(name, "fraud" if place < 80 else "ok", at) is Feedback.MATCHED
        model.drift()
        told = Exported(monitor).quality()
        assert told["accuracy"] == model.quality()["accuracy"].value == 0.8
        monitor._evaluation = None  # as if another process decided
        assert Exported(monitor).quality() == {}


def test_a_label_for_another_models_prediction_is_unmatched(store, tmp_path, row):
    folder = Monitoring(folder=tmp_path)
    with Model(store, name="a", monitoring=folder) as one, Model(store, name="b", monitoring=folder) as other:
        prediction = other.predict(row)
        assert one.feedback(prediction.id, "ok") is Feedback.UNMATCHED
        assert other.feedback(prediction.id, "ok") is Feedback.MATCHED
        assert one.quality().counters.outcomes["matched"] == 0


@pytest.mark.parametrize("slices", [{"land": ("de",)}, {"country": (1,)}])
def test_a_slice_that_does_not_fit_is_told_when_the_model_loads(store, tmp_path, row, slices):
    with (
        Model(store, monitoring=Monitoring(folder=tmp_path, slices=slices)) as model,
        pytest.raises(inprocml.BundleError, match=r"Monitoring\(slices=...\).*fraud 1"),
    ):
        model.predict(row)


def test_rows_are_counted_soon_without_a_question(model, row):
    model.predict(row)
    monitor = model._servable(model._process()).monitor
    wait_for(lambda: monitor.numbers()["rows"] == 1)


def test_a_reference_that_is_none_is_refused_with_those_there_are(model, row):
    model.predict(row)
    for ask in (lambda: model.drift("bogus"), lambda: model.drift(reference="yesterday")):
        with pytest.raises(ValueError, match="'train' or 'live', not '(bogus|yesterday)'"):
            ask()
