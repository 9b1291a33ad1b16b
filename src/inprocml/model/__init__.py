"""The facade, and the only place that composes parts."""

from __future__ import annotations

from inprocml.model.facade import Model

__all__ = ["Model"]
