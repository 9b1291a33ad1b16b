"""What monitoring exports: bins that add up over processes, scores of the one that decides, its health."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import textwrap

import pytest
from tests.conftest import wait_for
from tests.telemetry.points import points

from inprocml import Model, Monitoring
from inprocml.monitoring import Reference
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
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
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
