"""The report for a browser and a notebook: HTML and SVG, no script, escaped, on light and dark pages alike.

A fragment is bounded in size whatever it holds: columns with pictures, the most telling first, then rows of a
plain table, then a sentence that says how many there are besides.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from inprocml.drawing import (
    Markup,
    apart,
    banner,
    bars,
    clean,
    compared,
    document,
    heading,
    listed,
    paragraph,
    short,
    table,
)
from inprocml.monitoring.report import words
from inprocml.monitoring.report.core import DriftReport
from inprocml.monitoring.report.shares import Move, moves
from inprocml.monitoring.report.timeline import strip
from inprocml.monitoring.verdict import Finding, State

__all__ = ["body", "page"]

LARGEST = 300_000
_AROUND = 4_000  # bytes for the page around, and the ends of tables
_PICTURED, _PICTURED_BYTES = 40, 110_000
_LEAST = 12  # columns with pictures where nothing drifted
_TOLD = 20  # columns whose bins are told
_MOVES = 5
_LONG = 24  # letters of a name that may be broken

# Alike on white and on black; the words say the same.
_COLOURS = {
    State.DRIFT: "#d1242f",
    State.WATCH: "#bf8700",
    State.OK: "#2da44e",
}
_GREY = "#848d97"
_NONE = Markup('<span style="opacity:0.5">-</span>')


def body(report: DriftReport) -> Markup:
    """Return the report as ``DriftReport.body`` says."""
    pictured = _pictured(report)
    rest = report.findings[len(pictured) :]
    told = "".join(
        [
            banner(words.title(report), words.standing(report), _COLOURS.get(report.state, _GREY)),
            paragraph(words.counted(report)),
            *map(paragraph, filter(None, (words.alone(report), words.learning(report)))),
            *map(paragraph, words.unjudged(report)),
            paragraph(words.joint(report)) if report.joint is not None else "",
            _scrolled(_ranked(report, pictured)) if pictured else "",
            _timeline(report),
            *_told(report),
            *_over(report),
            paragraph(words.health(report)),
        ]
    )
    left = _rest(rest, LARGEST - _AROUND - len(told.encode()))
    return Markup(f'<div style="line-height:1.45">{told}{left}</div>')


def page(report: DriftReport) -> str:
    """Return the report as ``DriftReport.html`` says."""
    return document(f"{clean(report.model)} - {words.title(report)}", body(report))


def _pictured(report: DriftReport) -> list[Finding]:
    """The findings that are shown with pictures: all that moved, as far as there is room, and some others."""
    chosen, size = [], 0
    for found in report.findings[: min(max(len(report.moved), _LEAST), _PICTURED)]:
        size += len(_ranked(report, [found]).encode())
        if size > _PICTURED_BYTES:
            break
        chosen.append(found)
    return chosen


def _ranked(report: DriftReport, findings: Sequence[Finding]) -> Markup:
    _, rival = words.against(report.reference)
    head = (
        "column",
        "state",
        "since",
        "by how much",
        f"{rival} (filled), now (line)",
        "over time",
        _unbroken("PSI [95 %]"),
        "missing",
        "new, outside",
        "rows",
    )
    return table(head, (_row(report, found) for found in findings))


def _row(report: DriftReport, found: Finding) -> list[str]:
    said = words.changed(found, report.reference, report.at).removeprefix(f"{clean(found.name)}: ")
    _, rival = words.against(report.reference)
    return [
        _name(found),
        _state(found.state),
        _unbroken(words.began(found, report.at)),
        _amount(found, said),
        _then_and_now(report, found),
        _day(report, found),
        _unbroken(words.psi(found)),
        _now_and_then(words.missing(found), rival),
        _now_and_then(words.outside(found), words.unheard(found, report.reference)),
        _rows(found, words.window(found, report.at)),
    ]


def _rows(found: Finding, of: str) -> Markup:
    rows = _unbroken(f"{found.rows:,}")
    if of == "-":
        return rows
    parts = of.replace(" to ", " to\n").split("\n")  # two dates are too long for one line
    return Markup(f"{rows}<br><small>{'<br>'.join(map(_unbroken, parts))}</small>")


def _name(found: Finding) -> Markup:
    role = '<br><small style="opacity:0.7">output</small>' if found.role == "output" else ""
    wraps = "overflow-wrap:anywhere" if len(found.name) > _LONG else "white-space:nowrap"
    return Markup(f'<strong style="{wraps}">{apart(found.name)}</strong>{role}')


def _state(state: State) -> Markup:
    colour = _COLOURS.get(state, _GREY)
    return Markup(f'<span style="border-left:4px solid {colour};padding-left:5px">{state}</span>')


def _amount(found: Finding, said: str) -> Markup:
    if not said:
        return _unbroken(words.amount(found))
    told = f'<small style="overflow-wrap:anywhere"><bdi>{_text(said)}</bdi></small>'
    return Markup(f"{_text(words.amount(found))}<br>{told}")


def _then_and_now(report: DriftReport, found: Finding) -> Markup:
    if not sum(found.reference) and not sum(found.current):
        return _NONE
    _, rival = words.against(report.reference)
    ends = f"{short(found.labels[0], 24)} to {short(found.labels[-1], 24)}"
    caption = f"{clean(found.name)}: {rival} (filled), now (line); {len(found.labels)} bins, {ends}"
    return compared(found.reference, found.current, caption)


def _day(report: DriftReport, found: Finding) -> Markup:
    over = strip(report, found.name)
    if not any(over.scores):
        return _NONE
    said = f"{over.what} in each slot of the timeline, at most {over.most:.2g}; {over.scale}"
    return bars(over.scores, f"{clean(found.name)}: {said}", most=over.full)


def _now_and_then(shares: tuple[str, str], rival: str) -> Markup:
    now, then = shares
    if now == then:
        return _unbroken(now)
    return Markup(f"{_unbroken(now)}<br><small>{_unbroken(f'{rival} {then}')}</small>")


def _told(report: DriftReport) -> list[Markup]:
    """The bins whose shares moved most, of the columns that moved most."""
    _, rival = words.against(report.reference)
    parts = []
    for found in report.moved[:_TOLD]:
        told = moves(found, _MOVES)
        if told:
            parts += [_about(found), table(("values", rival, "now", ""), [_move(move) for move in told])]
        if values := words.new_values(report, found, apart):
            parts.append(Markup(f'<p style="margin:0.2em 0">{values}</p>'))
    if len(report.moved) > _TOLD:
        parts.append(paragraph(f"and {len(report.moved) - _TOLD} more"))
    return [heading("Where shares moved most"), *parts] if parts else []


def _over(report: DriftReport) -> list[Markup]:
    """The last episodes that are over."""
    said = words.ended(report)[:_TOLD]
    return [heading("Over"), *map(paragraph, said)] if said else []


def _about(found: Finding) -> Markup:
    return Markup(f'<p style="margin:0.8em 0 0.2em"><strong>{apart(found.name)}</strong></p>')


def _move(move: Move) -> list[str]:
    rise = "more" if move.current > move.reference else "fewer"
    label = apart(move.label.removeprefix("="))
    return [label, words.percent(move.reference), words.percent(move.current), rise]


def _timeline(report: DriftReport) -> Markup:
    if not report.timeline:
        return Markup("")
    told, rows = strip(report), [slot.rows for slot in report.timeline]
    cells: list[Sequence[str]] = [("rows", bars(rows, "rows in each slot"))]
    if told.most:
        drawn = bars(told.scores, f"largest {told.what}; {told.scale}", most=told.full)
        cells.append((f"largest {told.what} of any column", drawn))
    return Markup(
        heading("Over time") + paragraph(words.over_time(report, told)) + table(("what", "over time"), cells)
    )


def _rest(findings: Sequence[Finding], room: int) -> Markup:
    """The other columns, folded: a plain table as long as there is room, then how many there are besides."""
    if not findings:
        return Markup("")
    rows, size = [], 0
    for found in findings:
        row = [
            apart(found.name),
            str(found.state),
            words.amount(found),
            words.psi(found),
            words.missing(found)[0],
            words.outside(found)[0],
            f"{found.rows:,}",
        ]
        size += len(listed((), [row]).encode())
        if size > room:
            break
        rows.append(row)
    head = ("column", "state", "by how much", "PSI [95 %]", "missing", "new, outside", "rows")
    left = len(findings) - len(rows)
    more = paragraph(f"{left} more columns are in the report's JSON (to_dict).") if left else ""
    shown = f"<summary>{len(findings)} more columns</summary>{_scrolled(listed(head, rows))}{more}"
    return Markup(f'<details style="margin-top:1em">{shown}</details>')


def _unbroken(text: str) -> Markup:
    return Markup(f'<span style="white-space:nowrap">{_text(text)}</span>')


def _scrolled(markup: Markup) -> Markup:
    return Markup(f'<div style="overflow-x:auto">{markup}</div>')


def _text(text: str) -> Markup:
    """Escape text that goes into a string of markup."""
    return Markup(html.escape(text, quote=True))
