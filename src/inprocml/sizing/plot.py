"""Curves in a terminal: plain text, as wide as it is told to be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["plot"]

_MARKS, _ASCII_MARKS = "\N{MIDDLE DOT}\N{BULLET}\N{MULTIPLICATION SIGN}\N{ASTERISK}", ".o*#+x"
_FRAME, _ASCII_FRAME = (
    "\N{BOX DRAWINGS LIGHT VERTICAL}\N{BOX DRAWINGS LIGHT UP AND RIGHT}\N{BOX DRAWINGS LIGHT HORIZONTAL}",
    "|+-",
)
LEAST, MOST = 1e-12, 1e12  # that are drawn
_NARROWEST = 24
_LABEL = 8  # letters for the values beside the axis


def plot(
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    width: int = 80,
    height: int = 14,
    ascii_only: bool = False,
    x: str = "",
    y: str = "",
) -> str:
    """Return the points of ``series`` (name -> (x, y) pairs) as lines of text; y is logarithmic.

    ``x`` and ``y`` name the axes. Points with y of 0, negative or not finite are left out.
    """
    marks = _ASCII_MARKS if ascii_only else _MARKS
    wall, corner, floor = tuple(_ASCII_FRAME if ascii_only else _FRAME)
    kept = {name: [(a, b) for a, b in points if _drawable(a, b)] for name, points in series.items()}
    every = [point for points in kept.values() for point in points]
    if not every:
        return "(nothing to draw)"
    columns = max(_NARROWEST, width) - _LABEL - 2
    right = max(a for a, _ in every) or 1.0
    low, high = min(math.log(b) for _, b in every), max(math.log(b) for _, b in every)
    span = (high - low) or 1.0
    grid = [[" "] * columns for _ in range(height)]
    for place, points in enumerate(kept.values()):
        for a, b in points:
            column = round(a / right * (columns - 1))
            line = round((high - math.log(b)) / span * (height - 1))
            grid[line][column] = marks[place % len(marks)]
    labels = {
        line: f"{math.exp(high - span * line / (height - 1)):.3g}" for line in (0, height // 2, height - 1)
    }
    drawn = [f"{labels.get(i, ''):>{_LABEL}} {wall}{''.join(line)}".rstrip() for i, line in enumerate(grid)]
    drawn.append(" " * (_LABEL + 1) + corner + floor * columns)
    last = f"{right:,.0f} {x}" if right >= 100 else f"{right:.3g} {x}"
    drawn.append(f"{y:>{_LABEL}}  0{last:>{max(columns - 1, len(last) + 1)}}")
    legend = [f"{marks[place % len(marks)]} {name}" for place, name in enumerate(kept)]
    return "\n".join([*drawn, " " * (_LABEL + 2) + "   ".join(legend)])


def _drawable(a: float, b: float) -> bool:
    return 0 <= a <= MOST and LEAST <= b <= MOST
