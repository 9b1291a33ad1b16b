"""What monitoring found, to look at: in a notebook, a terminal, a page, or as JSON; and merged over hosts."""

from inprocml.monitoring.report.core import DriftReport, Health
from inprocml.monitoring.report.measures import measured, measures

__all__ = ["DriftReport", "Health", "measured", "measures"]
