"""One loaded version (servable) and the place that holds it (slot).

What follows new ones (follow, watch), and what lets candidates in beside it (rollout, course, trial).
"""

from __future__ import annotations

from inprocml.serving.ahead import Ahead
from inprocml.serving.course import Decision
from inprocml.serving.evidence import Evidence, Tally
from inprocml.serving.follow import Following, Pointed
from inprocml.serving.memory import Memory
from inprocml.serving.process import Process
from inprocml.serving.progress import Progress
from inprocml.serving.rollout import Rollout, as_rollouts, check_share
from inprocml.serving.servable import Leases, Servable, prediction_ids
from inprocml.serving.slot import Slot
from inprocml.serving.standing import Candidate, Decided, Standing
from inprocml.serving.trial import Ended, Trial
from inprocml.serving.warm import Sizes, warm

__all__ = [
    "Ahead",
    "Candidate",
    "Decided",
    "Decision",
    "Ended",
    "Evidence",
    "Following",
    "Leases",
    "Memory",
    "Pointed",
    "Process",
    "Progress",
    "Rollout",
    "Servable",
    "Sizes",
    "Slot",
    "Standing",
    "Tally",
    "Trial",
    "as_rollouts",
    "check_share",
    "prediction_ids",
    "warm",
]
