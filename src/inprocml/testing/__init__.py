"""Public test kit: a clock moved by hand, a backend and a device that fail on demand, checks of a plug.

Nothing here needs pytest: a failed check is an ``AssertionError`` that says what was broken and by whom.
"""

from __future__ import annotations

from inprocml.testing.backends import check_backend
from inprocml.testing.clock import ManualClock
from inprocml.testing.device import SimulatedDevice
from inprocml.testing.fake import FakeBackend, poisoned
from inprocml.testing.plugs import check_observer, check_prediction_store, check_source
from inprocml.testing.storage import SimulatedError
from inprocml.testing.trace import Operation, chrome_trace, overlap

__all__ = [
    "FakeBackend",
    "ManualClock",
    "Operation",
    "SimulatedDevice",
    "SimulatedError",
    "check_backend",
    "check_observer",
    "check_prediction_store",
    "check_source",
    "chrome_trace",
    "overlap",
    "poisoned",
]
