"""What goes wrong while rows are watched is said once; from then on it is only counted where it is."""

from __future__ import annotations

import logging

__all__ = ["Complaints"]

_log = logging.getLogger(__name__)


class Complaints:
    """Those about one version in one process."""

    def __init__(self, model: str, version: str) -> None:
        self._model, self._version = model, version
        self._said: set[str] = set()

    def __call__(self, what: str, error: Exception) -> None:
        """Say ``what`` went wrong, if it was not said before."""
        if what not in self._said:
            self._said.add(what)
            _log.warning("monitoring of %s %s: %s", self._model, self._version, what, exc_info=error)
