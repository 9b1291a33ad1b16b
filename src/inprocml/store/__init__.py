"""A folder of versions: which there are, what their aliases mean, and who moved them when and why."""

from __future__ import annotations

from inprocml.sources.history import Entry, Target, Trial
from inprocml.store.compare import VersionDifference
from inprocml.store.core import Store
from inprocml.store.listing import StoredVersion

__all__ = ["Entry", "Store", "StoredVersion", "Target", "Trial", "VersionDifference"]
