"""Spans, written when what they tell of has ended; only where the host traces the request.

A span that nobody records still costs some microseconds, and most requests are not sampled. So a request is
asked once whether its own span is recording; what is written later takes its times as arguments.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode

from inprocml.telemetry import names

__all__ = ["caller", "chosen_event", "inferred", "loaded_span", "predicted_span", "within"]

Attributes = Mapping[str, str | bool | int | float]


def caller() -> SpanContext | None:
    """Return the span that this request is in, if it is recorded: for the batch to link to."""
    span = trace.get_current_span()
    return span.get_span_context() if span.is_recording() else None


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
    seconds: float, attributes: Attributes, *, prediction_id: str = "", error: str | None = None
) -> None:
    """Write the span ``predict MODEL`` of a request that took ``seconds`` and has ended now."""
    if trace.get_current_span().is_recording():
        own = {names.PREDICTION_ID: prediction_id} if prediction_id else {}
        _write("predict", seconds, {**attributes, **own}, error=error)


def inferred(seconds: float, rows: int, attributes: Attributes, marks: Sequence[SpanContext]) -> None:
    """Write the span ``infer MODEL`` of a batch, linked to the requests that it answered.

    It is the child of the first one: a span without a parent would be a trace of its own.
    """
    error = attributes.get(names.ERROR_TYPE)
    _write(
        "infer",
        seconds,
        {**attributes, names.ROWS_IN_BATCH: rows},
        error=None if error is None else str(error),
        parent=within(marks[0]),
        links=[Link(mark) for mark in marks],
    )


def loaded_span(seconds: float, attributes: Attributes) -> None:
    """Write the span ``load MODEL``."""
    error = attributes.get(names.ERROR_TYPE)
    _write("load", seconds, attributes, error=None if error is None else str(error))


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
    span = trace.get_tracer(names.SCOPE).start_span(
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
