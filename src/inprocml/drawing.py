"""Tables and small bar charts for notebooks: HTML and SVG as text, escaped, without script or style sheet.

Nothing is loaded from anywhere, and every line and bar takes the colour of the text around it
(``currentColor``), so that light and dark pages are alike to it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

__all__ = ["Markup", "aligned", "bars", "folded", "heading", "link", "paragraph", "short", "table"]

_WIDTH, _HEIGHT = 168, 28  # pixels; 168 is 24 bars of 7 pixels, and a pixel for every hour of a week
_CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0;border-bottom:1px solid currentColor"


class Markup(str):
    """Text that is HTML already; all other text is escaped on its way into a table."""

    __slots__ = ()


def short(text: str, most: int = 60) -> str:
    """Return the text in one line of at most ``most`` characters, dots in place of the end."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 3] + "..."


def bars(counts: Sequence[float], caption: str) -> Markup:
    """Return a bar chart of ``counts`` (not negative) as one SVG element; ``caption`` is its tooltip.

    The tallest bar fills the height. A count that is not zero is never drawn as nothing.
    """
    tallest = max(counts, default=0) or 1
    step = _WIDTH / max(len(counts), 1)
    gap = 1 if step >= 3 else 0
    path = []
    for place, count in enumerate(counts):
        if count:
            height = max(_HEIGHT * count / tallest, 1)
            x, width = place * step, step - gap
            path.append(f"M{x:.4g} {_HEIGHT}v{-height:.4g}h{width:.4g}v{height:.4g}z")
    said = _escaped(caption)
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{said}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{said}</title>'
        f'<path d="{"".join(path)}" fill="currentColor" fill-opacity="0.6"/>'
        f'<path d="M0 {_HEIGHT}h{_WIDTH}" stroke="currentColor" stroke-opacity="0.4"/></svg>'
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
    listed = [[short(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in listed)
    return "\n".join(line.rstrip() for line in lines)


def _escaped(cell: str) -> str:
    return cell if isinstance(cell, Markup) else html.escape(cell, quote=True)
