"""Dynamic batching: inline when the device is idle, a parked worker when it is not.

``Runner`` drives, ``Queue`` decides, ``Drained`` is what a caller gets from a version that was replaced;
``check_limits`` says at declaration what ``Runner`` would refuse later. ``Shapes`` says which calls may
share a batch, and ``fixed`` makes answers that depend on their row alone.
"""

from __future__ import annotations

from inprocml.batching.fixed import Fixed, fixed
from inprocml.batching.pool import Pool
from inprocml.batching.runner import Result, Runner
from inprocml.batching.shapes import Ragged, Shapes
from inprocml.batching.ticket import Drained, check_limits
from inprocml.batching.turns import Turn, Turns, check_weight

__all__ = [
    "Drained",
    "Fixed",
    "Pool",
    "Ragged",
    "Result",
    "Runner",
    "Shapes",
    "Turn",
    "Turns",
    "check_limits",
    "check_weight",
    "fixed",
]
