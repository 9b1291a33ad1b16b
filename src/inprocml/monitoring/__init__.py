"""What was seen, as integers: counts on fixed bins, which add up exactly over workers and hosts."""

from inprocml.monitoring.baseline import Baseline, build_baseline
from inprocml.monitoring.bins import BinCounts, Bins, HourOfWeekBins, NumberBins, ValueBins, numeric_edges
from inprocml.monitoring.counts import RowCounts
from inprocml.monitoring.series import layout_of
from inprocml.monitoring.watching import Monitor, Monitoring

__all__ = [
    "Baseline",
    "BinCounts",
    "Bins",
    "HourOfWeekBins",
    "Monitor",
    "Monitoring",
    "NumberBins",
    "RowCounts",
    "ValueBins",
    "build_baseline",
    "layout_of",
    "numeric_edges",
]
