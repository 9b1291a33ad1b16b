"""What monitoring found, to look at: in a notebook, a terminal, a page, or as JSON; and merged over hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inprocml.monitoring.report.core import DriftReport, Health
from inprocml.monitoring.report.measures import measured, measures

if TYPE_CHECKING:
    from inprocml.monitoring.report.skew import Difference, SkewReport

__all__ = ["Difference", "DriftReport", "Health", "SkewReport", "measured", "measures"]


def __getattr__(name: str) -> Any:
    if name in {"Difference", "SkewReport"}:  # only who replays a log needs them
        from inprocml.monitoring.report import skew

        return getattr(skew, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
