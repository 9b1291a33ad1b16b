"""What monitoring found, to look at: in a notebook, a terminal, a page, or as JSON; and merged over hosts."""

from inprocml.monitoring.report.core import DriftReport, Health
from inprocml.monitoring.report.measures import measured, measures
from inprocml.monitoring.report.skew import Difference, SkewReport

__all__ = ["Difference", "DriftReport", "Health", "SkewReport", "measured", "measures"]
