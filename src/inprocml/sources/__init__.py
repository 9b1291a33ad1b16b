"""Where versions come from; one kind of place per file."""

from __future__ import annotations

from inprocml.sources.directory import Directory
from inprocml.sources.history import unknown_alias
from inprocml.sources.layout import (
    ARCHIVE,
    BUNDLE_FILES,
    MANIFEST,
    MANIFEST_CAP,
    SIGNATURE,
    VERSION_NAME,
    natural_key,
    valid_version,
)
from inprocml.sources.mlflow import MLflow
from inprocml.sources.mounted import real_folder
from inprocml.sources.opening import open_source, place_name
from inprocml.sources.remote import Remote

__all__ = [
    "ARCHIVE",
    "BUNDLE_FILES",
    "MANIFEST",
    "MANIFEST_CAP",
    "SIGNATURE",
    "VERSION_NAME",
    "Directory",
    "MLflow",
    "Remote",
    "natural_key",
    "open_source",
    "place_name",
    "real_folder",
    "unknown_alias",
    "valid_version",
]
