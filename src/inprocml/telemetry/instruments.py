"""Records what happened to requests, batches and loads, at most three records a request.

A request that found the device idle pays three: its duration, the inference's and the batch size. One that
waited pays two, its duration and its time in the queue; the worker records the batch after the answers
are out. Everything that can be read later is an observable callback. With no SDK installed each record costs
some 40 ns.
"""

from __future__ import annotations

import logging
import secrets
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from typing import ParamSpec

from opentelemetry import metrics
from opentelemetry.trace import SpanContext

from inprocml.errors import DeadlineExceeded, InprocmlError, InvalidRow, NotReady, Overloaded
from inprocml.telemetry import names
from inprocml.telemetry.monitored import Monitored, monitored
from inprocml.telemetry.shadows import Trial
from inprocml.telemetry.spans import chosen_event, inferred, loaded_span, predicted_span, recorded, within
from inprocml.telemetry.versions import (
    Attributes,
    Queue,
    create_observables,
    entered,
    left,
    note_share,
    note_stale,
)
from inprocml.values import BatchRecord

P = ParamSpec("P")

_log = logging.getLogger("inprocml")
_complained: set[str] = set()

_REASONS: tuple[tuple[type[InprocmlError], str], ...] = (
    (InvalidRow, "invalid_input"),
    (Overloaded, "queue_full"),
    (DeadlineExceeded, "deadline"),
    (NotReady, "not_ready"),
)


class _Instruments:
    """The process's instruments; API proxies, so a provider may be set before or after."""

    def __init__(self) -> None:
        meter = metrics.get_meter(names.SCOPE, names.release(), schema_url=names.SCHEMA_URL)
        self.prediction = meter.create_histogram(
            names.PREDICTION_DURATION,
            unit="s",
            description="Time from row to prediction, as the caller sees it.",
            explicit_bucket_boundaries_advisory=names.SECONDS,
        )
        self.queue = meter.create_histogram(
            names.QUEUE_DURATION,
            unit="s",
            description="Time a row waited for the device; rows that found it idle never queue.",
            explicit_bucket_boundaries_advisory=names.SECONDS,
        )
        self.inference = meter.create_histogram(
            names.INFERENCE_DURATION,
            unit="s",
            description="Time one batch took on the device.",
            explicit_bucket_boundaries_advisory=names.SECONDS,
        )
        self.batch_size = meter.create_histogram(
            names.BATCH_SIZE,
            unit="{row}",
            description="Rows per executed batch.",
            explicit_bucket_boundaries_advisory=names.ROWS,
        )
        self.rejections = meter.create_counter(
            names.REJECTIONS, unit="{prediction}", description="Requests refused, by reason."
        )
        self.load = meter.create_histogram(
            names.LOAD_DURATION, unit="s", description="Time to fetch, verify, build and warm up a version."
        )
        self.refused = meter.create_counter(
            names.REFUSED, unit="{version}", description="Versions that failed a step of loading, each once."
        )
        self.decisions = meter.create_counter(
            names.DECISIONS, unit="{decision}", description="What was decided about candidate versions."
        )
        self._of_labels(meter)
        create_observables(meter)

    def _of_labels(self, meter: metrics.Meter) -> None:
        self.feedbacks = meter.create_counter(
            names.FEEDBACKS, unit="{feedback}", description="Labels that came, by what became of them."
        )
        self.delay = meter.create_histogram(
            names.FEEDBACK_DELAY,
            unit="s",
            description="Time from a prediction to its label.",
            explicit_bucket_boundaries_advisory=names.DELAYS,
        )


@cache
def _instruments() -> _Instruments:
    # Once per process: the SDK warns about an instrument that is created twice.
    return _Instruments()


def _guarded(record: Callable[P, None]) -> Callable[P, None]:
    """Telemetry never breaks its host: a failing exporter is logged once and otherwise ignored."""

    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            record(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever the host's SDK raises
            kind = type(error).__name__
            if kind not in _complained:
                _complained.add(kind)
                _log.warning("telemetry failed and was ignored (%s); predictions go on", kind, exc_info=True)

    return guarded


class ModelTelemetry:
    """What one loaded version reports; implements ``Observer`` for its batches.

    Each method returns at once and never raises.
    """

    def __init__(self, *, model: str, version: str, runtime: str, device: str, digest: str) -> None:
        self._instruments = _instruments()
        self._drawn = secrets.token_hex(6)  # batches are numbered in each process
        self._watched: Monitored | None = None
        self._candidate = False
        self._trial: weakref.ref[Trial] | None = None
        self.queue: Queue | None = None
        self.memory: Callable[[], Mapping[str, int]] | None = None
        self.attributes = self._attributes = {names.MODEL_NAME: model, names.MODEL_VERSION: version}
        self._batch_attributes: Attributes = {
            **self._attributes,
            names.RUNTIME_NAME: runtime,
            names.DEVICE: device,
        }
        self._loaded_attributes: Attributes = {**self._batch_attributes, names.MODEL_DIGEST: digest}

    @_guarded
    def predicted(
        self, seconds: float, queued: float, *, inline: bool, prediction_id: str = "", batch: int = 0
    ) -> None:
        """Record an answered request: its duration and, where it waited, its time in the queue; its span."""
        self._instruments.prediction.record(seconds, self._attributes)
        if not inline:
            self._instruments.queue.record(queued, self._attributes)
        if recorded():
            told = self._batch_id(batch)
            predicted_span(seconds, self._attributes, prediction_id=prediction_id, batch=told)

    @_guarded
    def failed(self, seconds: float, error: BaseException) -> None:
        """Record a request that got an error, and count it as a rejection where it was refused unrun."""
        kind = type(error).__name__
        self._instruments.prediction.record(seconds, {**self._attributes, names.ERROR_TYPE: kind})
        if recorded():
            predicted_span(seconds, self._attributes, error=kind)
        _count_rejection(self._attributes, error)

    @_guarded
    def refused(self, error: BaseException) -> None:
        """Count a refused table; its batches are recorded one by one, its duration is nobody's latency."""
        _count_rejection(self._attributes, error)

    @_guarded
    def heard(self, outcome: str) -> None:
        """Count a label."""
        self._instruments.feedbacks.add(1, {**self._attributes, names.FEEDBACK_RESULT: outcome})

    @_guarded
    def delayed(self, seconds: float) -> None:
        """Record how long a label took that was joined to its prediction."""
        self._instruments.delay.record(seconds, self._attributes)

    @_guarded
    def observe(self, record: BatchRecord) -> None:
        """Record one executed batch."""
        attributes = self._batch_attributes
        if record.error is not None:
            attributes = {**attributes, names.ERROR_TYPE: record.error}
        marks: tuple[SpanContext, ...] = record.marks
        parent = within(marks[0]) if marks else None  # exemplars point to a caller, not to the worker
        self._instruments.inference.record(record.seconds, attributes, parent)
        self._instruments.batch_size.record(record.rows, self._attributes, parent)
        if marks:
            inferred(record.seconds, record.rows, self._batch_id(record.number), attributes, marks)

    def _batch_id(self, number: int) -> str:
        """Return what tells a batch from those of other processes and hosts; "" for one without a number."""
        return f"{self._drawn}-{number:x}" if number else ""

    @_guarded
    def loaded(
        self, queue: Queue, memory: Callable[[], Mapping[str, int]], *, candidate: bool = False
    ) -> None:
        """Count this version as loaded here; ``memory`` tells its bytes on ``host`` and ``device``.

        A ``candidate`` is told of once it is ``tried``: only then is known what it is.
        """
        self.queue, self.memory, self._candidate = queue, memory, candidate
        entered(self, self._loaded_attributes)

    @_guarded
    def tried(self, trial: Trial) -> None:
        """Tell by ``trial`` what the candidate is, for as long as it is one: from then on it serves."""
        self._trial = weakref.ref(trial)

    @property
    def rollout(self) -> str | None:
        """Whether this version is ``live``, a ``canary`` or a ``shadow``; None before that is known."""
        if self._trial is None:
            return None if self._candidate else "live"
        trial = self._trial()
        return "live" if trial is None else trial.role

    @_guarded
    def watch(self, source: Monitored) -> None:
        """Export what the version's monitor knows, until it is unloaded."""
        self._watched = source  # kept here: telemetry itself holds what it exports weakly
        monitored(source)

    @_guarded
    def unloaded(self) -> None:
        """Count this version as gone."""
        left(self)
        self._watched = self.queue = self.memory = None


def _count_rejection(attributes: Attributes, error: BaseException) -> None:
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            _instruments().rejections.add(1, {**attributes, names.REJECTION_REASON: reason})
            return


@_guarded
def not_served(model: str, error: BaseException) -> None:
    """Count a request that found no version loaded."""
    _count_rejection({names.MODEL_NAME: model}, error)


@_guarded
def load_finished(
    model: str, seconds: float, *, trigger: str, error: type[BaseException] | None, version: str = ""
) -> None:
    """Record how long fetching, verifying, building and warming up a version took, and how it ended.

    ``version`` is "" where none was found.
    """
    attributes: dict[str, str] = {names.MODEL_NAME: model, names.LOAD_TRIGGER: trigger}
    if version:
        attributes[names.MODEL_VERSION] = version
    if error is not None:
        attributes[names.ERROR_TYPE] = error.__name__
    _instruments().load.record(seconds, attributes)
    loaded_span(seconds, attributes)


@_guarded
def version_refused(model: str, version: str, error: BaseException) -> None:
    """Count a version that failed a step of loading; its first failure only."""
    _instruments().refused.add(
        1,
        {names.MODEL_NAME: model, names.MODEL_VERSION: version, names.ERROR_TYPE: type(error).__name__},
    )


@_guarded
def chosen(model: str, version: str) -> None:
    """Tell the request's own span which version was chosen, where a candidate might have been."""
    chosen_event(model, version)


@_guarded
def set_stale(process: object, model: str, *, stale: bool | None) -> None:
    """Take note whether this process serves what it should; ``None`` once it serves nothing."""
    _instruments()
    note_stale(process, model, stale=stale)


@_guarded
def decided(model: str, version: str, action: str, share: float) -> None:
    """Count a decision about a candidate and take note of its share; the end of a trial ends the series."""
    attributes = {names.MODEL_NAME: model, names.MODEL_VERSION: version}
    _instruments().decisions.add(1, {**attributes, names.DECISION: action})
    over = action in {"finish", "roll_back", "withdraw"}
    note_share(model, version, None if over else share)


@_guarded
def trial_closed(model: str, version: str) -> None:
    """Take note that a candidate is gone with its model, though nobody decided so."""
    note_share(model, version, None)
