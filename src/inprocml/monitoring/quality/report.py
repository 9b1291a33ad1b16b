"""What can be said of a model's quality now, computed from counters: those of all workers may be summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from inprocml.monitoring.quality.calibration import calibrate
from inprocml.monitoring.quality.class_metrics import class_metrics
from inprocml.monitoring.quality.cohorts import Cohort, judged
from inprocml.monitoring.quality.counters import Counters
from inprocml.monitoring.quality.expected import expected_metrics
from inprocml.monitoring.quality.interval import Estimate
from inprocml.monitoring.quality.number_metrics import number_metrics
from inprocml.monitoring.quality.residual import (
    TESTS,
    Residual,
    critical,
    worst_class_residual,
    worst_number_residual,
)
from inprocml.monitoring.quality.settings import Settings
from inprocml.monitoring.quality.tally import ClassTally, NumberTally, Tally, added, empty
from inprocml.monitoring.verdict import State

__all__ = ["QualityReport", "report_of"]

_LOOKS = 90 * 86400.0


@dataclass(frozen=True)
class QualityReport:
    """A model's quality as of ``at`` (seconds since 1970).

    ``state`` and ``why`` say it in words. ``metrics``: figures of the newest mature cohorts, with 95 %
    intervals and beside what scores alone led to expect; ``upcoming``: what they lead to expect of cohorts
    whose labels are not there yet. ``slices``: slice -> value -> figures, of all labels that ever came.
    ``rows``: labels behind ``metrics``; ``coverage``: the usual share of predictions with a label, None
    before it is known.
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

    def __getitem__(self, name: str) -> Estimate:
        return self.metrics[name]

    def __str__(self) -> str:
        lines = [f"{self.state}: {self.why}"]
        for name, each in self.metrics.items():
            expected = "" if each.expected is None else f", expected {each.expected:.4g}"
            found = (
                "unknown" if each.value is None else f"{each.value:.4g} ({each.low:.4g} to {each.high:.4g})"
            )
            lines.append(f"{name:<10} {found}{expected}")
        return "\n".join(lines)

    def merge(self, *others: QualityReport) -> QualityReport:
        """Return the report on the summed counters of all, as of the latest; nothing is averaged.

        ``ValueError`` for reports on other classes or slices.
        """
        total = self.counters
        for other in others:
            total += other.counters
        return report_of(self.settings, total, max(each.at for each in (self, *others)))


def report_of(settings: Settings, counters: Counters, now: float) -> QualityReport:
    """Return what the counters say at ``now`` (seconds since 1970)."""
    counted = {number: (tally.seen, tally.labelled) for number, tally in counters.cohorts.items()}
    cohorts, usual = judged(
        counted, now, length=settings.length, within=settings.labels_within, usual=settings.usual
    )
    mature = [each for each in cohorts if each.mature]
    tallies = [counters.cohorts[each.number] for each in mature]
    recent = _sum(settings, tallies[-settings.recent :])
    after = mature[-1].number if mature else -1
    coming = [counters.cohorts[each.number] for each in cohorts if each.number > after]
    residual = _residual(settings, tallies)
    before = _residual(settings, tallies[:-1])
    state, why = _verdict(settings, cohorts, usual, residual, before, now)
    return QualityReport(
        state=state,
        why=why,
        at=now,
        rows=recent.labelled,
        coverage=usual,
        metrics=_estimates(recent, _expected(settings, recent)),
        upcoming=_expected(settings, _sum(settings, coming)),
        slices=_slices(settings, counters),
        cohorts=cohorts,
        residual=residual,
        settings=settings,
        counters=counters,
    )


def _sum(settings: Settings, tallies: Sequence[Tally]) -> Tally:
    total = empty(len(settings.classes))
    for tally in tallies:
        total = added(total, tally)
    return total


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
    reference = settings.reference
    return expected_metrics(tally, calibrate(reference) if isinstance(reference, ClassTally) else None)


def _slices(settings: Settings, counters: Counters) -> dict[str, dict[Any, dict[str, Estimate]]]:
    return {
        name: {value: _estimates(tally, {}) for value, tally in zip(values, tallies, strict=True)}
        for (name, values), tallies in zip(settings.slices.items(), counters.slices, strict=True)
    }


def _residual(settings: Settings, tallies: Sequence[Tally]) -> Residual | None:
    """Of suffix windows; as many are counted as there could be, so that the threshold stays the same."""
    reference = settings.reference
    z = critical(settings.budget, _LOOKS / settings.length, 7 * TESTS)  # 96 cohorts make 7 windows
    if settings.kind == "classes":
        calibration = calibrate(reference) if isinstance(reference, ClassTally) else None
        classes = [each for each in tallies if isinstance(each, ClassTally)]
        return worst_class_residual(classes, calibration, z, dependence=settings.dependence)
    if not isinstance(reference, NumberTally):
        return None
    numbers = [each for each in tallies if isinstance(each, NumberTally)]
    return worst_number_residual(numbers, reference, z, dependence=settings.dependence)


def _verdict(
    settings: Settings,
    cohorts: tuple[Cohort, ...],
    usual: float | None,
    residual: Residual | None,
    before: Residual | None,
    now: float,
) -> tuple[State, str]:
    mature = [each for each in cohorts if each.mature]
    if not cohorts:
        return State.INSUFFICIENT, "no prediction was made yet"
    if usual is None:
        days = settings.labels_within / 86400
        return State.WARMING, (
            f"labels may take {days:g} days, and no cohort is so old: the usual coverage is not known. "
            "Say usual= if it is known"
        )
    if (
        mature[-1].until if mature else cohorts[0].start
    ) + settings.labels_within + 2 * settings.length < now:
        return State.STALE, "no cohort of late has enough labels: labels, or predictions, have stopped coming"
    if residual is None and settings.kind == "regression" and settings.reference is None:
        return State.INSUFFICIENT, "there is no reference of labelled rows to compare errors with"
    if residual is None:
        labels = sum(each.labelled for each in mature)
        return State.INSUFFICIENT, f"{labels} labels in mature cohorts are too few"
    return _compared(settings, mature, residual, before)


def _compared(
    settings: Settings, mature: list[Cohort], residual: Residual, before: Residual | None
) -> tuple[State, str]:
    if not _tells(settings, residual):
        return State.OK, f"{residual.rows} labels are as the reference promised"
    again = before is not None and _tells(settings, before)
    since = datetime.fromtimestamp(mature[-residual.cohorts].start, UTC).strftime("%Y-%m-%d %H:%M UTC")
    worse = f"{residual.effect:.3g} a row" if residual.test == "loss" else f"{residual.effect:.1%} of rows"
    why = f"labels are worse than promised ({residual.test}: {worse}), {residual.rows} labels since {since}"
    return (State.DRIFT if again else State.WATCH), why


def _tells(settings: Settings, residual: Residual) -> bool:
    floor, reference = settings.floor, settings.reference
    if isinstance(reference, NumberTally) and reference.labelled:
        floor *= float(reference.counts[1] / reference.counts[0])
    return residual.exceeded and residual.effect >= floor
