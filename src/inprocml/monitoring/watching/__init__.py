"""Driving it all, off the request path: rows are counted, workers merged, and one of them decides."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from inprocml.monitoring.watching.evaluation import Known
from inprocml.monitoring.watching.monitor import Monitor
from inprocml.monitoring.watching.settings import Monitoring
from inprocml.monitoring.watching.slicing import Slices

_HOME = {"Onlooker": "onlooker", "overheard": "listening", "worse": "listening"}  # for the command line alone

if TYPE_CHECKING:
    from inprocml.monitoring.watching.listening import overheard, worse
    from inprocml.monitoring.watching.onlooker import Onlooker

__all__ = ["Known", "Monitor", "Monitoring", "Onlooker", "Slices", "overheard", "worse"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
