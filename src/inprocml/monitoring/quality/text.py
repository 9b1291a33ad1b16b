"""The report of quality for a terminal: plain text, as wide as it is told to be."""

from __future__ import annotations

import textwrap

from inprocml.drawing import aligned, cells, clean, spark
from inprocml.monitoring.quality import words
from inprocml.monitoring.quality.report import QualityReport

__all__ = ["text"]

_NARROWEST = 40
_COHORTS = 32  # in the line of the newest ones
_SLICES = 16


def text(report: QualityReport, width: int, *, ascii_only: bool) -> str:
    """Return the report as ``QualityReport.text`` says."""
    width = max(width, _NARROWEST)
    lines = [*_wrapped(words.title(report), width), *_wrapped(words.standing(report), width)]
    if report.metrics:
        rows = [("figure", "labels say", "95 %", "expected"), *words.figures(report.metrics)]
        title = f"How good answers were, {words.period(report)}"
        lines += ["", *(_wrapped(title, width) if report.rows else []), *aligned(rows).split("\n")]
    if report.upcoming:
        lines += ["", *_wrapped(words.upcoming(report), width)]
    sliced = words.sliced(report)
    if sliced:
        lines += ["", "By slice, of all labels"]
        lines += aligned([("slice", "figure", "value [95 %]", "labels"), *sliced[:_SLICES]]).split("\n")
        lines += [f"{len(sliced) - _SLICES} more are in to_dict()"] if len(sliced) > _SLICES else []
    if report.cohorts:
        newest = report.cohorts[-_COHORTS:]
        came = spark([each.coverage for each in newest], most=1.0, ascii_only=ascii_only)
        lines += ["", *_wrapped(words.cohorts(report), width), f"labelled  {came}"]
        lines += _wrapped(told, width) if (told := words.newest(report)) else []
    lines += ["", *_wrapped(words.health(report), width)]
    kept = [line if cells(line) <= width else _cut(line, width) for line in lines]
    shown = "\n".join(kept)
    return shown.encode("ascii", "backslashreplace").decode() if ascii_only else shown


def _wrapped(said: str, width: int) -> list[str]:
    return textwrap.wrap(clean(said, 2_000), width) or [""]


def _cut(line: str, width: int) -> str:
    while cells(line) > width - 3:
        line = line[:-1]
    return f"{line}..."
