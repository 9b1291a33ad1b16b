"""Spans: a request's own, the batch that answered it, the load; only where the host traces the request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from tests.conftest import Gate, wait_for

from inprocml import InvalidRow, Model

EXPORTER = InMemorySpanExporter()


@pytest.fixture
def spans():
    """The provider can be set once in a process: one exporter is emptied for each test."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
        trace.set_tracer_provider(provider)
    EXPORTER.clear()
    return EXPORTER


def named(exporter, name):
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_a_traced_request_has_a_span_and_its_batch_one_that_links_to_it(spans, store, row):
    tracer = trace.get_tracer("host")
    with Model(store, name="traced") as model:
        with tracer.start_as_current_span("GET /") as request:
            prediction = model.predict(row)
        (predicted,) = named(spans, "predict traced")
        (inferred,) = named(spans, "infer traced")
    own = request.get_span_context()
    assert predicted.parent.span_id == own.span_id
    assert predicted.attributes["inprocml.prediction.id"] == prediction.id
    assert predicted.attributes["inprocml.model.version"] == "1"
    assert predicted.start_time <= inferred.start_time + 10**6
    assert predicted.status.status_code is StatusCode.UNSET
    assert [link.context.span_id for link in inferred.links] == [own.span_id]
    assert inferred.context.trace_id == own.trace_id
    assert inferred.attributes["inprocml.batch.rows"] == 1
    (load,) = named(spans, "load traced")
    assert load.attributes["inprocml.load.trigger"] == "first_use"


def test_a_request_that_nobody_traces_writes_none(spans, store, row):
    with Model(store, name="untraced") as model:
        model.predict(row)
        assert named(spans, "predict untraced") == named(spans, "infer untraced") == []


def test_a_refused_request_says_why(spans, store):
    with Model(store, name="refused") as model, trace.get_tracer("host").start_as_current_span("GET /"):
        with pytest.raises(InvalidRow):
            model.predict({})
        (span,) = named(spans, "predict refused")
    assert span.attributes["error.type"] == "InvalidRow"
    assert span.status.status_code is StatusCode.ERROR


def test_a_crowd_is_linked_to_by_its_batches_each_request_once(spans, store, row):
    tracer = trace.get_tracer("host")
    contexts = []

    def ask(_):
        with tracer.start_as_current_span("GET /") as request:
            model.predict(row)
        contexts.append(request.get_span_context().span_id)

    with Model(store, name="crowded", max_batch_size=256) as model:
        with ThreadPoolExecutor(32) as pool:
            list(pool.map(ask, range(200)))
        wait_for(lambda: model.counters["rows"] == 200)
        batches = named(spans, "infer crowded")
    linked = [link.context.span_id for span in batches for link in span.links]
    assert sorted(linked) == sorted(contexts)
    assert sum(span.attributes["inprocml.batch.rows"] for span in batches) == 200
    assert all(len(span.links) <= 128 for span in batches)


def test_a_batch_links_to_128_requests_at_most(spans, store, row):
    gate, tracer = Gate(), trace.get_tracer("host")

    def ask(_):
        with tracer.start_as_current_span("GET /"):
            model.predict(row)

    with Model(store, name="huge", max_batch_size=256, backend=gate) as model:
        runner = model._servable(model._process()).runner
        gate.shut = True
        with ThreadPoolExecutor(161) as pool:
            done = pool.map(ask, range(161))
            wait_for(lambda: runner.depth == 160)
            gate.opened.set()
            list(done)
        wait_for(lambda: model.counters["rows"] == 161)
        batches = named(spans, "infer huge")
        sizes = [(span.attributes["inprocml.batch.rows"], len(span.links)) for span in batches]
    assert sorted(sizes) == [(1, 1), (160, 128)]


def test_which_version_was_chosen_is_an_event_of_the_request_while_there_is_a_candidate(
    spans, store, row, add_version
):
    add_version()
    with Model(store, name="flagged", version="1", poll_interval=0.02, rollout={"2": 1.0}) as model:
        with trace.get_tracer("host").start_as_current_span("GET /alone"):
            model.predict(row)
        wait_for(lambda: model.predict(row).version == "2")
        with trace.get_tracer("host").start_as_current_span("GET /flagged"):
            model.predict(row)
    (request,) = named(spans, "GET /flagged")
    (event,) = request.events
    assert event.name == "feature_flag.evaluation"
    assert dict(event.attributes) == {
        "feature_flag.key": "flagged",
        "feature_flag.result.variant": "2",
        "feature_flag.provider.name": "inprocml",
    }
