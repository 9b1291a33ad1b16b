"""One loaded version (servable), the place that holds it (slot), and what follows new ones (watch)."""

from __future__ import annotations

from inprocml.serving.process import Process
from inprocml.serving.servable import Servable, prediction_ids
from inprocml.serving.slot import Slot, park
from inprocml.serving.watch import Watcher

__all__ = ["Process", "Servable", "Slot", "Watcher", "park", "prediction_ids"]
