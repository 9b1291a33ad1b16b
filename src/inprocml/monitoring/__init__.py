"""What was seen, as integers: counts on fixed bins, which add up exactly over workers and hosts."""

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
