"""Driving it all, off the request path: rows are counted, workers merged, and one of them decides."""

from __future__ import annotations

from inprocml.monitoring.watching.monitor import Monitor
from inprocml.monitoring.watching.settings import Monitoring

__all__ = ["Monitor", "Monitoring"]
