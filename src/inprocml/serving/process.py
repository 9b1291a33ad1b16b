"""What one process holds of a model: its slot, its watcher, and what it has seen of the source."""

from __future__ import annotations

import logging
import threading

from cachetools import TTLCache

from inprocml.serving.slot import Slot
from inprocml.serving.watch import Watcher

__all__ = ["Process"]

_log = logging.getLogger("inprocml")

REFUSED_SECONDS = 60.0
"""How long a version that failed to load is left alone before it is tried again."""


class Process:
    """The state of one model in one process; never shared with a parent or a child.

    ``newest`` is the newest version seen when this process last swapped; ``lock`` guards the making of the
    watcher and of the loading thread, nothing that takes long.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.lock = threading.Lock()
        self.watcher: Watcher | None = None
        self.loading: threading.Thread | None = None
        self.newest: str | None = None
        self._refused: TTLCache[str, bool] = TTLCache(maxsize=64, ttl=REFUSED_SECONDS)
        self._logged: set[str] = set()

    def refuse(self, model: str, version: str, error: Exception) -> None:
        """Leave ``version`` alone for a minute, and say why, once."""
        self._refused[version] = True
        self.log_once(f"model {model}: version {version} refused: {error}")

    def refused(self, version: str) -> bool:
        """Whether ``version`` failed to load within the last minute."""
        return version in self._refused

    def log_once(self, message: str) -> None:
        """Warn, unless the same was said before."""
        if message not in self._logged:
            self._logged.add(message)
            _log.warning("%s", message)
