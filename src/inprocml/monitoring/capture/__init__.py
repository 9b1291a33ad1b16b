"""A part of the answered rows, kept for retraining: sampled, consented, redacted, for a while.

Names are resolved on first use (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inprocml.lazy import lazily

if TYPE_CHECKING:
    from inprocml.monitoring.capture.reading import captured
    from inprocml.monitoring.capture.recorder import Recorder
    from inprocml.monitoring.capture.settings import Capture

_HOME = {
    "Capture": "inprocml.monitoring.capture.settings",
    "Recorder": "inprocml.monitoring.capture.recorder",
    "captured": "inprocml.monitoring.capture.reading",
}

__all__ = [
    "Capture",
    "Recorder",
    "captured",
]

__getattr__, __dir__ = lazily(__name__, _HOME)
