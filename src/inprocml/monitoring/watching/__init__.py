"""Driving it all, off the request path: rows are counted, workers merged, and one of them decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inprocml.lazy import lazily
from inprocml.monitoring.watching.evaluation import Known
from inprocml.monitoring.watching.monitor import Monitor
from inprocml.monitoring.watching.settings import Monitoring
from inprocml.monitoring.watching.slicing import Slices

_HOME = {  # for the command line alone
    "Onlooker": "inprocml.monitoring.watching.onlooker",
    "overheard": "inprocml.monitoring.watching.listening",
    "worse": "inprocml.monitoring.watching.listening",
}

if TYPE_CHECKING:
    from inprocml.monitoring.watching.listening import overheard, worse
    from inprocml.monitoring.watching.onlooker import Onlooker

__all__ = ["Known", "Monitor", "Monitoring", "Onlooker", "Slices", "overheard", "worse"]

__getattr__, __dir__ = lazily(__name__, _HOME)
