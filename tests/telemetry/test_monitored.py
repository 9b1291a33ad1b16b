"""What monitoring exports: bins that add up over processes, scores of the one that decides, its health."""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter

import numpy as np
import pytest
from opentelemetry.metrics import CallbackOptions
from tests.conftest import elsewhere, wait_for
from tests.monitoring.watching.watched import Clock, days, monitor_of, rows_of
from tests.telemetry.points import gathered, points

from inprocml import Model, Monitoring
from inprocml.backends.onnx import OnnxBackend
from inprocml.model.watched import Exported, reported
from inprocml.monitoring import Reference
from inprocml.monitoring.verdict import Joint
from inprocml.serving import Memory
from inprocml.telemetry import Column, Score
from inprocml.telemetry import monitored as telemetry
from inprocml.telemetry.monitored import monitored


def served(store, row, name, folder, count=20):
    model = Model(store, name=name, monitoring=Monitoring(folder=folder))
    for _ in range(count):
        model.predict(row)
    model.drift()
    return model


def test_the_bins_of_a_column_sum_to_the_rows_and_the_shares_to_one(reader, store, row, tmp_path):
    model = served(store, row, "binned", tmp_path)
    seen = points(reader, "inprocml.feature.observations", "binned")
    shares = points(reader, "inprocml.feature.reference.ratio", "binned")
    columns = {(p.attributes["inprocml.feature.name"], p.attributes["inprocml.feature.role"]) for p in seen}
    assert {role for _, role in columns} == {"input", "output"}
    for name, role in columns:
        own = [
            [
                p.value
                for p in group
                if (p.attributes["inprocml.feature.name"], p.attributes["inprocml.feature.role"])
                == (name, role)
            ]
            for group in (seen, shares)
        ]
        assert sum(own[0]) == 20
        assert sum(own[1]) == pytest.approx(1.0)
        assert len(own[0]) == len(own[1])
    model.close()


def test_scores_come_with_what_they_rest_on(reader, store, row, tmp_path):
    model = served(store, row, "scored", tmp_path)
    scores = points(reader, "inprocml.drift.score", "scored")
    assert {p.attributes["inprocml.drift.reference"] for p in scores} == {each.value for each in Reference}
    assert {p.attributes["inprocml.drift.metric"] for p in scores} >= {"state", "z", "threshold", "effect"}
    samples = points(reader, "inprocml.drift.samples", "scored")
    assert len(samples) == len(scores)
    model.close()


def test_the_time_that_scores_rest_on_is_a_number_of_each_column_and_no_attribute(reader, tmp_path):
    clock = Clock()
    monitor = monitor_of(tmp_path, clock)
    days(monitor, clock, rows_of(np.random.default_rng(0), 600), seconds=7_200.0, steps=60)
    exported = Exported(monitor)
    monitored(exported)
    found = reported(monitor, Reference.TRAIN).findings
    spans = {(each.name, each.role): each.ends - each.begins for each in found if each.rows}
    told = gathered(reader, "late")
    windows = told["inprocml.drift.window"]
    assert 3_600 < max(spans.values()) <= 7_200
    assert spans == {
        (p.attributes["inprocml.feature.name"], p.attributes["inprocml.feature.role"]): p.value
        for p in windows
        if p.attributes["inprocml.drift.reference"] == "train"
    }
    beside = [{**p.attributes, "inprocml.drift.metric": "z"} for p in windows]
    scores = [dict(p.attributes) for p in told["inprocml.drift.score"]]
    assert all(each in scores for each in beside)
    monitor.close()


def test_scores_are_computed_once_for_all_instruments_of_an_export(tmp_path):
    clock = Clock()
    monitor = monitor_of(tmp_path, clock)
    exported = Exported(monitor, clock=clock)
    days(monitor, clock, rows_of(np.random.default_rng(0), 600), seconds=7_200.0, steps=60)
    first = exported.scores()
    clock.now += 0.9
    assert exported.scores() is first
    days(monitor, clock, rows_of(np.random.default_rng(1), 600), seconds=7_200.0, steps=60)
    later = exported.scores()
    assert max(score.rows for score in later) > max(score.rows for score in first)
    monitor.close()


def test_scores_of_rows_without_a_time_have_no_window(reader):
    class Timeless(Wide):
        model = "timeless"

    source = Timeless(3, 2, {"c1"})
    monitored(source)
    told = gathered(reader, "timeless")
    assert told["inprocml.drift.score"]
    assert "inprocml.drift.window" not in told


def test_health_is_told_by_what_became_of_rows(reader, store, row, tmp_path):
    model = served(store, row, "healthy", tmp_path)
    rows = points(reader, "inprocml.monitoring.rows", "healthy")
    assert {p.attributes["inprocml.row.state"]: p.value for p in rows} == {
        "counted": 20,
        "sampled_out": 0,
        "dropped": 0,
        "failed": 0,
    }
    assert [p.value > 0 for p in points(reader, "inprocml.monitoring.cpu.time", "healthy")] == [True]
    assert [p.value >= 0 for p in points(reader, "inprocml.monitoring.lag", "healthy")] == [True]
    model.close()


def test_another_process_exports_its_own_rows_and_no_score(store, row, tmp_path, reader):
    """It adopts no counts in its export: the sum over processes must be what was served."""
    model = served(store, row, "shared", tmp_path, count=30)
    script = f"""
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from tests.telemetry.points import points
        from inprocml import Model, Monitoring

        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))
        model = Model({str(store)!r}, name="shared", monitoring=Monitoring(folder={str(tmp_path)!r}))
        for _ in range(7):
            model.predict({row!r})
        assert model.drift().health.seen == 37, model.drift().health
        rows = points(reader, "inprocml.monitoring.rows", "shared")
        print(sum(point.value for point in rows), len(points(reader, "inprocml.drift.score", "shared")))
    """
    done = elsewhere(script)
    assert done.stdout.split() == ["7", "0"], done.stderr
    assert sum(p.value for p in points(reader, "inprocml.monitoring.rows", "shared")) == 30
    assert model.drift().health.seen == 37
    model.close()


def test_a_model_that_is_closed_or_unwatched_exports_nothing(reader, store, row, tmp_path):
    served(store, row, "over", tmp_path).close()
    gc.collect()
    assert points(reader, "inprocml.feature.observations", "over") == []
    with Model(store, name="unwatched", monitoring=False) as model:
        model.predict(row)
        assert points(reader, "inprocml.feature.observations", "unwatched") == []
        with pytest.raises(ValueError, match="monitoring=False"):
            model.drift()


def test_rows_are_counted_without_being_asked_for(store, row, tmp_path):
    with Model(store, name="alone", monitoring=Monitoring(folder=tmp_path)) as model:
        model.predict(row)
        monitor = model._servable(model._process()).monitor
        wait_for(lambda: monitor.numbers()["rows"] == 1)


def test_labels_are_exported_by_what_became_of_them(reader, store, row, tmp_path):
    with Model(store, name="told", monitoring=Monitoring(folder=tmp_path)) as model:
        prediction = model.predict(row)
        model.feedback(prediction.id, "ok")
        model.feedback("nobody-1", "ok")
        outcomes = {
            p.attributes["inprocml.feedback.result"]: p.value
            for p in points(reader, "inprocml.feedbacks", "told")
        }
        assert outcomes == {"matched": 1, "unmatched": 1}
        (delay,) = points(reader, "inprocml.feedback.delay", "told")
        assert delay.count == 1
        (usage,) = points(reader, "inprocml.queue.usage", "told")
        (limit,) = points(reader, "inprocml.queue.limit", "told")
        assert (usage.value, limit.value) == (0, 1024)


def test_rows_in_flight_are_those_that_wait_and_those_that_run(reader, store, row):
    started, go = threading.Event(), threading.Event()

    def backend(bundle):
        return Held(OnnxBackend(bundle.model), started, go)

    with Model(store, name="flying", backend=backend, max_batch_size=4) as model:
        model.predict(row)
        (idle,) = points(reader, "inprocml.prediction.active", "flying")
        started.clear()
        go.clear()
        threads = [threading.Thread(target=model.predict, args=(row,)) for _ in range(7)]
        threads[0].start()
        assert started.wait(20)
        for thread in threads[1:]:
            thread.start()
        wait_for(lambda: points(reader, "inprocml.prediction.active", "flying")[0].value == 7)
        (waiting,) = points(reader, "inprocml.queue.usage", "flying")
        assert (idle.value, waiting.value) == (0, 6)
        go.set()
        for thread in threads:
            thread.join(20)
        wait_for(lambda: points(reader, "inprocml.prediction.active", "flying")[0].value == 0)


class Held:
    """A backend whose runs wait until they may go on."""

    name, device = "held", "cpu"

    def __init__(self, inner, started, go):
        self._inner, self._started, self._go = inner, started, go
        go.set()

    def run(self, inputs):
        self._started.set()
        assert self._go.wait(20)
        return self._inner.run(inputs)

    def close(self):
        self._go.set()
        self._inner.close()


def test_memory_is_told_by_part_as_far_as_it_is_known(reader, store, row, tmp_path):
    model = served(store, row, "heavy", tmp_path)
    parts = {
        (p.attributes["inprocml.memory.part"], p.attributes["inprocml.memory.type"]): p.value
        for p in points(reader, "inprocml.model.memory.usage", "heavy")
    }
    assert set(parts) == {("model", "host"), ("monitoring", "host")}
    assert all(0 < size < 50_000_000 for size in parts.values())
    model.close()
    gc.collect()
    assert points(reader, "inprocml.model.memory.usage", "heavy") == []


def test_memory_that_was_measured_is_told_as_measured(reader, store, row):
    sizes = iter([10_000_000, 17_000_000])
    memory = Memory("1 GB", measure=lambda: next(sizes))
    with Model(store, name="measured", memory=memory, monitoring=False) as model:
        model.predict(row)
        (point,) = points(reader, "inprocml.model.memory.usage", "measured")
        assert point.value == 7_000_000


def test_what_all_columns_show_together_is_a_score_of_the_model(reader, store, row, tmp_path):
    model = served(store, row, "joined", tmp_path)
    monitor = model._servable(model._process()).monitor
    found = Joint(0.75, 0.0004, 700, 800, 24, 1e9, ())
    monitor.ask(lambda known: setattr(known.evaluation, "joint", {Reference.TRAIN: found}))
    told = {
        p.attributes["inprocml.drift.metric"]: p.value
        for p in points(reader, "inprocml.drift.score", "joined")
        if p.attributes["inprocml.drift.reference"] == "train" and not p.attributes["inprocml.feature.name"]
    }
    assert (told["auc"], told["auc_p_value"]) == (0.75, 0.0004)
    assert model.drift().joint == found
    model.close()


def test_a_monitor_that_cannot_be_read_hides_no_other(reader, store, row, tmp_path, caplog):
    class Broken:
        model = version = "broken"

        def __getattr__(self, name):
            raise OSError("the disk is gone")

    broken = Broken()
    monitored(broken)
    model = served(store, row, "sound", tmp_path)
    with caplog.at_level(logging.WARNING, "inprocml"):
        assert points(reader, "inprocml.feature.observations", "sound")
        assert points(reader, "inprocml.monitoring.lag", "sound")
    said = [record for record in caplog.records if "could not be exported" in record.getMessage()]
    assert len(said) == 1
    model.close()


def test_no_value_of_a_category_leaves_the_house_and_the_report_says_which_number_it_has(
    reader, store, row, tmp_path
):
    model = served(store, row, "discreet", tmp_path)
    labels = model.drift()["country"].labels
    told = {
        instrument: [
            p.attributes["inprocml.feature.bin"]
            for p in points(reader, f"inprocml.feature.{instrument}", "discreet")
            if p.attributes["inprocml.feature.name"] == "country"
        ]
        for instrument in ("observations", "reference.ratio")
    }
    values = [label for label in labels if label.startswith("=")]
    numbers = [f"category {place + 1}" for place in range(len(values))]
    assert len(values) > 1
    assert told["observations"] == told["reference.ratio"] == [*numbers, *labels[len(values) :]]
    model.close()


class Wide:
    """A monitor of as many columns as one likes, each of ``bins`` bins; those named have drifted."""

    model, version = "wide", "1"

    def __init__(self, columns, bins, drifted):
        self._columns, self._bins, self._drifted = columns, bins, drifted

    def columns(self):
        for place in range(self._columns):
            labels = tuple(f"category {one}" for one in range(self._bins))
            yield Column(f"c{place}", "input", labels, (1,) * self._bins, (1 / self._bins,) * self._bins)

    def scores(self):
        yield Score("", "model", "train", "state", 1.0, 10)
        for place in range(self._columns):
            name = f"c{place}"
            yield Score(name, "input", "train", "drifted", float(name in self._drifted), 10)
            for metric in ("z", "psi", "effect", "threshold", "missing", "unseen", "out_of_range"):
                yield Score(name, "input", "train", metric, 0.0, 10)


class Meter:
    """Keeps what instruments would call."""

    def __init__(self):
        self.callbacks = {}

    def __getattr__(self, _create):
        return lambda name, callbacks, **_told: self.callbacks.setdefault(name, callbacks[0])

    def observed(self, name):
        found = self.callbacks[name](CallbackOptions())
        return [one.attributes for one in found if one.attributes["inprocml.model.name"] == "wide"]


@pytest.mark.parametrize(("columns", "bins", "whole"), [(60, 8, 50), (60, 67, 14), (3, 2_000, 0)])
def test_what_is_exported_of_one_version_leaves_room_under_an_sdks_limit(monkeypatch, columns, bins, whole):
    meter = Meter()
    monkeypatch.setattr(telemetry.metrics, "get_meter", lambda *_scope, **_schema: meter)
    telemetry._instruments.__wrapped__()
    source = Wide(columns, bins, {"c1", "c55"})
    monitored(source)
    for name in ("inprocml.feature.observations", "inprocml.feature.reference.ratio"):
        told = meter.observed(name)
        assert len(told) == whole * bins <= 1_000
        assert {each["inprocml.feature.name"] for each in told} == {f"c{place}" for place in range(whole)}
    for name in ("inprocml.drift.score", "inprocml.drift.samples"):
        told = meter.observed(name)
        metrics = Counter(each["inprocml.drift.metric"] for each in told)
        assert len(told) <= 1_000
        assert metrics["state"] == 1
        assert metrics["psi"] == min(columns, 50)
        named = {each["inprocml.feature.name"] for each in told if each["inprocml.drift.metric"] == "drifted"}
        assert {"c1", *(["c55"] if columns > 55 else [])} <= named
