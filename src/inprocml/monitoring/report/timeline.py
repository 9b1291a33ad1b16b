"""The last day, slot by slot."""

from __future__ import annotations

from collections.abc import Sequence

from inprocml.monitoring.verdict import Moment

__all__ = ["largest", "scores"]

_MOST = 1e6  # no bar is higher, whatever a score of other making says


def largest(slot: Moment) -> float:
    """Return the largest debiased PSI of any column in a slot; 0 where all are below it."""
    return min(max((score for score in slot.psi.values() if score > 0), default=0.0), _MOST)


def scores(timeline: Sequence[Moment], name: str) -> list[float]:
    """Return the debiased PSI of one column slot by slot; 0 where there is none, or it is below 0."""
    return [min(max(slot.psi.get(name, 0.0), 0.0), _MOST) for slot in timeline]
