"""Where versions come from; one kind of place per file."""

from __future__ import annotations

from inprocml.sources.directory import Directory, natural_key, valid_version

__all__ = ["Directory", "natural_key", "valid_version"]
