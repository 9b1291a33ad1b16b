"""What a host's OpenTelemetry SDK receives."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.conftest import Gate, wait_for
from tests.telemetry.points import points

import inprocml
from inprocml import Model


def _settled(model, rows):
    """Observers run after the callers have their answers: wait until the last batch is counted."""
    wait_for(lambda: model.counters["rows"] == rows)
    return model.counters


def test_a_lone_request_makes_exactly_three_records(reader, store, row):
    model = Model(store, name="lone")
    model.predict(row)
    assert [p.count for p in points(reader, "inprocml.prediction.duration", "lone")] == [1]
    assert [p.count for p in points(reader, "inprocml.inference.duration", "lone")] == [1]
    assert [p.count for p in points(reader, "inprocml.inference.batch.size", "lone")] == [1]
    assert points(reader, "inprocml.prediction.queue.duration", "lone") == []
    point = points(reader, "inprocml.inference.duration", "lone")[0]
    assert point.attributes["inprocml.runtime.name"] == "onnx"
    assert point.attributes["inprocml.device"] == "cpu"
    assert point.attributes["inprocml.model.version"] == "1"
    model.close()


def test_batches_add_up_to_rows(reader, store, row):
    model = Model(store, name="crowd")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: model.predict(row), range(320)))
    counters = _settled(model, 320)
    predictions = points(reader, "inprocml.prediction.duration", "crowd")
    sizes = points(reader, "inprocml.inference.batch.size", "crowd")
    assert sum(p.count for p in predictions) == 320
    assert sum(p.sum for p in sizes) == 320 == counters["rows"]
    assert sum(p.count for p in sizes) == counters["batches"]
    model.close()


def test_rejections_have_reasons(reader, store, row):
    model = Model(store, name="picky")
    with pytest.raises(inprocml.InvalidRow):
        model.predict({})
    with pytest.raises(inprocml.DeadlineExceeded):
        model.predict(row, timeout=0.0)
    reasons = {
        p.attributes["inprocml.rejection.reason"]: p.value
        for p in points(reader, "inprocml.rejections", "picky")
    }
    assert reasons == {"invalid_input": 1, "deadline": 1}
    errors = {p.attributes.get("error.type") for p in points(reader, "inprocml.prediction.duration", "picky")}
    assert errors == {"InvalidRow", "DeadlineExceeded"}
    model.close()


def test_loads_and_loaded_versions(reader, store, row, add_version):
    model = Model(store, name="loading", poll_interval=1000)
    assert points(reader, "inprocml.model.loaded", "loading") == []
    model.predict(row)
    add_version()
    model.reload()
    with pytest.raises(inprocml.UnknownVersion):
        model.reload("nope")
    loaded = points(reader, "inprocml.model.loaded", "loading")
    assert [(p.attributes["inprocml.model.version"], p.value) for p in loaded] == [("2", 1)]
    assert len(loaded[0].attributes["inprocml.model.digest"]) == 12
    keys = ("inprocml.load.trigger", "inprocml.model.version", "error.type")
    loads = {
        tuple(p.attributes.get(key) for key in keys): p.count
        for p in points(reader, "inprocml.model.load.duration", "loading")
    }
    assert loads == {
        ("first_use", "1", None): 1,
        ("reload", "2", None): 1,
        ("reload", None, "UnknownVersion"): 1,
    }
    model.close()
    assert points(reader, "inprocml.model.loaded", "loading") == []


def test_a_missing_store_is_counted_without_a_version(reader, tmp_path, row):
    model = Model(tmp_path / "none", name="absent")
    with pytest.raises(inprocml.BundleError):
        model.predict(row)
    (point,) = points(reader, "inprocml.model.load.duration", "absent")
    assert point.attributes["error.type"] == "BundleError"


def test_a_failing_exporter_never_reaches_the_view(reader, store, row, monkeypatch, caplog):
    from inprocml.telemetry import instruments

    class Broken:
        def record(self, *args, **kwargs):
            raise OSError("collector gone")

    model = Model(store, name="guest")
    model.predict(row)
    monkeypatch.setattr(instruments._instruments(), "prediction", Broken())
    with caplog.at_level(logging.WARNING, logger="inprocml"):
        assert [model.predict(row).value for _ in range(3)] == ["fraud"] * 3
    assert caplog.text.count("telemetry failed") == 1
    model.close()


def test_a_queued_request_records_its_wait(reader, store, row):
    model = Model(store, name="queued", max_queue_delay=0.001)
    barrier = threading.Barrier(4)

    def ask(_):
        barrier.wait()
        return model.predict(row)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    waits = points(reader, "inprocml.prediction.queue.duration", "queued")
    assert sum(p.count for p in waits) == 4
    model.close()


def test_a_dropped_model_is_no_longer_loaded(reader, store, row):
    import gc

    model = Model(store, name="dropped", version="1")
    model.predict(row)
    assert len(points(reader, "inprocml.model.loaded", "dropped")) == 1
    del model
    gc.collect()
    assert points(reader, "inprocml.model.loaded", "dropped") == []


def test_a_load_inside_an_error_handler_of_the_host_is_no_failure(reader, store, row):
    model = Model(store, name="handling")
    try:
        raise KeyError("the host's own trouble")
    except KeyError:
        model.predict(row)
    (point,) = points(reader, "inprocml.model.load.duration", "handling")
    assert "error.type" not in point.attributes
    model.close()


def reasons(reader, model):
    """How often each reason was counted for a model."""
    found = points(reader, "inprocml.rejections", model)
    return {point.attributes["inprocml.rejection.reason"]: point.value for point in found}


def test_a_full_queue_and_a_closed_model_are_counted_by_reason(reader, store, row):
    gate = Gate()
    model = Model(store, name="turned-away", backend=gate, max_queue_size=1)
    model.predict(row)
    gate.shut = True
    with ThreadPoolExecutor(3) as pool:
        running = pool.submit(model.predict, row)
        assert gate.entered.wait(30)
        both = [pool.submit(model.predict, row) for _ in range(2)]  # one waits, one is refused
        wait_for(lambda: any(future.done() for future in both))
        gate.opened.set()
        outcomes = {type(future.exception(timeout=30)) for future in [running, *both]}
    assert outcomes == {type(None), inprocml.Overloaded}
    model.close()
    with pytest.raises(inprocml.NotReady):
        model.predict(row)
    assert reasons(reader, "turned-away") == {"queue_full": 1, "not_ready": 1}


def test_a_refused_table_is_one_rejection(reader, store):
    model = Model(store, name="tables")
    with pytest.raises(inprocml.InvalidRow):
        model.predict_many([{}, {}])
    assert reasons(reader, "tables") == {"invalid_input": 1}
    model.close()
