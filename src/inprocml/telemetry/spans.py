"""Spans, written when what they tell of has ended; only where the host traces the request.

A span that nobody records still costs some microseconds, and most requests are not sampled. So a request is
asked once whether its own span is recording; what is written later takes its times as arguments.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cache

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode

from inprocml.telemetry import names

__all__ = ["caller", "chosen_event", "inferred", "loaded_span", "predicted_span", "recorded", "within"]

Attributes = Mapping[str, str | bool | int | float]

MOST_LINKS = 128
"""Links that an SDK keeps of a span."""


def caller() -> SpanContext | None:
    """Return the span that this request is in, if it is recorded: for the batch to link to."""
    span = trace.get_current_span()
    return span.get_span_context() if span.is_recording() else None


def recorded() -> bool:
    """Whether the span that this request is in is recorded."""
    return trace.get_current_span().is_recording()


def chosen_event(model: str, version: str) -> None:
    """Tell the request's span which version answers, where a candidate might have."""
    span = trace.get_current_span()
    if span.is_recording():
        told = {names.FLAG_KEY: model, names.FLAG_VARIANT: version, names.FLAG_PROVIDER: names.SCOPE}
        span.add_event(names.FLAG_EVALUATION, told)


def within(mark: SpanContext) -> Context:
    """Return a context in which ``mark`` is the current span: for exemplars, on another thread."""
    return trace.set_span_in_context(NonRecordingSpan(mark))


def predicted_span(
    seconds: float,
    attributes: Attributes,
    *,
    prediction_id: str = "",
    batch: str = "",
    error: str | None = None,
) -> None:
    """Write the span ``predict MODEL`` of a ``recorded`` request that took ``seconds`` and ended just now."""
    told = {names.PREDICTION_ID: prediction_id, names.BATCH_ID: batch}
    own = {name: value for name, value in told.items() if value}
    _write("predict", seconds, {**attributes, **own}, error=error)


def inferred(
    seconds: float, rows: int, batch: str, attributes: Attributes, marks: Sequence[SpanContext]
) -> None:
    """Write the span ``infer MODEL`` of a batch, linked to the requests that it answered, to 128 at most.

    It is the child of the first one: a span without a parent would be a trace of its own. Requests that it is
    not linked to are found by the batch's id, which their own spans have too.
    """
    error = attributes.get(names.ERROR_TYPE)
    told = {**attributes, names.BATCH_ID: batch, names.ROWS_IN_BATCH: rows}
    if len(marks) > MOST_LINKS:
        told[names.UNLINKED] = len(marks) - MOST_LINKS
    _write(
        "infer",
        seconds,
        told,
        error=None if error is None else str(error),
        parent=within(marks[0]),
        links=[Link(mark) for mark in marks[:MOST_LINKS]],
    )


def loaded_span(seconds: float, attributes: Attributes) -> None:
    """Write the span ``load MODEL``."""
    error = attributes.get(names.ERROR_TYPE)
    _write("load", seconds, attributes, error=None if error is None else str(error))


@cache
def _tracer() -> trace.Tracer:
    return trace.get_tracer(names.SCOPE, names.release(), schema_url=names.SCHEMA_URL)


def _write(
    what: str,
    seconds: float,
    attributes: Attributes,
    *,
    error: str | None = None,
    parent: Context | None = None,
    links: Sequence[Link] = (),
) -> None:
    ended = time.time_ns()
    own = attributes if error is None else {**attributes, names.ERROR_TYPE: error}
    span = _tracer().start_span(
        f"{what} {attributes[names.MODEL_NAME]}",
        context=parent,
        kind=SpanKind.INTERNAL,
        attributes=own,
        links=links,
        start_time=ended - int(seconds * 1e9),
    )
    if error is not None:
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(ended)
