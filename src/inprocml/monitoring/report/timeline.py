"""The last day, slot by slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inprocml.monitoring.report.core import DriftReport

__all__ = ["Strip", "strip"]

_MAJOR = 0.25  # PSI


@dataclass(frozen=True, slots=True)
class Strip:
    """A figure for each slot, ``what``: z or PSI; ``full`` is what fills the height, so noise stays low."""

    what: str
    scores: tuple[float, ...]
    full: float

    @property
    def most(self) -> float:
        """The largest of them."""
        return max(self.scores, default=0.0)

    @property
    def scale(self) -> str:
        """What the full height means."""
        meant = "the threshold" if self.what == "z" else "major"
        return f"full height is {self.full:.2g}, {meant}"


def strip(report: DriftReport, name: str | None = None) -> Strip:
    """Return how far out a column was, or the one that was furthest; 0 where nothing was told.

    The z of each slot against the threshold; of slots that have none, their debiased PSI.
    """
    threshold = max((found.threshold for found in report.findings), default=0.0)
    known = 0 < threshold < 1e6 and any(slot.z for slot in report.timeline)
    full = threshold if known else _MAJOR
    over = [_largest(slot.z if known else slot.psi, name) for slot in report.timeline]
    return Strip("z" if known else "PSI", tuple(over), full)


def _largest(told: Mapping[str, float], name: str | None) -> float:
    wanted = told.values() if name is None else [told.get(name, 0.0)]
    return min(max((score for score in wanted if score > 0), default=0.0), 1e6)
