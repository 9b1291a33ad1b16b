"""OpenTelemetry instruments, API only: what the host's SDK exports, if it has one."""

from __future__ import annotations

from inprocml.telemetry.instruments import ModelTelemetry, load_finished, not_served

__all__ = ["ModelTelemetry", "load_finished", "not_served"]
