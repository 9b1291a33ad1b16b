"""What was seen, as integers: counts on fixed bins, which add up exactly over workers and hosts.

Names are resolved on first use (PEP 562): a process that serves loads no report and no webhook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inprocml.lazy import lazily

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
    "Baseline": "inprocml.monitoring.baseline",
    "BinCounts": "inprocml.monitoring.bins",
    "Bins": "inprocml.monitoring.bins",
    "Capture": "inprocml.monitoring.capture",
    "Difference": "inprocml.monitoring.report",
    "DriftEvent": "inprocml.monitoring.verdict",
    "DriftReport": "inprocml.monitoring.report",
    "Feedback": "inprocml.monitoring.quality",
    "Health": "inprocml.monitoring.report",
    "HourOfWeekBins": "inprocml.monitoring.bins",
    "Known": "inprocml.monitoring.watching",
    "Monitor": "inprocml.monitoring.watching",
    "Monitoring": "inprocml.monitoring.watching",
    "NumberBins": "inprocml.monitoring.bins",
    "Quality": "inprocml.monitoring.quality",
    "QualityReport": "inprocml.monitoring.quality",
    "Reference": "inprocml.monitoring.verdict",
    "RowCounts": "inprocml.monitoring.counts",
    "SkewReport": "inprocml.monitoring.report",
    "Slices": "inprocml.monitoring.watching",
    "ValueBins": "inprocml.monitoring.bins",
    "Webhook": "inprocml.monitoring.hooks",
    "build_baseline": "inprocml.monitoring.baseline",
    "captured": "inprocml.monitoring.capture",
    "layout_of": "inprocml.monitoring.series",
    "measured": "inprocml.monitoring.report",
    "numeric_edges": "inprocml.monitoring.bins",
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

__getattr__, __dir__ = lazily(__name__, _HOME)
