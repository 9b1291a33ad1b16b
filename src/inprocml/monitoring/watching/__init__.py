"""Driving it all, off the request path: rows are counted, workers merged, and one of them decides."""

from __future__ import annotations

from inprocml.monitoring.watching.monitor import Known, Monitor
from inprocml.monitoring.watching.onlooker import Onlooker
from inprocml.monitoring.watching.overheard import overheard, worse
from inprocml.monitoring.watching.settings import Monitoring
from inprocml.monitoring.watching.slicing import Slices

__all__ = ["Known", "Monitor", "Monitoring", "Onlooker", "Slices", "overheard", "worse"]
