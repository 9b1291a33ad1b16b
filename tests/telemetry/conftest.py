"""One SDK for all tests of telemetry: the API lets a process set its providers once."""

from __future__ import annotations

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}


@pytest.fixture(scope="session")
def readers():
    # Instruments made before the provider is set are proxies and follow.
    readers = InMemoryMetricReader(), InMemoryMetricReader(preferred_temporality=DELTA)
    metrics.set_meter_provider(MeterProvider(readers))
    return readers


@pytest.fixture
def reader(readers):
    """What an SDK tells since it began."""
    return readers[0]


@pytest.fixture
def since_last(readers):
    """What an SDK tells since it was asked last."""
    return readers[1]


@pytest.fixture(scope="session")
def exporter():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter):
    """The one exporter, emptied for each test."""
    exporter.clear()
    return exporter
