"""Public test kit: a clock moved by hand, a backend that fails on demand, suites that check a plug.

Nothing here needs pytest: a failed check is an ``AssertionError`` that says what was broken and by whom.
"""

from __future__ import annotations

from inprocml.testing.backends import check_backend
from inprocml.testing.clock import ManualClock
from inprocml.testing.fake import FakeBackend, poisoned
from inprocml.testing.plugs import check_observer, check_source

__all__ = [
    "FakeBackend",
    "ManualClock",
    "check_backend",
    "check_observer",
    "check_source",
    "poisoned",
]
