"""The report for a terminal: plain text, as wide as it is told to be, aligned."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from inprocml.drawing import aligned, cells, clean, spark
from inprocml.monitoring.report import words
from inprocml.monitoring.report.core import DriftReport
from inprocml.monitoring.report.shares import moves
from inprocml.monitoring.report.timeline import strip
from inprocml.monitoring.verdict import Finding, State

__all__ = ["text"]

_NARROWEST = 40
_SHOWN, _QUIET = 40, 12  # columns in the table, and in one where nothing moved
_TOLD, _PICTURED = 20, 4  # columns of which it is said what changed, and that are drawn
_MOVES = 3
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
    if report.moved:
        lines += ["", "What changed"]
    for place, found in enumerate(report.moved[:_TOLD]):
        lines += _panel(report, found, width, drawn=place < _PICTURED, ascii_only=ascii_only)
    if len(report.moved) > _TOLD:
        lines.append(f"  and {len(report.moved) - _TOLD} more")
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
    shown = report.findings[: min(max(len(report.moved), _QUIET), _SHOWN)]
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
    if 8 not in kept and (quiet := _quiet(shown, report.at)):
        drawn += _wrapped(quiet, width)
    if rest := report.findings[len(shown) :]:
        states = Counter(found.state for found in rest)
        drawn.append(
            f"and {len(rest)} more: {', '.join(f'{many} {state}' for state, many in states.items())}"
        )
    return drawn


def _quiet(shown: Sequence[Finding], now: float) -> str:
    """Say of which time the numbers are where there was no room for it: what moved says so below."""
    windows = [words.window(found, now) for found in shown if found.state not in {State.DRIFT, State.WATCH}]
    told = [of for of, _ in Counter(of for of in windows if of != "-").most_common(3)]
    return f"Columns that did not move are shown as of: {'; '.join(told)}." if told else ""


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
    """Say what changed in one column, over bars of then and now on one scale, and where shares moved."""
    _, rival = words.against(report.reference)
    room = width - 4 - len("training  ")
    what = words.changed(found, report.reference, report.at)
    said = _wrapped(f"{what} ({words.of_rows(found, report.at)})", width, "  ")
    if values := words.new_values(report, found):
        said += _wrapped(values, width, "    ")
    if not drawn:
        return said
    pairs = [[count / (sum(side) or 1) for count in side] for side in (found.reference, found.current)]
    tallest = max((part for side in pairs for part in side), default=0)
    if not tallest or len(pairs[0]) > room:
        return said
    for name, side in zip((rival, "now"), pairs, strict=True):
        said.append(f"    {name:<10}{spark(side, most=tallest, ascii_only=ascii_only)}")
    told = [(move.label.removeprefix("="), move) for move in moves(found, _MOVES)]
    rows = [
        (clean(label, _NAME), words.percent(move.reference), words.percent(move.current))
        for label, move in told
    ]
    table = aligned([("values", rival, "now"), *rows]).split("\n") if rows else []
    return [*said, *(f"    {line}" for line in table)]


def _timeline(report: DriftReport, width: int, *, ascii_only: bool) -> list[str]:
    shown = replace(report, timeline=report.timeline[-(width - 16) :])
    told = strip(shown)
    rows = spark([slot.rows for slot in shown.timeline], ascii_only=ascii_only)
    lines = [*_wrapped(words.over_time(shown, told), width), f"  rows          {rows}"]
    if told.most:
        drawn = spark(told.scores, most=told.full, ascii_only=ascii_only)
        lines.append(f"  largest {told.what:<6}{drawn}")
    return lines


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
