"""OpenTelemetry instruments, API only: what the host's SDK exports, if it has one."""

from __future__ import annotations

from inprocml.telemetry.instruments import (
    ModelTelemetry,
    decided,
    load_finished,
    not_served,
    set_stale,
    trial_closed,
    version_refused,
)

__all__ = [
    "ModelTelemetry",
    "decided",
    "load_finished",
    "not_served",
    "set_stale",
    "trial_closed",
    "version_refused",
]
