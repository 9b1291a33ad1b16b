"""OpenTelemetry instruments, API only: what the host's SDK exports, if it has one."""

from __future__ import annotations

from inprocml.telemetry.instruments import (
    ModelTelemetry,
    chosen,
    decided,
    load_finished,
    not_served,
    set_stale,
    trial_closed,
    version_refused,
)
from inprocml.telemetry.monitored import Column, Monitored, Score
from inprocml.telemetry.shadows import shadowed
from inprocml.telemetry.spans import caller
from inprocml.telemetry.versions import Queue

__all__ = [
    "Column",
    "ModelTelemetry",
    "Monitored",
    "Queue",
    "Score",
    "caller",
    "chosen",
    "decided",
    "load_finished",
    "not_served",
    "set_stale",
    "shadowed",
    "trial_closed",
    "version_refused",
]
