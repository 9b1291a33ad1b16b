"""What the bins of a finding say: which are missing, unseen or out of range, and where shares moved.

A finding has the names of its bins and no more, so that it can be written down, sent and merged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from inprocml.monitoring.verdict import Finding

__all__ = ["Move", "is_numeric", "moves", "out_of_range", "rates", "share", "unseen"]

_RANGE = re.compile(r"\[(\S+), (\S+)\)")


@dataclass(frozen=True, slots=True)
class Move:
    """One bin: its share of the reference rows and of the current ones."""

    label: str
    reference: float
    current: float


def is_numeric(labels: Sequence[str]) -> bool:
    """Whether these are the bins of a number; categories have names that begin with ``=``."""
    return len(labels) > 1 and labels[0].startswith("[-inf, ")


def ends(label: str) -> tuple[float, float] | None:
    """Return the two ends of a numeric bin, or ``None`` where its name tells none."""
    found = _RANGE.fullmatch(label)
    try:
        return (float(found[1]), float(found[2])) if found else None
    except ValueError:
        return None


def unseen(labels: Sequence[str]) -> int | None:
    """Return the place of the bin for categories that the reference lacks, or ``None`` for other columns."""
    places = [place for place, label in enumerate(labels) if label == "unseen"]
    return places[-1] if places and not is_numeric(labels) else None


def out_of_range(labels: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of what is below and above all of the reference; ``None`` unless it is a number."""
    return (0, len(labels) - 2) if is_numeric(labels) and len(labels) > 3 else None


def share(counts: Sequence[int], *places: int) -> float | None:
    """Return which share of all rows is in these bins; ``None`` where there are no rows."""
    total = sum(counts)
    return sum(counts[place] for place in places) / total if total else None


def rates(labels: Sequence[str], counts: Sequence[int]) -> tuple[float | None, float | None, float | None]:
    """Return the shares of missing, unseen and out of range; ``None`` where there is no such thing."""
    if not labels:
        return (None, None, None)
    new, outside = unseen(labels), out_of_range(labels)
    return (
        share(counts, len(labels) - 1),
        None if new is None else share(counts, new),
        None if outside is None else share(counts, *outside),
    )


def moves(found: Finding, most: int) -> list[Move]:
    """Return the bins whose shares moved most, in the order of the bins; empty where a side is."""
    before, now = sum(found.reference), sum(found.current)
    if not before or not now:
        return []
    every = [
        (place, Move(label, was / before, is_ / now))
        for place, (label, was, is_) in enumerate(
            zip(found.labels, found.reference, found.current, strict=True)
        )
    ]
    moved = sorted(every, key=lambda one: (-abs(one[1].current - one[1].reference), one[0]))[:most]
    return [move for _, move in sorted(moved, key=lambda one: one[0]) if move.current != move.reference]
