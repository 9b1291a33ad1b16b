"""One loaded version (servable), the place that holds it (slot), what follows new ones (follow, watch)."""

from __future__ import annotations

from inprocml.serving.process import Process
from inprocml.serving.progress import Progress
from inprocml.serving.servable import Leases, Servable, prediction_ids
from inprocml.serving.slot import Slot, anew

__all__ = ["Leases", "Process", "Progress", "Servable", "Slot", "anew", "prediction_ids"]
