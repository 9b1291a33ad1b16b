"""What a report of quality says, in words, so that terminal, notebook and page say the same."""

from __future__ import annotations

from collections.abc import Mapping

from inprocml.drawing import clean
from inprocml.monitoring.quality.class_metrics import class_metrics
from inprocml.monitoring.quality.cohorts import latest, to_come
from inprocml.monitoring.quality.interval import Estimate, Interval
from inprocml.monitoring.quality.number_metrics import number_metrics
from inprocml.monitoring.quality.report import QualityReport, clock, summed
from inprocml.monitoring.quality.tally import ClassTally, Tally

__all__ = [
    "cohorts",
    "figures",
    "health",
    "newest",
    "number",
    "of_figures",
    "over_time",
    "period",
    "sliced",
    "standing",
    "title",
    "upcoming",
]

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


def period(report: QualityReport) -> str:
    """Return of which time the figures are: that of the newest cohorts that can be judged."""
    shown = latest(report.cohorts, report.settings.recent)
    return f"{clock(shown[0].start)} to {clock(shown[-1].until)} UTC" if shown else ""


def of_figures(report: QualityReport) -> Tally:
    """Return the counts behind the figures."""
    return summed(report.counters, latest(report.cohorts, report.settings.recent))


def upcoming(report: QualityReport) -> str:
    """Return what scores lead to expect of rows whose labels have not come, and of how many."""
    listed = ", ".join(f"{_NAMES.get(name, name)} {value:.3g}" for name, value in report.upcoming.items())
    coming = to_come(report.cohorts)
    rows, come = sum(each.predicted for each in coming), sum(each.labelled for each in coming)
    since = f" since {clock(coming[0].start)} UTC" if coming else ""
    return (
        f"To be expected of the {rows:,} predictions{since}, whose labels are still to come "
        f"({come:,} are there): {listed}."
    )


def over_time(report: QualityReport) -> tuple[str, list[Interval | None]]:
    """Return one figure of each cohort: accuracy, or mean absolute error; None where it cannot be judged."""
    name = "accuracy" if report.settings.classes else "mae"
    found: list[Interval | None] = []
    for each in report.cohorts:
        tally = report.counters.cohorts[each.number]
        metrics = class_metrics(tally) if isinstance(tally, ClassTally) else number_metrics(tally)
        found.append(metrics[name] if each.mature and tally.labelled else None)
    return _NAMES.get(name, name), found


def newest(report: QualityReport) -> str:
    """Return that figure of the newest cohort, and between what it was in the others."""
    name, found = over_time(report)
    known = [each for each in found if each is not None]
    if not known:
        return ""
    value, low, high = known[-1]
    least, most = (number(end(each[0] for each in known)) for end in (min, max))
    between = f"; between {least} and {most} in {len(known)} cohorts" if len(known) > 1 else ""
    return f"{name} {number(value)} [{number(low)} to {number(high)}] in the newest one{between}"


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
    apart = report.workers > 1 and report.counters.outcomes.get("unmatched", 0)
    hint = (
        " A label of another worker's prediction is unmatched without Monitoring(store=...)." if apart else ""
    )
    return f"Labels: {outcomes or 'none'}; of {whose}.{besides}{hint}"


def number(value: float | None) -> str:
    """Return a figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def _interval(each: Estimate) -> str:
    return "-" if each.low is None else f"{number(each.low)} to {number(each.high)}"
