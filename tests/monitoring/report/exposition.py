"""Processes that record inprocml's instruments with OpenTelemetry's SDK, in Prometheus' text format.

Two models each: one of which everything is wrong, and one that is healthy. Names come out as Prometheus' OTLP
receiver makes them (``_ratio`` for gauges of unit 1), or as OpenTelemetry's own exporter does (without).
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Histogram, InMemoryMetricReader, Sum

from inprocml.monitoring import HourOfWeekBins
from inprocml.telemetry import names

ROWS = 10_000  # between two scrapes
UNITS = {"s": "_seconds", "By": "_bytes"}

# Of 100 training rows, and of 100 rows now in two workers whose columns drifted.
REFERENCE = {
    "amount": {"[-inf, 0)": 0, "[0, 10)": 30, "[10, 20)": 38, "[20, inf)": 30, "missing": 2},
    "country": {"category 1": 50, "category 2": 47, "other": 1, "unseen": 0, "missing": 2},
}
# Columns of the healthy model besides: a share for each hour of a week, and one whose values are often new.
HOURS = HourOfWeekBins().labels()[:-1]
EXPECTED = REFERENCE | {
    "departed": dict.fromkeys(HOURS, 100 / 168) | {"missing": 0},
    "tailnum": {"category 1": 30, "other": 48, "unseen": 20, "missing": 2},
}
HEALTHY = EXPECTED | {"departed": {label: 100 * (label == "Mon 10") for label in EXPECTED["departed"]}}
DRIFTED = [
    {
        "amount": {"[-inf, 0)": 5, "[0, 10)": 10, "[10, 20)": 20, "[20, inf)": 50, "missing": 15},
        "country": {"category 1": 80, "category 2": 5, "other": 1, "unseen": 8, "missing": 6},
    },
    {
        "amount": {"[-inf, 0)": 0, "[0, 10)": 20, "[10, 20)": 20, "[20, inf)": 45, "missing": 15},
        "country": {"category 1": 70, "category 2": 15, "other": 1, "unseen": 4, "missing": 10},
    },
]

BUCKETS = {"s": {"explicit_bucket_boundaries_advisory": names.SECONDS}}
COUNTER, UP_DOWN, GAUGE, HISTOGRAM = "counter", "up_down_counter", "gauge", "histogram"

# What docs/reference/telemetry.md lists, as far as the dashboard and the rules ask for it: kind and unit.
INSTRUMENTS = {
    names.PREDICTION_DURATION: (HISTOGRAM, "s"),
    names.BATCH_SIZE: (HISTOGRAM, "{row}"),
    names.REJECTIONS: (COUNTER, "{prediction}"),
    names.LOADED: (UP_DOWN, "{model}"),
    names.REFUSED: (COUNTER, "{version}"),
    names.STALE: (GAUGE, "1"),
    names.DECISIONS: (COUNTER, "{decision}"),
    names.OBSERVATIONS: (COUNTER, "{observation}"),
    names.REFERENCE_RATIO: (GAUGE, "1"),
    names.DRIFT_SCORE: (GAUGE, "1"),
    names.DRIFT_SAMPLES: (GAUGE, "{sample}"),
    names.DRIFT_WINDOW: (GAUGE, "s"),
    names.MONITORING_ROWS: (COUNTER, "{row}"),
    names.MONITORING_CPU: (COUNTER, "s"),
    names.MONITORING_LAG: (GAUGE, "s"),
    names.ACTIVE: (UP_DOWN, "{prediction}"),
    names.MEMORY_USAGE: (UP_DOWN, "By"),
    "inprocml.queue.usage": (UP_DOWN, "{prediction}"),
    "inprocml.queue.limit": (UP_DOWN, "{prediction}"),
    "inprocml.feedbacks": (COUNTER, "{feedback}"),
    "inprocml.feedback.delay": (HISTOGRAM, "s"),
    "inprocml.quality.score": (GAUGE, "1"),
}


class Process:
    """One worker of two models, ``late`` and ``calm`` with ``mark`` behind; all rises at each ``tick``."""

    def __init__(self, worker: int, mark: str = "", *, provider: MeterProvider | None = None) -> None:
        self._late, self._calm = f"late{mark}", f"calm{mark}"
        self._bins = {self._late: DRIFTED[worker], self._calm: HEALTHY}
        self._ticks = 0
        self.reader = InMemoryMetricReader()
        self._meter = (provider or MeterProvider([self.reader])).get_meter(names.SCOPE)
        self._synchronous = {
            name: getattr(self._meter, f"create_{kind}")(name, unit=unit, **BUCKETS.get(unit, {}))
            for name, (kind, unit) in INSTRUMENTS.items()
            if not self._observe(name, kind, unit)
        }

    def tick(self) -> None:
        self._ticks += 1
        for model in (self._late, self._calm):
            bad = model == self._late
            told = {names.MODEL_NAME: model, names.MODEL_VERSION: "3"}
            for _ in range(100):
                self._synchronous[names.PREDICTION_DURATION].record(0.8 if bad else 0.002, told)
            self._synchronous[names.BATCH_SIZE].record(8, told)
            self._synchronous["inprocml.feedback.delay"].record(60, told)
            self._add("inprocml.feedbacks", 10, told, {"inprocml.feedback.result": "matched"})
            if bad:
                self._go_wrong(told)

    def _go_wrong(self, told: dict[str, str]) -> None:
        failed = {**told, names.ERROR_TYPE: "Overloaded"}
        self._synchronous[names.PREDICTION_DURATION].record(1.5, failed)
        self._add(names.REJECTIONS, 5, told, {names.REJECTION_REASON: "queue_full"})
        self._add(names.REFUSED, 1, told, {names.ERROR_TYPE: "Corrupt"})
        self._add(names.DECISIONS, 1, told, {names.DECISION: "roll_back"})
        self._add("inprocml.feedbacks", 10, told, {"inprocml.feedback.result": "unmatched"})

    def _add(self, name: str, times: int, told: dict[str, str], more: dict[str, str]) -> None:
        self._synchronous[name].add(times, {**told, **more})

    def _observe(self, name: str, kind: str, unit: str) -> bool:
        told = self._observed().get(name)
        if told is None:
            return False
        create = getattr(self._meter, f"create_observable_{kind}")
        create(name, callbacks=[lambda _: self._observed()[name]], unit=unit)
        return True

    def _observed(self) -> dict[str, list[Observation]]:
        found: dict[str, list[Observation]] = {}
        for model, bins in self._bins.items():
            bad = model == self._late
            told = {names.MODEL_NAME: model, names.MODEL_VERSION: "3"}
            for name, value, more in [*_plain(bad=bad, ticks=self._ticks), *self._of_bins(bins, bad=bad)]:
                found.setdefault(name, []).append(Observation(value, {**told, **more}))
        return found

    def _of_bins(self, bins, *, bad):
        together = {names.FEATURE_NAME: "", names.FEATURE_ROLE: "model", names.DRIFT_REFERENCE: "train"}
        yield names.DRIFT_SCORE, 0.8 if bad else 0.51, {**together, names.DRIFT_METRIC: "auc"}
        for feature, parts in bins.items():
            column = {names.FEATURE_NAME: feature, names.FEATURE_ROLE: "input"}
            scored = {**column, names.DRIFT_REFERENCE: "train", names.DRIFT_METRIC: "psi"}
            yield names.DRIFT_SCORE, 0.4 if bad else 0.01, scored
            yield names.DRIFT_SCORE, int(bad), {**scored, names.DRIFT_METRIC: "drifted"}
            yield names.DRIFT_SAMPLES, 5_000, scored
            yield names.DRIFT_WINDOW, 86_400.0, {**column, names.DRIFT_REFERENCE: "train"}
            for label, share in parts.items():
                placed = {**column, names.FEATURE_BIN: label}
                yield names.OBSERVATIONS, share * ROWS // 100 * self._ticks, placed
                yield names.REFERENCE_RATIO, EXPECTED[feature][label] / 100, placed


def _plain(*, bad, ticks):
    yield names.LOADED, 1, {names.ROLLOUT: "live"}
    if bad:  # it has taken over: for minutes Prometheus still knows what it was before
        yield names.LOADED, 1, {names.ROLLOUT: "canary"}
    yield names.STALE, int(bad), {}
    yield names.MONITORING_ROWS, ROWS * ticks, {names.ROW_STATE: "counted"}
    yield names.MONITORING_ROWS, (500 if bad else 0) * ticks, {names.ROW_STATE: "dropped"}
    yield names.MONITORING_ROWS, 9_000 * ticks, {names.ROW_STATE: "sampled_out"}
    yield names.MONITORING_CPU, 0.02 * ticks, {}
    yield names.MONITORING_LAG, 300.0 if bad else 0.2, {}
    yield names.ACTIVE, 103 if bad else 2, {}
    yield names.MEMORY_USAGE, 7_000_000, {names.MEMORY_TYPE: "host", names.MEMORY_PART: "model"}
    yield "inprocml.queue.usage", 95 if bad else 1, {}
    yield "inprocml.queue.limit", 100, {}
    yield "inprocml.quality.score", 0.6 if bad else 0.93, {"inprocml.quality.metric": "accuracy"}


def exposed(reader: InMemoryMetricReader, *, ratio: bool) -> str:
    """Everything the SDK has, in Prometheus' text format."""
    found = reader.get_metrics_data()
    metrics = [
        metric
        for resource in (found.resource_metrics if found else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    return "".join(line + "\n" for metric in metrics for line in _lines(metric, ratio=ratio))


def series(name: str, kind: str, unit: str, *, ratio: bool) -> str:
    """What Prometheus calls an instrument, less what it appends to histograms."""
    flat = name.replace(".", "_") + UNITS.get(unit, "")
    if kind == COUNTER:
        return f"{flat}_total"
    return f"{flat}_ratio" if unit == "1" and ratio and not flat.endswith("_ratio") else flat


def _lines(metric, *, ratio):
    if isinstance(metric.data, Histogram):
        yield from _histogram(series(metric.name, HISTOGRAM, metric.unit, ratio=ratio), metric.data)
        return
    counter = isinstance(metric.data, Sum) and metric.data.is_monotonic
    name = series(metric.name, COUNTER if counter else GAUGE, metric.unit, ratio=ratio)
    yield f"# TYPE {name} {'counter' if counter else 'gauge'}"
    for point in metric.data.data_points:
        yield f"{name}{_labels(point.attributes)} {point.value}"


def _histogram(name, histogram):
    yield f"# TYPE {name} histogram"
    for point in histogram.data_points:
        total = 0
        for bound, count in zip([*point.explicit_bounds, "+Inf"], point.bucket_counts, strict=True):
            total += count
            yield f"{name}_bucket{_labels({**point.attributes, 'le': str(bound)})} {total}"
        yield f"{name}_sum{_labels(point.attributes)} {point.sum}"
        yield f"{name}_count{_labels(point.attributes)} {point.count}"


def _labels(attributes):
    parts = (f'{name.replace(".", "_")}="{value}"' for name, value in attributes.items())
    return "{" + ",".join(parts) + "}"


class Exposition:
    """Serves two workers, ``/0`` and ``/1``, as the OTLP receiver names them; ``/2`` as the exporter does."""

    def __init__(self) -> None:
        self.scrapes = [0, 0, 0]
        processes = [Process(0), Process(1), Process(0, "-exporter")]
        served = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                place = int(self.path[1:])
                served.scrapes[place] += 1
                processes[place].tick()
                told = exposed(processes[place].reader, ratio=place < 2).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_told):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
