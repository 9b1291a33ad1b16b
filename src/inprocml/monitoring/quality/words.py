"""What a report of quality says, in words, so that terminal, notebook and page say the same."""

from __future__ import annotations

from collections.abc import Mapping

from inprocml.drawing import clean
from inprocml.monitoring.quality.interval import Estimate
from inprocml.monitoring.quality.report import QualityReport, clock

__all__ = ["cohorts", "figures", "health", "number", "sliced", "standing", "title", "upcoming"]

_NAMES = {
    "auc": "AUC",
    "f1": "F1",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "calibration error",
}
_NAMES |= {"mae": "mean absolute error", "rmse": "root mean squared error"}
_TELLING = ("accuracy", "mae")  # of a slice


def title(report: QualityReport) -> str:
    """Return whose quality it is, and its state."""
    whose = f" of {clean(report.model)} {clean(report.version)}" if report.model else ""
    return f"quality{whose}: {report.state}"


def standing(report: QualityReport) -> str:
    """Return why, and on what that rests."""
    share = "" if report.coverage is None else f"; {report.coverage:.1%} of predictions get a label"
    return f"{report.why}. {report.rows:,} labels in the newest cohorts that can be judged{share}."


def figures(metrics: Mapping[str, Estimate]) -> list[tuple[str, str, str, str]]:
    """Return name, value, interval, and what was expected, of each figure."""
    return [
        (_NAMES.get(name, name), number(each.value), _interval(each), number(each.expected))
        for name, each in metrics.items()
    ]


def upcoming(report: QualityReport) -> str:
    """Return what scores lead to expect of rows whose labels have not come."""
    listed = ", ".join(f"{_NAMES.get(name, name)} {value:.3g}" for name, value in report.upcoming.items())
    return f"To be expected of rows whose labels are still to come: {listed}."


def sliced(report: QualityReport) -> list[tuple[str, str, str, str]]:
    """Return slice, figure, value with interval, and labels, of every slice that has any."""
    rows = []
    for name, values in report.slices.items():
        for value, found in values.items():
            telling = next((one for one in _TELLING if one in found), None)
            if telling is None or not found[telling].rows:
                continue
            each = found[telling]
            shown = f"{number(each.value)} [{_interval(each)}]"
            rows.append((clean(f"{name} = {value}"), _NAMES.get(telling, telling), shown, f"{each.rows:,}"))
    return rows


def cohorts(report: QualityReport) -> str:
    """Return which predictions are judged together, and how many of such groups can be."""
    length = report.settings.length
    unit = "day" if length == 86_400 else "hour" if length == 3_600 else f"{length:g} s"
    mature = sum(each.mature for each in report.cohorts)
    return (
        f"Predictions by {unit}, {clock(report.cohorts[0].start)} to {clock(report.cohorts[-1].until)} UTC: "
        f"{len(report.cohorts)}, of which {mature} have enough labels to be judged."
    )


def health(report: QualityReport) -> str:
    """Return what became of labels, and whose they are."""
    outcomes = ", ".join(f"{count:,} {name}" for name, count in report.counters.outcomes.items() if count)
    lost = ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in report.counters.lost.items() if count
    )
    whose = {
        "worker": "this process alone",
        "host": f"all processes of this host, {report.workers} of which live",
        "hosts": f"{report.hosts} hosts, {report.workers} processes",
    }[report.scope]
    besides = f" Predictions and failures besides: {lost}." if lost else ""
    return f"Labels: {outcomes or 'none'}; of {whose}.{besides}"


def number(value: float | None) -> str:
    """Return a figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def _interval(each: Estimate) -> str:
    return "-" if each.low is None else f"{number(each.low)} to {number(each.high)}"
