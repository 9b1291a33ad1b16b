"""Tables and charts for notebooks and files: HTML and SVG as text, escaped, without script or style sheet.

Nothing is loaded from anywhere, and every line and bar takes the colour of the text around it
(``currentColor``), so that light and dark pages are alike to it.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "Markup",
    "aligned",
    "apart",
    "banner",
    "bars",
    "cells",
    "clean",
    "compared",
    "curve",
    "document",
    "folded",
    "heading",
    "intervals",
    "lines",
    "link",
    "listed",
    "paragraph",
    "short",
    "spark",
    "table",
    "typed",
]

_WIDTH, _HEIGHT = 168, 28  # pixels; 168 is 24 bars of 7 pixels, and a pixel for every hour of a week
_WIDE, _HIGH = 720, 380  # pixels of a chart with axes, and of the field within it
_LEFT, _TOP, _ACROSS, _DOWN = 64, 40, 490, 290
_LEAST, _MOST = 1e-12, 1e12  # that have a place in a chart
_DASHES = ("none", "6 3", "2 3", "8 3 2 3")
_BLOCKS = (
    "\N{LOWER ONE EIGHTH BLOCK}\N{LOWER ONE QUARTER BLOCK}\N{LOWER THREE EIGHTHS BLOCK}\N{LOWER HALF BLOCK}\
\N{LOWER FIVE EIGHTHS BLOCK}\N{LOWER THREE QUARTERS BLOCK}\N{LOWER SEVEN EIGHTHS BLOCK}\N{FULL BLOCK}"
)
_ASCII_BLOCKS = ".:-=+*#@"
_CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0;border-bottom:1px solid currentColor"


class Markup(str):
    """Text that is HTML already; all other text is escaped on its way into a table."""

    __slots__ = ()


def short(text: str, most: int = 60) -> str:
    """Return the text in one line of at most ``most`` characters, dots in place of the end."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


def clean(text: str, most: int = 60) -> str:
    """Return other people's text as ``short`` does, with "?" for what could hide, reorder or command."""
    return "".join(letter if letter.isprintable() else "?" for letter in short(text, most))


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes: Chinese letters take two, accents none."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def spark(counts: Sequence[float], *, most: float | None = None, ascii_only: bool = False) -> str:
    """Return a bar chart of ``counts`` (not negative) in one line of text, one letter a bar.

    The tallest bar is ``most``, or the largest count. Nothing is a space, and only nothing is.
    """
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    tallest = most or max(counts, default=0) or 1
    return "".join(
        blocks[min(int(min(count / tallest, 1.0) * len(blocks)), len(blocks) - 1)] if count > 0 else " "
        for count in counts
    )


def bars(counts: Sequence[float], caption: str, *, most: float | None = None) -> Markup:
    """Return a bar chart of ``counts`` (not negative) as one SVG element; ``caption`` is its tooltip.

    ``most``, or the tallest bar, fills the height. A count that is not zero is never drawn as nothing.
    """
    tallest = most or max(counts, default=0) or 1
    step = _WIDTH / max(len(counts), 1)
    gap = 1 if step >= 3 else 0
    path = []
    for place, count in enumerate(counts):
        if count:
            height = min(max(_HEIGHT * count / tallest, 1), _HEIGHT)
            x, width = place * step, step - gap
            path.append(f"M{x:.4g} {_HEIGHT}v{-height:.4g}h{width:.4g}v{height:.4g}z")
    said = _escaped(caption)
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{said}</title>'
        f'<path d="{"".join(path)}" fill="currentColor" fill-opacity="0.6"/>'
        f'<path d="M0 {_HEIGHT}h{_WIDTH}" stroke="currentColor" stroke-opacity="0.4"/></svg>'
    )


def intervals(points: Sequence[tuple[float, float, float] | None], caption: str) -> Markup:
    """Return values with the ends of their intervals as one SVG element: dots, each on its line.

    The axis spans the intervals, and both its ends are written beside it: it need not begin at 0, as bars
    must. None is a gap.
    """
    known = [point for point in points if point is not None]
    low, high = min((p[1] for p in known), default=0.0), max((p[2] for p in known), default=1.0)
    low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
    height, step = 2 * _HEIGHT, _WIDTH / max(len(points), 1)
    drawn = []
    for place, point in enumerate(points):
        if point is None:
            continue
        x = f"{(place + 0.5) * step:.4g}"
        middle, bottom, top = (4 + (high - each) / (high - low) * (height - 8) for each in point)
        drawn.append(f'<path d="M{x} {top:.4g}V{bottom:.4g}" stroke="currentColor" stroke-opacity="0.5"/>')
        drawn.append(f'<circle cx="{x}" cy="{middle:.4g}" r="{min(2.5, max(1.0, step / 3)):.3g}"/>')
    said = _printed(caption)
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" width="{_WIDTH + 56}" '
        f'height="{height}" viewBox="0 0 {_WIDTH + 56} {height}" font-family="sans-serif" font-size="11" '
        f'fill="currentColor"><title>{said}</title>{"".join(drawn)}'
        f'<path d="M{_WIDTH} 4V{height - 4}" stroke="currentColor" stroke-opacity="0.4"/>'
        f'<text x="{_WIDTH + 4}" y="11">{high:.3g}</text>'
        f'<text x="{_WIDTH + 4}" y="{height - 2}">{low:.3g}</text></svg>'
    )


def compared(
    reference: Sequence[float],
    current: Sequence[float],
    caption: str,
    *,
    width: int = _WIDTH,
    height: int = _HEIGHT,
) -> Markup:
    """Return two sets of counts on the same bins as one SVG element: filled bars, and a line over them.

    Each is drawn as shares of its own sum, on one scale; an empty one is not drawn.
    """
    shares = [[count / (sum(counts) or 1) for count in counts] for counts in (reference, current)]
    tallest = max((share for each in shares for share in each), default=0) or 1
    step = width / max(len(reference), 1)
    tops = [[height - (height - 2) * share / tallest for share in each] for each in shares]
    filled = "".join(f"H{place * step:.4g}V{top:.4g}" for place, top in enumerate(tops[0]))
    line = "".join(f"V{top:.4g}H{(place + 1) * step:.4g}" for place, top in enumerate(tops[1]))
    said = _printed(caption)
    drawn = f'<path d="M0 {height}{filled}H{width}V{height}z" fill="currentColor" fill-opacity="0.28"/>'
    if sum(current):
        drawn += (
            f'<path d="M0 {height}{line}V{height}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        )
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}"><title>{said}</title>{drawn}'
        f'<path d="M0 {height}h{width}" stroke="currentColor" stroke-opacity="0.4"/></svg>'
    )


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    caption: str,
    *,
    x: str,
    y: str,
    alone: bool = False,
) -> Markup:
    """Return curves (name -> (x, y) pairs, in any order) as one SVG element; y is logarithmic.

    Curves differ in their dashes and bear their names, so that no colour is needed. What is negative, 0 in y
    or not finite is left out. ``alone``: for a file of its own, light or dark as its reader's pages are.
    """
    kept = {
        name: sorted((a, b) for a, b in points if 0 <= a <= _MOST and _LEAST <= b <= _MOST)
        for name, points in series.items()
    }
    every = [point for points in kept.values() for point in points] or [(1.0, 1.0)]
    right = max(a for a, _ in every) or 1.0
    low = math.floor(math.log10(min(b for _, b in every)))
    high = max(low + 1, math.ceil(math.log10(max(b for _, b in every))))

    def spot(a: float, b: float) -> str:
        return f"{_LEFT + a / right * _ACROSS:.1f} {_TOP + (high - math.log10(b)) / (high - low) * _DOWN:.1f}"

    drawn = [_ruled(spot(0, 10.0**power), f"{10.0**power:g}") for power in range(low, high + 1)]
    for place, (name, points) in enumerate(kept.items()):
        drawn += _curve([spot(a, b) for a, b in points], name, place)
    said = _printed(caption)
    bottom, middle = _TOP + _DOWN, _LEFT + _ACROSS / 2
    style = "color-scheme:light dark;color:CanvasText;background:Canvas" if alone else "background:none"
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" width="{_WIDE}" '
        f'height="{_HIGH}" viewBox="0 0 {_WIDE} {_HIGH}" style="{style}" font-family="sans-serif" '
        f'font-size="12" fill="currentColor"><title>{said}</title>'
        f'<text x="{_LEFT}" y="16" font-weight="bold">{said}</text>{"".join(drawn)}'
        f'<text x="{middle}" y="{bottom + 32}" text-anchor="middle">{_printed(x)}</text>'
        f'<text x="{_LEFT}" y="{bottom + 16}" text-anchor="middle">0</text>'
        f'<text x="{_LEFT + _ACROSS}" y="{bottom + 16}" text-anchor="middle">{right:,.0f}</text>'
        f'<text x="8" y="{_TOP - 8}">{_printed(y)}</text></svg>'
    )


def curve(
    series: Mapping[str, Sequence[tuple[float, float]]], caption: str, *, x: str, y: str, side: int = 240
) -> Markup:
    """Return curves of shares (name -> (x, y) pairs from 0 to 1) as one SVG element, with the diagonal.

    Curves differ in their dashes and bear their names; what lies outside of 0 to 1 is left out.
    """
    left, top = 44, 12

    def spot(a: float, b: float) -> str:
        return f"{left + a * side:.1f} {top + (1 - b) * side:.1f}"

    drawn = [f'<path d="M{spot(0, 0)}L{spot(1, 1)}" stroke="currentColor" stroke-opacity="0.4"/>']
    drawn += [f'<path d="M{spot(0, 1)}V{top + side}H{left + side}" fill="none" stroke="currentColor"/>']
    for place, (name, points) in enumerate(series.items()):
        spots = [spot(a, b) for a, b in sorted(points) if 0 <= a <= 1 and 0 <= b <= 1]
        drawn += _curve(spots, name, place, left + side + 16)
    said = _printed(caption)
    foot = f'y="{top + side + 16}" text-anchor="middle"'
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" width="{left + side + 160}" '
        f'height="{top + side + 24}" font-family="sans-serif" font-size="12" fill="currentColor">'
        f"<title>{said}</title>{''.join(drawn)}"
        f'<text x="{left}" {foot}>0</text><text x="{left + side}" {foot}>1</text>'
        f'<text x="{left + side / 2}" {foot}>{_printed(x)}</text>'
        f'<text x="{left - 8}" y="{top + 8}" text-anchor="end">1</text>'
        f'<text transform="translate({left - 12} {top + side / 2}) rotate(-90)" text-anchor="middle">'
        f"{_printed(y)}</text></svg>"
    )


def document(title: str, body: Markup) -> str:
    """Return a page that loads nothing and runs nothing, around a fragment."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_escaped(title)}</title></head>"
        '<body style="font-family:system-ui,sans-serif;margin:1.5em auto;max-width:1290px;padding:0 1em">'
        f"{body}</body></html>"
    )


def _ruled(spot: str, value: str) -> str:
    """Draw a line across the chart, and the value that it stands for."""
    _, height = spot.split()
    return (
        f'<path d="M{spot}h{_ACROSS}" stroke="currentColor" stroke-opacity="0.2"/>'
        f'<text x="{_LEFT - 6}" y="{height}" dy="4" text-anchor="end">{value}</text>'
    )


def _curve(spots: Sequence[str], name: str, place: int, legend: float = _LEFT + _ACROSS + 16) -> list[str]:
    """Draw one curve with a dot for each point, and its entry in the legend."""
    dash = _DASHES[place % len(_DASHES)]
    line = f'fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="{dash}"'
    height = _TOP + 8 + 18 * place
    dots = "".join(f'<circle cx="{cx}" cy="{cy}" r="2.5"/>' for cx, cy in (spot.split() for spot in spots))
    return [
        f'<path d="M{"L".join(spots)}" {line}/>{dots}' if spots else "",
        f'<path d="M{legend} {height}h28" {line}/>',
        f'<text x="{legend + 34}" y="{height + 4}">{_printed(name)}</text>',
    ]


def typed(text: str, caption: str) -> Markup:
    """Return lines of plain text as a terminal shows them, as an SVG file for light pages and dark ones."""
    said = text.split("\n")
    width, height = max(map(cells, said)) * 7.25 + 24, len(said) * 17 + 20
    shown = "".join(
        f'<text x="12" y="{24 + 17 * place}" xml:space="preserve">{_printed(line)}</text>'
        for place, line in enumerate(said)
    )
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{_printed(caption)}" '
        f'width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}" '
        'style="color-scheme:light dark;color:CanvasText;background:Canvas;white-space:pre" '
        'font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="12" fill="currentColor">'
        f"<title>{_printed(caption)}</title>{shown}</svg>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Return an HTML table; cells are escaped unless they are ``Markup``."""
    first = "".join(f'<th scope="col" style="{_CELL}">{_escaped(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{_escaped(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return Markup(
        '<table style="border-collapse:collapse;color:inherit;background:none">'
        f"<thead><tr>{first}</tr></thead><tbody>{body}</tbody></table>"
    )


def listed(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Return an HTML table without styles in its cells: a tenth of the size for hundreds of rows."""
    first = "".join(f"<th align=left>{_escaped(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td align=left>{_escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return Markup(
        '<table cellpadding="3" style="border-collapse:collapse;color:inherit;background:none">'
        f"<thead><tr>{first}</tr></thead><tbody>{body}</tbody></table>"
    )


def apart(text: str) -> Markup:
    """Return other people's text, escaped, with a direction of its own: it reorders nothing around it."""
    return Markup(f"<bdi>{_escaped(clean(text))}</bdi>")


def banner(title: str, text: str, colour: str) -> Markup:
    """Return a title with a line below it, and a bar in ``colour`` beside them, which no text depends on."""
    return Markup(
        f'<div style="border-left:8px solid {_escaped(colour)};padding:2px 0 2px 12px;margin:0 0 0.8em">'
        f'<div style="font-size:1.4em;font-weight:bold">{_escaped(title)}</div>'
        f"<div>{_escaped(text)}</div></div>"
    )


def paragraph(text: str) -> Markup:
    """Return one paragraph of HTML."""
    return Markup(f"<p>{_escaped(text)}</p>")


def heading(text: str) -> Markup:
    """Return the heading of a section; its size is that of the text around it."""
    return Markup(f'<p style="font-weight:bold;margin:1em 0 0.3em">{_escaped(text)}</p>')


def link(address: str, text: str) -> Markup:
    """Return a link to a web address, or the escaped text alone where ``address`` is no ``http(s)`` one."""
    if not address.startswith(("https://", "http://")):
        return Markup(_escaped(text))
    return Markup(f'<a href="{_escaped(address)}" rel="noopener noreferrer">{_escaped(text)}</a>')


def folded(title: str, text: str) -> Markup:
    """Return ``text`` as it is, letter for letter, behind a title that opens it."""
    return Markup(
        f"<details><summary>{_escaped(title)}</summary>"
        f'<pre style="white-space:pre-wrap;background:none;color:inherit">{_escaped(text)}</pre></details>'
    )


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Return a table of plain text, columns two spaces apart, for a terminal."""
    shown = [[short(cell) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(*shown, strict=True)]
    padded = (
        "  ".join(cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True))
        for row in shown
    )
    return "\n".join(line.rstrip() for line in padded)


def _escaped(cell: str) -> str:
    return cell if isinstance(cell, Markup) else html.escape(cell, quote=True)


def _printed(text: str) -> str:
    """Escape what goes into a document of its own, where XML allows no control letters."""
    return _escaped("".join(letter if letter.isprintable() else "?" for letter in text))
