"""A bundle for the eye in a notebook: what it is, its transform, and the rows and answers of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from inprocml.bundle.card import made_with
from inprocml.drawing import Markup, bars, paragraph, short, table
from inprocml.monitoring.bins import BinCounts, HourOfWeekBins, NumberBins
from inprocml.transform import display

if TYPE_CHECKING:
    from inprocml.bundle.read import Bundle

__all__ = ["baseline_pictures", "html"]

_CELLS = 24
_NAMED = 3
_LONGEST = 400
_TOLD = ("author", "commit", "seed")


def html(bundle: Bundle) -> str:
    """Return the bundle as HTML, with the distributions of its baseline."""
    about = bundle.manifest.about
    parts = [
        paragraph(f"{bundle.name}, version {bundle.version}"),
        *(paragraph(short(text, _LONGEST)) for text in (about.intended_use, about.limits) if text),
        table(("part", "value"), _about(bundle)),
        display.html(bundle.transform, baseline_pictures(bundle.baseline.fields)),
    ]
    if outputs := baseline_pictures(bundle.baseline.outputs):
        parts.append(table(("output", "training rows"), outputs.items()))
    return "".join(parts)


def baseline_pictures(counted: Mapping[str, BinCounts]) -> dict[str, Markup]:
    """Draw the counts of a baseline, by field or by output column."""
    return {name: bars(_heights(counts), _caption(counts)) for name, counts in counted.items()}


def _about(bundle: Bundle) -> list[tuple[str, str]]:
    distance = bundle.parity.distance
    parity = "not measured" if distance is None else f"{distance:.1e}, {bundle.parity.limit:.1e} allowed"
    return [
        ("runtime", bundle.runtime),
        ("output", repr(bundle.output)),
        ("parity", parity),
        ("training rows", f"{bundle.baseline.rows:,}"),
        *((name, f"{value:.6g}") for name, value in sorted(bundle.manifest.metrics.items())),
        ("packed", bundle.manifest.created),
        *(part for part in made_with(bundle.manifest) if part[0] in _TOLD),
        ("digest", bundle.digest),
        *(("signed by", key) for key in bundle.signed_by),
    ]


def _heights(counted: BinCounts) -> Sequence[float]:
    known = counted.counts[:-1]  # what is missing has no place on the axis; the caption says how much it is
    if isinstance(counted.bins, NumberBins):
        return _even(counted.bins.edges, known)
    return known


def _even(edges: Sequence[float], counts: Sequence[int]) -> list[float]:
    """Spread counts on bins of any width over bins of one width, as if values lay evenly within each."""
    cells = [0.0] * _CELLS
    unit = edges[-1] / 2 - edges[0] / 2 if edges else 0.0  # halves: the whole span may exceed float64
    if len(edges) <= 2 or not unit > 0:  # one value, or none
        return [float(sum(counts))]
    ends = [min((edge / 2 - edges[0] / 2) / unit * _CELLS, _CELLS) for edge in edges]
    for (start, end), count in zip(pairwise(ends), counts[1:-1], strict=True):
        first, last = min(int(start), _CELLS - 1), min(int(end), _CELLS - 1)
        for cell in range(first, last + 1):
            part = min(end, cell + 1) - max(start, cell)
            cells[cell] += count if first == last else count * part / (end - start)
    cells[0] += counts[0]  # below the lowest training value, and above the highest
    cells[-1] += counts[-1]
    return cells


def _caption(counted: BinCounts) -> str:
    missing = f"; {counted.missing / counted.rows:.0%} missing" if counted.missing else ""
    if isinstance(counted.bins, NumberBins):
        edges = counted.bins.edges
        return (f"{edges[0]:.4g} to {edges[-1]:.4g}" if edges else "no value") + missing
    if isinstance(counted.bins, HourOfWeekBins):
        return f"hours of the week, Monday first{missing}"
    shares = zip(counted.bins.labels()[:-1], counted.counts[:-1], strict=True)
    top = sorted(((label, count) for label, count in shares if count), key=lambda share: -share[1])
    named = [
        f"{short(label.removeprefix('='), 24)} {count / counted.rows:.0%}" for label, count in top[:_NAMED]
    ]
    return ", ".join(named) + (f", {len(top) - _NAMED} more" if len(top) > _NAMED else "") + missing
