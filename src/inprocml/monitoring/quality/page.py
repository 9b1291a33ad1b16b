"""The report of quality for a browser and a notebook: HTML and SVG, no script, escaped, bounded in size."""

from __future__ import annotations

from collections.abc import Sequence

from inprocml.drawing import (
    Markup,
    apart,
    banner,
    bars,
    clean,
    curve,
    document,
    heading,
    intervals,
    paragraph,
    table,
)
from inprocml.monitoring.quality import words
from inprocml.monitoring.quality.report import QualityReport
from inprocml.monitoring.quality.tally import BINS, UNIT, ClassTally
from inprocml.monitoring.verdict import State

__all__ = ["body", "page"]

_COLOURS = {State.DRIFT: "#d1242f", State.WATCH: "#bf8700", State.OK: "#2da44e"}
_GREY = "#848d97"
_POINTS = 20  # of the calibration curve


def body(report: QualityReport) -> Markup:
    """Return the report as ``QualityReport.body`` says."""
    told = "".join(
        [
            banner(words.title(report), words.standing(report), _COLOURS.get(report.state, _GREY)),
            _figures(report),
            paragraph(words.upcoming(report)) if report.upcoming else "",
            _calibration(report),
            _over_time(report),
            _slices(report),
            paragraph(words.health(report)),
        ]
    )
    return Markup(f'<div style="line-height:1.45">{told}</div>')


def page(report: QualityReport) -> str:
    """Return the report as ``QualityReport.html`` says."""
    return document(f"{clean(report.model)} - {words.title(report)}", body(report))


def _figures(report: QualityReport) -> Markup:
    if not report.rows:
        return Markup("")
    head = ("figure", "labels say", "95 %", "expected from scores")
    title = heading(f"How good answers were, {words.period(report)}")
    return Markup(title + table(head, words.figures(report.metrics)))


def _calibration(report: QualityReport) -> Markup:
    """What scores promised against what came true: of the labels behind the figures, and in the reference."""
    shown, period = words.of_figures(report), words.period(report)
    if not shown.labelled:
        shown, period = report.counters.total(), "all labels so far"
    if not isinstance(shown, ClassTally) or not shown.labelled:
        return Markup("")
    lines = {"labels": _points(shown)}
    if isinstance(report.settings.reference, ClassTally):
        lines["reference"] = _points(report.settings.reference)
    said = f"Scores, and how often they came true: {shown.labelled:,} labels, {period}"
    drawn = curve(lines, said, x="score", y="share that came true")
    return Markup(heading(f"Calibration, {period}") + paragraph(f"Of {shown.labelled:,} labels.") + drawn)


def _points(tally: ClassTally) -> list[tuple[float, float]]:
    rows, positives, sums = (
        each.reshape(_POINTS, BINS // _POINTS).sum(1) for each in (tally.rows, tally.positives, tally.sums)
    )
    return [
        (score / UNIT / count, came / count)
        for count, came, score in zip(rows.tolist(), positives.tolist(), sums.tolist(), strict=True)
        if count
    ]


def _over_time(report: QualityReport) -> Markup:
    shown = report.cohorts
    if not shown:
        return Markup("")
    rows = [each.predicted for each in shown]
    cells: list[Sequence[str]] = [
        ("predictions", bars(rows, "predictions of each cohort"), f"at most {max(rows):,}"),
        (
            "share with a label",
            bars([each.coverage for each in shown], "labelled share", most=1.0),
            "full height is all",
        ),
    ]
    name, values = words.over_time(report)
    if any(values):
        told = words.newest(report)
        drawn = intervals(values, f"{name} of each cohort that can be judged, with its 95 % interval: {told}")
        cells.append((name, drawn, f"dots with 95 % intervals; the axis does not begin at 0; {told}"))
    return Markup(
        heading("Over time") + paragraph(words.cohorts(report)) + table(("what", "over time", ""), cells)
    )


def _slices(report: QualityReport) -> Markup:
    rows = [(apart(name), *rest) for name, *rest in words.sliced(report)]
    if not rows:
        return Markup("")
    return Markup(
        heading("By slice, of all labels") + table(("slice", "figure", "value [95 %]", "labels"), rows)
    )
