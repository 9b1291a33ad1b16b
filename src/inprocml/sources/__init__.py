"""Where versions come from; one kind of place per file."""

from __future__ import annotations

from inprocml.sources.directory import (
    MANIFEST,
    MANIFEST_CAP,
    VERSION_NAME,
    Directory,
    natural_key,
    valid_version,
)

__all__ = ["MANIFEST", "MANIFEST_CAP", "VERSION_NAME", "Directory", "natural_key", "valid_version"]
