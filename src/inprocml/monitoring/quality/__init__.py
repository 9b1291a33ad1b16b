"""How good the answers turned out: labels joined to predictions, and what sums of them say.

Stores that outlive a process: ``inprocml.monitoring.quality.sqlite.SqliteStore`` and
``inprocml.monitoring.quality.sql.SqlStore``.
"""

from inprocml.monitoring.quality.cohorts import Cohort
from inprocml.monitoring.quality.core import Quality
from inprocml.monitoring.quality.counters import Counters
from inprocml.monitoring.quality.holdout import held_out
from inprocml.monitoring.quality.interval import Estimate
from inprocml.monitoring.quality.pending import Feedback, Pending
from inprocml.monitoring.quality.report import QualityReport, report_of
from inprocml.monitoring.quality.residual import Residual
from inprocml.monitoring.quality.scores import reference
from inprocml.monitoring.quality.settings import Settings
from inprocml.monitoring.quality.tally import ClassTally, NumberTally, Tally

__all__ = [
    "ClassTally",
    "Cohort",
    "Counters",
    "Estimate",
    "Feedback",
    "NumberTally",
    "Pending",
    "Quality",
    "QualityReport",
    "Residual",
    "Settings",
    "Tally",
    "held_out",
    "reference",
    "report_of",
]
