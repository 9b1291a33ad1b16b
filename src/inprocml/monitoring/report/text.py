"""The report for a terminal: plain text, as wide as it is told to be, aligned."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from inprocml.drawing import aligned, cells, clean, spark
from inprocml.monitoring.report import words
from inprocml.monitoring.report.core import DriftReport
from inprocml.monitoring.report.timeline import strip
from inprocml.monitoring.verdict import Finding, State

__all__ = ["text"]

_NARROWEST = 40
_SHOWN, _QUIET = 40, 12  # columns in the table, and in one where nothing moved
_TOLD, _PICTURED = 20, 6  # columns of which it is said what changed, and that are drawn
_NAME = 24
_HEAD = ("column", "state", "since", "by how much", "PSI [95 %]", "missing", "new or outside", "rows", "of")
_DROPPED = (8, 7, 5, 4, 6, 2)  # columns of the table that go first where there is little room


def text(report: DriftReport, width: int, *, ascii_only: bool) -> str:
    """Return the report as ``DriftReport.text`` says."""
    width = max(width, _NARROWEST)
    lines = [
        *_wrapped(words.title(report), width),
        *_wrapped(words.standing(report), width),
        *_wrapped(words.counted(report), width),
        *_wrapped(words.alone(report), width),
        *_wrapped(words.learning(report), width),
    ]
    if report.findings:
        lines += ["", *_table(report, width)]
    moved = [found for found in report.findings if found.state in {State.DRIFT, State.WATCH}]
    if moved:
        lines += ["", "What changed"]
    for place, found in enumerate(moved[:_TOLD]):
        lines += _panel(report, found, width, drawn=place < _PICTURED, ascii_only=ascii_only)
    if len(moved) > _TOLD:
        lines.append(f"  and {len(moved) - _TOLD} more")
    if together := words.joint(report):
        lines += ["", *_wrapped(together, width)]
    if over := words.ended(report):
        lines += ["", "Over", *(line for said in over for line in _wrapped(said, width, "  "))]
    if waiting := words.unjudged(report):
        lines += ["", "Not judged", *(line for said in waiting for line in _wrapped(said, width, "  "))]
    if report.timeline:
        lines += ["", *_timeline(report, width, ascii_only=ascii_only)]
    lines += ["", *_wrapped(words.health(report), width)]
    if ascii_only:
        lines = [line.encode("ascii", "backslashreplace").decode("ascii") for line in lines]
    return "\n".join(_cut(line, width).rstrip() for line in lines)


def _table(report: DriftReport, width: int) -> list[str]:
    moved = sum(found.state in {State.DRIFT, State.WATCH} for found in report.findings)
    shown = report.findings[: min(max(moved, _QUIET), _SHOWN)]
    rows = [_row(found, report.at) for found in shown]
    kept = list(range(len(_HEAD)))
    if all(row[8] == "-" for row in rows):  # of rows that have no time
        kept.remove(8)
    for column in (None, *_DROPPED):
        if column is not None and column in kept:
            kept.remove(column)
        drawn = aligned([[row[place] for place in kept] for row in (_HEAD, *rows)]).split("\n")
        if max(map(cells, drawn)) <= width:
            break
    if rest := report.findings[len(shown) :]:
        states = Counter(found.state for found in rest)
        drawn.append(
            f"and {len(rest)} more: {', '.join(f'{many} {state}' for state, many in states.items())}"
        )
    return drawn


def _row(found: Finding, now: float) -> list[str]:
    return [
        clean(found.name, _NAME),
        str(found.state),
        words.began(found, now),
        words.amount(found),
        words.psi(found),
        words.missing(found)[0],
        words.outside(found)[0],
        f"{found.rows:,}",
        words.window(found, now),
    ]


def _panel(report: DriftReport, found: Finding, width: int, *, drawn: bool, ascii_only: bool) -> list[str]:
    """Say what changed in one column, over bars of then and now on one scale."""
    _, rival = words.against(report.reference)
    room = width - 4 - len("training  ")
    said = _wrapped(words.changed(found, report.reference, report.at), width, "  ")
    if not drawn:
        return said
    pairs = [[count / (sum(side) or 1) for count in side] for side in (found.reference, found.current)]
    tallest = max((part for side in pairs for part in side), default=0)
    if not tallest or len(pairs[0]) > room:
        return said
    for name, side in zip((rival, "now"), pairs, strict=True):
        said.append(f"    {name:<10}{spark(side, most=tallest, ascii_only=ascii_only)}")
    return said


def _timeline(report: DriftReport, width: int, *, ascii_only: bool) -> list[str]:
    slots = report.timeline[-(width - 16) :]
    over = words.lasting(slots[-1].until - slots[0].until)
    until = words.clock(slots[-1].until, report.at)
    rows = spark([slot.rows for slot in slots], ascii_only=ascii_only)
    told = strip(report)
    drawn = spark(told.scores[-len(slots) :], most=told.full, ascii_only=ascii_only)
    most = f"at most {max(slot.rows for slot in slots):,} rows, {told.what} {told.most:.2g}"
    return [
        *_wrapped(f"{over} until {until} UTC; {most}; {told.scale}", width),
        f"  rows          {rows}",
        f"  largest {told.what:<6}{drawn}",
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
