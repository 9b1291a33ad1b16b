"""The report for a terminal: plain text, as wide as it is told to be, aligned."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from inprocml.drawing import aligned, cells, clean, spark
from inprocml.monitoring.report import words
from inprocml.monitoring.report.core import DriftReport
from inprocml.monitoring.report.timeline import largest
from inprocml.monitoring.verdict import Finding, State

__all__ = ["text"]

_NARROWEST = 40
_SHOWN = 40  # columns in the table
_PICTURED = 6
_NAME = 24
_HEAD = ("column", "state", "since", "by how much", "PSI [95 %]", "missing", "new or outside", "rows")
_DROPPED = (7, 5, 4, 6, 2)  # columns of the table that go first where there is little room


def text(report: DriftReport, width: int, *, ascii_only: bool) -> str:
    """Return the report as ``DriftReport.text`` says."""
    width = max(width, _NARROWEST)
    lines = [
        words.TITLES[report.state].upper() if report.state is State.DRIFT else words.TITLES[report.state],
        *_wrapped(words.standing(report), width),
        *_wrapped(words.counted(report), width),
    ]
    if report.findings:
        lines += ["", *_table(report, width)]
    moved = [found for found in report.findings if found.state in {State.DRIFT, State.WATCH}]
    if moved:
        lines += ["", "What changed"]
    for found in moved[:_PICTURED]:
        lines += _panel(report, found, width, ascii_only=ascii_only)
    if waiting := words.unjudged(report):
        lines += ["", "Not judged", *(line for said in waiting for line in _wrapped(said, width, "  "))]
    if report.timeline:
        lines += ["", *_timeline(report, width, ascii_only=ascii_only)]
    lines += ["", *_wrapped(words.health(report), width)]
    if ascii_only:
        lines = [line.encode("ascii", "backslashreplace").decode("ascii") for line in lines]
    return "\n".join(_cut(line, width).rstrip() for line in lines)


def _table(report: DriftReport, width: int) -> list[str]:
    rows = [_row(found, report.at) for found in report.findings[:_SHOWN]]
    kept = list(range(len(_HEAD)))
    for column in (None, *_DROPPED):
        if column is not None:
            kept.remove(column)
        drawn = aligned([[row[place] for place in kept] for row in (_HEAD, *rows)]).split("\n")
        if max(map(cells, drawn)) <= width:
            break
    if len(report.findings) > _SHOWN:
        drawn.append(f"and {len(report.findings) - _SHOWN} more columns")
    return drawn


def _row(found: Finding, now: float) -> list[str]:
    return [
        clean(found.name, _NAME),
        str(found.state),
        words.clock(found.since, now),
        words.amount(found),
        words.psi(found),
        words.percent(found.measures.missing if not found.labels else _missing(found)),
        words.outside(found),
        f"{found.rows:,}",
    ]


def _missing(found: Finding) -> float | None:
    total = sum(found.current)
    return found.current[-1] / total if total else None


def _panel(report: DriftReport, found: Finding, width: int, *, ascii_only: bool) -> list[str]:
    """Say what changed in one column, over bars of then and now on one scale."""
    _, rival = words.against(report.reference)
    room = width - 4 - len("training  ")
    drawn = _wrapped(words.changed(found, report.reference, report.at), width, "  ")
    pairs = [[count / (sum(side) or 1) for count in side] for side in (found.reference, found.current)]
    tallest = max((part for side in pairs for part in side), default=0)
    if not tallest or len(pairs[0]) > room:
        return drawn
    for name, side in zip((rival, "now"), pairs, strict=True):
        drawn.append(f"    {name:<10}{spark(side, most=tallest, ascii_only=ascii_only)}")
    return drawn


def _timeline(report: DriftReport, width: int, *, ascii_only: bool) -> list[str]:
    slots = report.timeline[-(width - 16) :]
    first, last = (words.clock(slot.until, report.at) for slot in (slots[0], slots[-1]))
    rows = spark([slot.rows for slot in slots], ascii_only=ascii_only)
    scores = [largest(slot) for slot in slots]
    drawn = spark(scores, ascii_only=ascii_only)
    return [
        f"From {first} to {last} UTC; tallest: {max(slot.rows for slot in slots):,} rows, PSI {max(scores):.2f}",
        f"  rows          {rows}",
        f"  largest PSI   {drawn}",
    ]


def _wrapped(said: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(said, width, initial_indent=indent, subsequent_indent=indent) or []


def _cut(line: str, width: int) -> str:
    """Cut what is too wide, by the cells that a terminal gives each letter."""
    if cells(line) <= width:
        return line
    kept: Sequence[str] = line
    while kept and cells("".join(kept)) > width - 3:
        kept = kept[:-1]
    return "".join(kept) + "..."
