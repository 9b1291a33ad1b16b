"""A part of the answered rows, kept for retraining: sampled, consented, redacted, for a while."""

from __future__ import annotations

from inprocml.monitoring.capture.reading import captured
from inprocml.monitoring.capture.recorder import Recorder
from inprocml.monitoring.capture.settings import Capture

__all__ = ["Capture", "Recorder", "captured"]
