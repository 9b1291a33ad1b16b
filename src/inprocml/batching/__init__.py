"""Dynamic batching: inline when the device is idle, a parked worker when it is not.

``Runner`` drives, ``Queue`` decides, ``Drained`` is what a caller gets from a version that was replaced.
"""

from __future__ import annotations

from inprocml.batching.queue import Drained
from inprocml.batching.runner import Result, Runner

__all__ = ["Drained", "Result", "Runner"]
