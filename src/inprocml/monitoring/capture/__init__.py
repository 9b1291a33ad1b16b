"""A part of the answered rows, kept for retraining: sampled, consented, redacted, for a while.

Names are resolved on first use (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inprocml.monitoring.capture.reading import captured
    from inprocml.monitoring.capture.recorder import Recorder
    from inprocml.monitoring.capture.settings import Capture

_HOME = {
    "Capture": "settings",
    "Recorder": "recorder",
    "captured": "reading",
}

__all__ = [
    "Capture",
    "Recorder",
    "captured",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value  # the next access skips this function
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
