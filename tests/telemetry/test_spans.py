"""Spans: a request's own, the batch that answered it, the load; only where the host traces the request."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from tests.conftest import Gate, wait_for

import inprocml
from inprocml import InvalidRow, Model


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
    assert inferred.attributes["inprocml.batch.id"] == predicted.attributes["inprocml.batch.id"]
    assert "inprocml.batch.unlinked" not in inferred.attributes
    (load,) = named(spans, "load traced")
    assert load.attributes["inprocml.load.trigger"] == "first_use"
    assert load.attributes["inprocml.model.version"] == "1"


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
        requests = named(spans, "predict crowded")
    assert followed(requests) == {
        span.attributes["inprocml.batch.id"]: sorted(link.context.span_id for link in span.links)
        for span in batches
    }
    linked = [link.context.span_id for span in batches for link in span.links]
    assert sorted(linked) == sorted(contexts)
    assert sum(span.attributes["inprocml.batch.rows"] for span in batches) == 200
    assert all(len(span.links) <= 128 for span in batches)


def followed(requests):
    """By batch: the callers' spans of the requests that name it."""
    found = {}
    for span in requests:
        found.setdefault(span.attributes["inprocml.batch.id"], []).append(span.parent.span_id)
    return {batch: sorted(callers) for batch, callers in found.items()}


def test_a_batch_links_to_128_requests_at_most_and_all_of_them_name_it(spans, store, row):
    gate, tracer = Gate(), trace.get_tracer("host")

    def ask(_):
        with tracer.start_as_current_span("GET /"):
            model.predict(row)

    with Model(store, name="huge", max_batch_size=512, backend=gate) as model:
        runner = model._servable(model._process()).runner
        gate.shut = True
        with ThreadPoolExecutor(301) as pool:
            done = pool.map(ask, range(301))
            wait_for(lambda: runner.depth == 300)
            gate.opened.set()
            list(done)
        wait_for(lambda: model.counters["rows"] == 301)
        alone, batch = sorted(named(spans, "infer huge"), key=lambda span: len(span.links))
        callers = followed(named(spans, "predict huge"))
    assert [len(alone.links), len(batch.links)] == [1, 128]
    assert batch.attributes["inprocml.batch.rows"] == 300
    assert batch.attributes["inprocml.batch.unlinked"] == 172
    assert batch.dropped_links == 0
    assert len(callers[batch.attributes["inprocml.batch.id"]]) == 300
    assert len(callers[alone.attributes["inprocml.batch.id"]]) == 1


def test_requests_nobody_traces_are_neither_linked_nor_counted_as_left_out(spans, store, row):
    gate, tracer = Gate(), trace.get_tracer("host")

    async def ask(model, traced):
        if traced:
            with tracer.start_as_current_span("GET /"):
                await model.apredict(row)
        else:
            await model.apredict(row)

    async def crowd(model):
        runner = (await asyncio.to_thread(model._servable, model._process())).runner
        gate.shut = True
        first = asyncio.create_task(ask(model, traced=False))
        await asyncio.to_thread(gate.entered.wait, 20)
        others = [asyncio.create_task(ask(model, traced=place % 2)) for place in range(10)]
        await asyncio.to_thread(wait_for, lambda: runner.depth == 10)
        gate.opened.set()
        await asyncio.gather(first, *others)

    with Model(store, name="half", backend=gate) as model:
        asyncio.run(crowd(model))
        wait_for(lambda: model.counters["rows"] == 11)
        (batch,) = named(spans, "infer half")
        callers = followed(named(spans, "predict half"))
    assert batch.attributes["inprocml.batch.rows"] == 10
    assert "inprocml.batch.unlinked" not in batch.attributes
    assert callers == {
        batch.attributes["inprocml.batch.id"]: sorted(link.context.span_id for link in batch.links)
    }
    assert len(batch.links) == 5


def test_no_two_batches_have_an_id_in_common(spans, store, row):
    tracer = trace.get_tracer("host")
    with Model(store, name="one-of-two") as one, Model(store, name="two-of-two", instances=2) as two:
        for model in (one, two) * 5:
            with tracer.start_as_current_span("GET /"):
                model.predict(row)
        ids = [
            span.attributes["inprocml.batch.id"]
            for name in ("infer one-of-two", "infer two-of-two")
            for span in named(spans, name)
        ]
    assert len(ids) == len(set(ids)) == 10


def test_spans_say_which_release_wrote_them_and_whose_names_they_use(spans, store, row):
    with Model(store, name="told-by") as model, trace.get_tracer("host").start_as_current_span("GET /"):
        model.predict(row)
    (span,) = named(spans, "predict told-by")
    told = span.instrumentation_scope
    assert (told.name, told.version) == ("inprocml", inprocml.__version__)
    assert told.schema_url.startswith("https://opentelemetry.io/schemas/")


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
