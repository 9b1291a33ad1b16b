"""The doors of ``Model`` to what monitoring knows, and what telemetry exports of it."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol

from inprocml.bulk.tables import is_table
from inprocml.model import passage
from inprocml.monitoring.report import DriftReport, Health, measured
from inprocml.monitoring.verdict import Finding, Reference, State
from inprocml.protocols import Clock
from inprocml.telemetry import Column, Score
from inprocml.values import Table

if TYPE_CHECKING:
    from inprocml.monitoring import Feedback, Known, Monitor, QualityReport, SkewReport
    from inprocml.monitoring.series import Series

__all__ = ["Exported", "Watched", "report_of", "reported"]

_STATES = tuple(State)
_SAME_EXPORT_SECONDS = 1.0


class Served(Enum):
    """The rows that were served: what ``drift`` tells of where it is given none."""

    SERVED = "the rows served"


SERVED = Served.SERVED


class Host(passage.Host, Protocol):
    """The facade, of which this is a part."""

    @property
    def name(self) -> str: ...


class Watched:
    """What a model can say of the rows that it answered."""

    def drift(
        self: Host,
        rows: Table | Iterable[Any] | Literal["train", "live"] | Served = SERVED,
        *,
        reference: Literal["train", "live"] = "train",
    ) -> DriftReport:
        """Return how the rows of now differ from those of training, or from those of a while ago ("live").

        Of the version that serves, and of all processes of this host that serve it. Shown as text in a
        terminal, and with charts in a notebook. With ``rows``, a table or an iterator of rows, these are
        compared with training instead, at once and as one window; the chance of saying drift by mistake is
        1 % in all (Bonferroni over columns and tests). Raises as ``version`` does where none is loaded,
        ``InvalidRow``, ``TypeError`` for what is no rows (``None`` too: a query that found none says
        nothing of the rows served), and ``ValueError`` for a model with ``monitoring=False`` that is given
        no rows.
        """
        wanted = _reference(rows if isinstance(rows, str) else reference)
        if isinstance(rows, Served | str):
            return reported(_watched(self), wanted)
        _check_rows(rows, "drift", f", {_FILES}; of the rows served: nothing, 'train' or 'live'")
        if wanted is not Reference.TRAIN:
            raise ValueError("rows that are given are compared with training; leave reference= out")
        from inprocml.model.replayed import drift_of  # loaded by those who ask

        return drift_of(self, rows)

    def skew(self: Host, log: Table | Iterable[Mapping[str, Any]], *, tolerance: float = 1e-6) -> SkewReport:
        """Replay logged rows as training would encode and answer them; say where the log differs first.

        ``log`` is a table or an iterator of rows: the row's fields and, of what was logged when it was
        served, ``features`` (a list, or a mapping from the names of ``Transform.get_feature_names_out``),
        ``value`` and ``probability``. Features may be off by ``tolerance``, relative to 1 or to the feature,
        probabilities by 0.001. NaN differs from every number, and None, or NaN in a pandas DataFrame, says
        that nothing was logged. All rows are compared with training besides (``drift``). They do not count as
        served. Raises as ``version`` does where none is loaded, and ``TypeError`` for what is no log; rows
        that are refused are told as differing.
        """
        _check_rows(log, "skew")
        from inprocml.model.skew import skew_of

        return skew_of(self, log, tolerance)

    def feedback(self: Host, prediction_id: str, label: object) -> Feedback:
        """Take the truth of a prediction, by its ``id``; say what became of it, and never raise for it.

        ``label`` is one of the classes, of the same type, or a finite number. ``unmatched``: the prediction
        is unknown, too old, of another process (see ``Monitoring(store=)``) or of ``predict_many``. Raises
        as ``version`` does where none is loaded, and ``ValueError`` for a model with ``monitoring=False``.
        """
        servable = self._servable(self._process())
        outcome = _watched(self).feedback(prediction_id, label)
        servable.telemetry.heard(outcome.value)
        return outcome

    def quality(self: Host) -> QualityReport:
        """Return how good the answers of the version that serves turned out, by what this host was told.

        Of all processes that serve it, with ``Monitoring(folder=)`` those that ended too; ``scope`` and
        ``workers`` say whose labels they are. Raises as ``feedback`` does.
        """
        monitor = _watched(self)
        monitor.look()
        assert monitor.labelled is not None
        return monitor.labelled.report()


_ROWS = "a table (a DataFrame, a mapping of columns, a list of rows), or an iterator of rows or tables"
_FILES = "or files, by a list of their paths"


def _check_rows(given: object, what: str, more: str = "") -> None:
    """Raise ``TypeError`` unless these can be rows: a table, or an iterator of rows or tables."""
    if isinstance(given, str | bytes | bytearray) or not (is_table(given) or isinstance(given, Iterable)):
        raise TypeError(f"{what} takes {_ROWS}{more}; not {type(given).__name__}")


def _reference(named: Any) -> Reference:
    try:
        return Reference(named)
    except ValueError:
        known = " or ".join(repr(each.value) for each in Reference)
        raise ValueError(
            f"drift of the rows served is told against {known}, not {named!r:.200}; other rows are given as "
            f"{_ROWS}, {_FILES}"
        ) from None


def _watched(host: Host) -> Monitor:
    monitor = host._servable(host._process()).monitor  # noqa: SLF001 - the host is the facade
    if monitor is None:
        raise ValueError(f"model {host.name!r} has monitoring=False; leave that out, and serve some rows")
    return monitor


def reported(monitor: Monitor, reference: Reference) -> DriftReport:
    """Return the report of one version."""
    told = monitor.ask(lambda known: report_of(known, monitor.model, monitor.version, reference))
    return replace(told, health=replace(told.health, lag_seconds=monitor.lag()))


def report_of(known: Known, model: str, version: str, reference: Reference) -> DriftReport:
    """Return what is known as a report."""
    alarm, total = known.evaluation.alarm, known.total
    findings = tuple(_complete(found, known, reference) for found in alarm.findings(reference, known.now))
    numbers = total.numbers
    return DriftReport(
        model=model,
        version=version,
        reference=reference,
        state=alarm.state(reference, known.now),
        at=known.now,
        since=alarm.since(reference),
        rows=max((found.rows for found in findings), default=0),
        findings=findings,
        timeline=alarm.timeline(),
        health=Health(
            seen=numbers["seen"],
            sampled=numbers["rows"],
            sampled_out=numbers["sampled_out"],
            dropped=numbers["dropped"] + numbers["failed"],
            cpu_seconds=numbers["cpu_ns"] / 1e9,
            workers=known.workers,
            scope=known.scope,
        ),
        joint=known.evaluation.joint.get(reference),
        progress=alarm.progress(reference, known.now),
        ended=tuple(
            replace(event, findings=()) for event in alarm.ended(known.now) if event.reference is reference
        ),
    )


def _complete(found: Finding, known: Known, reference: Reference) -> Finding:
    """Add what the counts alone do not say: all measures, and the names of values never seen."""
    place, series = _series(found, known)
    if (
        not found.rows and known.total.rows and reference is Reference.TRAIN
    ):  # too few for a window: shown all the same
        counts = known.total.form.layout.parts(known.total.counts)[place]
        found = replace(
            found,
            rows=known.total.rows,
            labels=series.labels(),
            folded=(),
            reference=series.reference.counts,
            current=tuple(counts.tolist()),
        )
    values, exact = known.total.new_values(place)
    full = measured(found, series.bins, reference)
    return replace(full, new_values=values, new_values_exact=exact)


def _series(found: Finding, known: Known) -> tuple[int, Series]:
    layout = known.total.form.layout
    return next(
        (place, series)
        for place, series in enumerate(layout.series)
        if (series.name, series.role) == (found.name, found.role)
    )


class Exported:
    """A monitor as telemetry reads it: once an export, never a row at a time."""

    def __init__(self, monitor: Monitor, *, clock: Clock = time.monotonic) -> None:
        self._alive = weakref.ref(monitor)  # what telemetry holds must not keep a dropped model in memory
        self._clock = clock
        self._scored: tuple[float, Sequence[Score]] = -math.inf, ()
        self.model, self.version = monitor.model, monitor.version

    @property
    def _monitor(self) -> Monitor:
        monitor = self._alive()
        if monitor is None:
            raise ReferenceError("the model is gone")
        return monitor

    def columns(self) -> Iterable[Column]:
        """Return what this process itself has counted."""
        layout, own = self._monitor.layout, self._monitor.own()
        for series, counts in zip(layout.series, layout.parts(own), strict=True):
            reference = series.reference
            yield Column(
                series.name,
                series.role,
                series.untold(),
                tuple(counts.tolist()),
                tuple(count / max(reference.rows, 1) for count in reference.counts),
            )

    def scores(self) -> Iterable[Score]:
        """Return the scores of the host, in the one process that decides.

        Three instruments ask for them in one export, and they are some milliseconds of work: those of this
        very second are given again.
        """
        now, (at, told) = self._clock(), self._scored
        if now - at >= _SAME_EXPORT_SECONDS:
            told = self._monitor.decided(_scores) or ()
            self._scored = now, told
        return told

    def quality(self) -> Mapping[str, float]:
        """Return the figures of the host's labels, in the one process that decides."""
        labelled = self._monitor.labelled
        if labelled is None or not self._monitor.decided(lambda _: True):
            return {}
        metrics = labelled.report().metrics
        return {name: each.value for name, each in metrics.items() if each.value is not None}

    def numbers(self) -> Mapping[str, int]:
        """Return the totals of this process."""
        return self._monitor.numbers()

    def lag(self) -> float:
        """Return the seconds since rows were counted last, if some wait: none of them is older."""
        return self._monitor.lag()

    def memory(self) -> int:
        """Return the bytes that watching takes, without rows that wait to be counted."""
        return self._monitor.nbytes


def _scores(known: Known) -> list[Score]:
    alarm, made = known.evaluation.alarm, []
    for reference in Reference:
        state = alarm.state(reference, known.now)
        made.append(Score("", "model", reference.value, "state", _STATES.index(state), known.total.rows))
        if joint := known.evaluation.joint.get(reference):
            told = {"auc": joint.auc, "auc_p_value": joint.p_value}
            made += [
                Score("", "model", reference.value, metric, value, joint.rows, window=joint.hours * 3600.0)
                for metric, value in told.items()
            ]
        for found in alarm.findings(reference, known.now):
            full = measured(found, reference=reference)
            values = {
                "z": found.value,
                "threshold": found.threshold,
                "effect": found.effect,
                "drifted": float(found.state is State.DRIFT),
                "psi": full.measures.psi,
                "missing": full.measures.missing,
                "unseen": full.measures.unseen,
                "out_of_range": full.measures.out_of_range,
            }
            window = _seconds(found)
            made += [
                Score(found.name, found.role, reference.value, metric, value, found.rows, window=window)
                for metric, value in values.items()
                if value is not None
            ]
    return [score._replace(scope=known.scope) for score in made]


def _seconds(found: Finding) -> float | None:
    """Return how long the window of a finding is; None where it has no rows, or rows without a time."""
    if not found.rows or found.begins is None or found.ends is None:
        return None
    return max(0.0, found.ends - found.begins)
