"""Dynamic batching: inline when the device is idle, a parked worker when it is not.

``Runner`` drives, ``Queue`` decides, ``Drained`` is what a caller gets from a version that was replaced;
``check_limits`` says at declaration what ``Runner`` would refuse later.
"""

from __future__ import annotations

from inprocml.batching.pool import Pool
from inprocml.batching.runner import Result, Runner
from inprocml.batching.ticket import Drained, check_limits
from inprocml.batching.turns import Turn, Turns, check_weight

__all__ = ["Drained", "Pool", "Result", "Runner", "Turn", "Turns", "check_limits", "check_weight"]
