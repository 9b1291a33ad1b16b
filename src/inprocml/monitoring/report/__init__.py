"""What monitoring found, to look at: in a notebook, a terminal, a page, or as JSON; and merged over hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inprocml.lazy import lazily
from inprocml.monitoring.report.core import DriftReport, Health
from inprocml.monitoring.report.measures import measured, measures

if TYPE_CHECKING:
    from inprocml.monitoring.report.skew import Difference, SkewReport

__all__ = ["Difference", "DriftReport", "Health", "SkewReport", "measured", "measures"]

_SKEW = "inprocml.monitoring.report.skew"  # only who replays a log needs it

__getattr__, __dir__ = lazily(__name__, {"Difference": _SKEW, "SkewReport": _SKEW})
