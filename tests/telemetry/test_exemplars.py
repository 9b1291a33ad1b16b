"""Exemplars: from a bar of a histogram to the request of one caller, whichever thread recorded it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from tests.conftest import Gate, wait_for
from tests.telemetry.points import gathered

from inprocml import Model

INSTRUMENTS = {
    f"inprocml.{name}" for name in ("prediction.duration", "inference.duration", "inference.batch.size")
}
WAITED = "inprocml.prediction.queue.duration"


def traces(reader, model):
    """The callers that exemplars of each instrument point to: trace and span."""
    found = gathered(reader, model).items()
    return {
        name: seen
        for name, own in found
        if (seen := {(one.trace_id, one.span_id) for p in own for one in getattr(p, "exemplars", [])})
    }


def known(request):
    context = request.get_span_context()
    return context.trace_id, context.span_id


def test_a_lone_caller_is_pointed_to(reader, spans, store, row):
    with Model(store, name="pointed") as model:
        model.predict(row)  # else the load, too, would point to whom it kept waiting
        with trace.get_tracer("host").start_as_current_span("GET /") as request:
            model.predict(row)
        assert traces(reader, "pointed") == {name: {known(request)} for name in INSTRUMENTS}


def test_a_request_that_nobody_traces_is_not_pointed_to(reader, spans, store, row):
    with Model(store, name="hidden") as model:
        model.predict(row)
        told = gathered(reader, "hidden")
    assert set(told) >= INSTRUMENTS
    assert not any(point.exemplars for name in INSTRUMENTS for point in told[name])


@pytest.mark.parametrize("how", ["threads", "asyncio"])
def test_callers_that_wait_are_pointed_to_by_the_worker_too(reader, spans, store, row, how):
    """Nobody traces the first caller, which holds the device; the others' batch is the worker's."""
    gate, requests, tracer, name = Gate(), [], trace.get_tracer("host"), f"waiting-{how}"

    def ask(_):
        with tracer.start_as_current_span("GET /") as request:
            model.predict(row)
        requests.append(known(request))

    async def aask():
        with tracer.start_as_current_span("GET /") as request:
            await model.apredict(row)
        requests.append(known(request))

    async def crowd():
        others = [asyncio.create_task(aask()) for _ in range(6)]
        await asyncio.to_thread(wait_for, lambda: runner.depth == 6)
        gate.opened.set()
        await asyncio.gather(*others)

    with Model(store, name=name, backend=gate) as model, ThreadPoolExecutor(8) as pool:
        runner = model._servable(model._process()).runner
        gate.shut = True
        first = pool.submit(model.predict, row)
        assert gate.entered.wait(20)
        if how == "threads":
            done = pool.map(ask, range(6))
            wait_for(lambda: runner.depth == 6)
            gate.opened.set()
            list(done)
        else:
            asyncio.run(crowd())
        first.result(20)
        wait_for(lambda: model.counters["rows"] == 7)
        seen = traces(reader, name)
    assert set(seen) == {*INSTRUMENTS, WAITED}
    assert all(each <= set(requests) for each in seen.values())
