"""What was seen, as integers: counts on fixed bins, which add up exactly over workers and hosts.

Names are resolved on first use (PEP 562): a process that serves loads no report and no webhook.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inprocml.monitoring.baseline import Baseline, build_baseline
    from inprocml.monitoring.bins import BinCounts, Bins, HourOfWeekBins, NumberBins, ValueBins, numeric_edges
    from inprocml.monitoring.capture import Capture, captured
    from inprocml.monitoring.counts import RowCounts
    from inprocml.monitoring.hooks import Webhook
    from inprocml.monitoring.quality import Feedback, Quality, QualityReport
    from inprocml.monitoring.report import Difference, DriftReport, Health, SkewReport, measured
    from inprocml.monitoring.series import layout_of
    from inprocml.monitoring.verdict import DriftEvent, Reference
    from inprocml.monitoring.watching import Known, Monitor, Monitoring, Slices

_HOME = {
    "Baseline": "baseline",
    "BinCounts": "bins",
    "Bins": "bins",
    "Capture": "capture",
    "Difference": "report",
    "DriftEvent": "verdict",
    "DriftReport": "report",
    "Feedback": "quality",
    "Health": "report",
    "HourOfWeekBins": "bins",
    "Known": "watching",
    "Monitor": "watching",
    "Monitoring": "watching",
    "NumberBins": "bins",
    "Quality": "quality",
    "QualityReport": "quality",
    "Reference": "verdict",
    "RowCounts": "counts",
    "SkewReport": "report",
    "Slices": "watching",
    "ValueBins": "bins",
    "Webhook": "hooks",
    "build_baseline": "baseline",
    "captured": "capture",
    "layout_of": "series",
    "measured": "report",
    "numeric_edges": "bins",
}

__all__ = [
    "Baseline",
    "BinCounts",
    "Bins",
    "Capture",
    "Difference",
    "DriftEvent",
    "DriftReport",
    "Feedback",
    "Health",
    "HourOfWeekBins",
    "Known",
    "Monitor",
    "Monitoring",
    "NumberBins",
    "Quality",
    "QualityReport",
    "Reference",
    "RowCounts",
    "SkewReport",
    "Slices",
    "ValueBins",
    "Webhook",
    "build_baseline",
    "captured",
    "layout_of",
    "measured",
    "numeric_edges",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value  # the next access skips this function
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
