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
from inprocml.sources.history import unknown_alias

__all__ = [
    "MANIFEST",
    "MANIFEST_CAP",
    "VERSION_NAME",
    "Directory",
    "natural_key",
    "unknown_alias",
    "valid_version",
]
