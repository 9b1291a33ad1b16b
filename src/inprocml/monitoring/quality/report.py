"""What can be said of a model's quality now, computed from counters: those of all workers may be summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from inprocml.monitoring.quality.calibration import Calibration, calibrate
from inprocml.monitoring.quality.class_metrics import class_metrics
from inprocml.monitoring.quality.cohorts import Cohort, judged, latest, to_come
from inprocml.monitoring.quality.counters import Counters
from inprocml.monitoring.quality.expected import expected_metrics
from inprocml.monitoring.quality.interval import Estimate
from inprocml.monitoring.quality.number_metrics import number_metrics
from inprocml.monitoring.quality.onset import worse_from
from inprocml.monitoring.quality.residual import (
    LEAST,
    TESTS,
    Residual,
    critical,
    worst_class_residual,
    worst_number_residual,
)
from inprocml.monitoring.quality.settings import Settings
from inprocml.monitoring.quality.tally import ClassTally, NumberTally, Tally, added, empty
from inprocml.monitoring.verdict import State

__all__ = ["QualityReport", "Scope", "clock", "report_of", "summed"]

Scope = Literal["worker", "host", "hosts"]

_LOOKS = 90 * 86400.0


@dataclass(frozen=True)
class QualityReport:
    """A model's quality as of ``at`` (seconds since 1970).

    ``state`` and ``why`` say it in words. ``metrics``: figures of the newest mature cohorts, with 95 %
    intervals and beside what scores alone led to expect; ``upcoming``: what they lead to expect of cohorts
    whose labels are not there yet. ``slices``: slice -> value -> figures, of all labels that ever came.
    ``rows``: labels behind ``metrics``; ``coverage``: the usual share of predictions with a label, None
    before it is known. ``since``: where the cohort begins from which labels are worse, an estimate that stays
    the same as long as they are; None where they are not. ``scope`` and ``workers`` say whose labels these
    are: one process's, those of all processes of a host, or of several hosts.
    """

    state: State
    why: str
    at: float
    rows: int
    coverage: float | None
    metrics: Mapping[str, Estimate]
    upcoming: Mapping[str, float]
    slices: Mapping[str, Mapping[Any, Mapping[str, Estimate]]]
    cohorts: tuple[Cohort, ...]
    residual: Residual | None
    settings: Settings = field(repr=False)
    counters: Counters = field(repr=False)
    model: str = ""
    version: str = ""
    scope: Scope = "worker"
    workers: int = 1
    hosts: int = 1
    since: float | None = None

    def __getitem__(self, name: str) -> Estimate:
        return self.metrics[name]

    def text(self, width: int = 100, *, ascii_only: bool = False) -> str:
        """Return the report as plain text of lines no longer than ``width`` cells, 40 at least.

        ``ascii_only``: for terminals without block letters.
        """
        from inprocml.monitoring.quality.text import text

        return text(self, width, ascii_only=ascii_only)

    def body(self) -> str:
        """Return the report as a fragment of HTML, for a page of your own: no script, no ``<html>``."""
        from inprocml.monitoring.quality.page import body

        return body(self)

    def html(self) -> str:
        """Return the report as one HTML file of at most 300 KB that loads nothing."""
        from inprocml.monitoring.quality.page import page

        return page(self)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: all figures, and the counts and settings behind them."""
        from inprocml.monitoring.quality.document import write

        return write(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> QualityReport:
        """Return the report that ``to_dict`` wrote; figures are computed again from its counts.

        ``Unsupported`` for a kind that this release does not know, ``Corrupt`` for all else.
        """
        from inprocml.monitoring.quality.document import read

        return read(document)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.body()

    def merge(self, *others: QualityReport) -> QualityReport:
        """Return the report of several hosts, on the sum of their counters; nothing is averaged.

        As of the latest; worse since the host where that came first. ``ValueError`` for reports on another
        model, version, cohort, class or slice.
        """
        total, every = self.counters, (self, *others)
        for other in others:
            if (other.model, other.version) != (self.model, self.version):
                raise ValueError("reports on different models, or versions, do not add up")
            if other.settings.digest != self.settings.digest:
                raise ValueError("reports on other classes, slices or cohorts do not add up")
            total += other.counters
        return replace(
            report_of(
                self.settings,
                total,
                max(each.at for each in every),
                min((each.since for each in every if each.since is not None), default=None),
            ),
            model=self.model,
            version=self.version,
            scope="hosts" if others else self.scope,
            workers=sum(each.workers for each in every),
            hosts=sum(each.hosts for each in every),
        )


def report_of(
    settings: Settings, counters: Counters, now: float, since: float | None = None
) -> QualityReport:
    """Return what the counters say at ``now`` (seconds since 1970).

    ``since``: from when on labels are worse, where that has been told already.
    """
    counted = {number: (tally.seen, tally.labelled) for number, tally in counters.cohorts.items()}
    cohorts, usual = judged(
        counted, now, length=settings.length, within=settings.labels_within, usual=settings.usual
    )
    mature = [each for each in cohorts if each.mature]
    tallies = [counters.cohorts[each.number] for each in mature]
    recent = summed(counters, latest(cohorts, settings.recent))
    residual = _residual(settings, tallies)
    before = _residual(settings, tallies[:-1])
    if residual is not None and since is None and _tells(settings, residual):
        since = mature[
            worse_from(tallies, residual, _promised(settings), dependence=settings.dependence)
        ].start
    state, why = _verdict(settings, cohorts, usual, (residual, before, since), now)
    return QualityReport(
        state=state,
        why=why,
        at=now,
        rows=recent.labelled,
        coverage=usual,
        metrics=_estimates(recent, _expected(settings, recent)),
        upcoming=_expected(settings, summed(counters, to_come(cohorts))),
        slices=_slices(settings, counters),
        cohorts=cohorts,
        residual=residual,
        settings=settings,
        counters=counters,
        since=since if state in {State.DRIFT, State.WATCH} else None,
    )


def summed(counters: Counters, cohorts: Sequence[Cohort]) -> Tally:
    """Return what was counted of some cohorts together."""
    total = empty(counters.classes)
    for each in cohorts:
        total = added(total, counters.cohorts[each.number])
    return total


def _promised(settings: Settings) -> Calibration | NumberTally | None:
    reference = settings.reference
    return calibrate(reference) if isinstance(reference, ClassTally) else reference


def _estimates(tally: Tally, expected: Mapping[str, float]) -> dict[str, Estimate]:
    found = class_metrics(tally) if isinstance(tally, ClassTally) else number_metrics(tally)
    return {
        name: Estimate(value, low, high, tally.labelled, expected.get(name))
        for name, interval in found.items()
        for value, low, high in [interval or (None, None, None)]
    }


def _expected(settings: Settings, tally: Tally) -> dict[str, float]:
    if not isinstance(tally, ClassTally):
        return {}
    promised = _promised(settings)
    return expected_metrics(tally, promised if isinstance(promised, Calibration) else None)


def _slices(settings: Settings, counters: Counters) -> dict[str, dict[Any, dict[str, Estimate]]]:
    return {
        name: {value: _estimates(tally, {}) for value, tally in zip(values, tallies, strict=True)}
        for (name, values), tallies in zip(settings.slices.items(), counters.slices, strict=True)
    }


def _residual(settings: Settings, tallies: Sequence[Tally]) -> Residual | None:
    """Of suffix windows; as many are counted as there could be, so that the threshold stays the same."""
    promised = _promised(settings)
    z = critical(settings.budget, _LOOKS / settings.length, 7 * TESTS)  # 96 cohorts make 7 windows
    if settings.kind == "classes":
        calibration = promised if isinstance(promised, Calibration) else None
        classes = [each for each in tallies if isinstance(each, ClassTally)]
        return worst_class_residual(classes, calibration, z, dependence=settings.dependence)
    if not isinstance(promised, NumberTally):
        return None
    numbers = [each for each in tallies if isinstance(each, NumberTally)]
    return worst_number_residual(numbers, promised, z, dependence=settings.dependence)


def _verdict(
    settings: Settings,
    cohorts: tuple[Cohort, ...],
    usual: float | None,
    told: tuple[Residual | None, Residual | None, float | None],
    now: float,
) -> tuple[State, str]:
    """Return state and reason; ``told`` are what labels show, what they showed before, and since when."""
    residual, before, since = told
    mature = [each for each in cohorts if each.mature]
    if not cohorts:
        return State.INSUFFICIENT, "no prediction was made yet"
    if usual is None:
        days = settings.labels_within / 86400
        return State.WARMING, (
            f"labels may take {days:g} days, and no cohort is so old: the usual coverage is not known. "
            "Say it if you know it: usual_labels= of Monitoring, usual= of Settings"
        )
    if (
        mature[-1].until if mature else cohorts[0].start
    ) + settings.labels_within + 2 * settings.length < now:
        return State.STALE, "no cohort of late has enough labels: labels, or predictions, have stopped coming"
    if residual is None:
        return State.INSUFFICIENT, _lacking(settings, mature)
    return _compared(settings, mature, residual, before, since)


def _lacking(settings: Settings, mature: list[Cohort]) -> str:
    """Say why nothing could be compared."""
    reference = settings.reference
    if settings.kind == "regression" and reference is None:
        return "there is no reference of labelled rows to compare errors with: pack the model with holdout="
    if isinstance(reference, NumberTally) and reference.labelled < LEAST:
        return f"the reference has {reference.labelled} rows, and {LEAST} are needed: give holdout= more"
    return f"{sum(each.labelled for each in mature)} labels in mature cohorts are too few"


def _compared(
    settings: Settings,
    mature: list[Cohort],
    residual: Residual,
    before: Residual | None,
    since: float | None,
) -> tuple[State, str]:
    if not _tells(settings, residual):
        rows, start = _latest(settings, mature)
        return State.OK, f"{rows} labels since {clock(start)} UTC are as the reference promised"
    again = before is not None and _tells(settings, before)
    began = "" if since is None else f" since {clock(since)} UTC"
    worse = f"{residual.effect:.3g} a row" if residual.test == "loss" else f"{residual.effect:.1%} of rows"
    shown = f"{residual.test}: {worse}, of the last {residual.rows:,} labels"
    why = f"labels are worse than promised{began} ({shown})"
    return (State.DRIFT if again else State.WATCH), why


def _latest(settings: Settings, mature: list[Cohort]) -> tuple[int, float]:
    """Return how many labels the newest cohorts have that say something, and where these begin.

    Longer windows may hold what was worse and is mended.
    """
    rows = 0
    for each in reversed(mature):
        rows += each.labelled
        if rows >= LEAST * settings.dependence:
            break
    return rows, each.start


def clock(at: float) -> str:
    """Return a moment, UTC; of one that no calendar has, its seconds since 1970."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{at:g} s"


def _tells(settings: Settings, residual: Residual) -> bool:
    floor, reference = settings.floor, settings.reference
    if isinstance(reference, NumberTally) and reference.labelled:
        floor *= float(reference.counts[1] / reference.counts[0])
    return residual.exceeded and residual.effect >= floor
