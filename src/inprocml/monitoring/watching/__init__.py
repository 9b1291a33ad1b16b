"""Driving it all, off the request path: rows are counted, workers merged, and one of them decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inprocml.monitoring.watching.monitor import Known, Monitor
from inprocml.monitoring.watching.settings import Monitoring

if TYPE_CHECKING:
    from inprocml.monitoring.watching.onlooker import Onlooker

__all__ = ["Known", "Monitor", "Monitoring", "Onlooker"]


def __getattr__(name: str) -> Any:
    if name == "Onlooker":  # for the command line alone
        from inprocml.monitoring.watching.onlooker import Onlooker

        return Onlooker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
