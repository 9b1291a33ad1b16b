"""Counts on all bins of a column, put on the cells that are kept of it for a window: exact.

A host shows a calm column on all bins, and one that moved on some sixteen cells, each of which is some bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from inprocml.monitoring.report.shares import is_numeric

__all__ = ["Grid", "onto", "put"]


class Grid(NamedTuple):
    """What counts lie on: ``labels`` and ``folded`` of a finding."""

    labels: tuple[str, ...]
    folded: tuple[int, ...]


def onto(fine: Grid, coarse: Grid) -> Sequence[int] | None:
    """Return the place on ``coarse`` of each bin of ``fine``; ``None`` where these are none of those.

    Names of ends do not tell where a bin belongs: of integers, ``[5, 5)`` lies beside ``[5, 6)``.
    """
    if fine.labels == coarse.labels:
        return range(len(fine.labels))
    if fine.folded or len(fine.labels) != len(coarse.folded):
        return None
    groups: list[list[str]] = [[] for _ in coarse.labels]
    for label, place in zip(fine.labels, coarse.folded, strict=True):
        groups[place].append(label)
    name = _range if is_numeric(fine.labels) else _single
    named = zip(groups, coarse.labels, strict=True)
    return coarse.folded if all(name(group, whole) == whole for group, whole in named) else None


def put(counts: Sequence[int], places: Sequence[int], size: int) -> tuple[int, ...]:
    """Return the counts on ``size`` coarser bins."""
    total = [0] * size
    for count, place in zip(counts, places, strict=True):
        total[place] += count
    return tuple(total)


def _range(group: Sequence[str], _whole: str) -> str:
    """Return what neighbours are called together: from where the first begins to where the last ends."""
    if len(group) == 1:
        return group[0]
    return f"{group[0].partition(',')[0]},{group[-1].partition(',')[2]}"


def _single(group: Sequence[str], whole: str) -> str:
    """Return what is called by its own name still; what others are called together is not in their names."""
    return group[0] if len(group) == 1 else whole
