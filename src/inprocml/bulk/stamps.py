"""What tells one state of a file from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inprocml.errors import BulkError

__all__ = ["check_stamps", "stamp"]


def stamp(path: Path) -> dict[str, Any]:
    """Return name, size and time of the last change, as JSON; raises ``BulkError`` for a file not there."""
    try:
        status = path.stat()
    except OSError as error:
        raise BulkError(f"{path}: {error.strerror}. Give a file that can be read.") from error
    return {"name": path.name, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def check_stamps(paths: Sequence[Path], files: Sequence[Mapping[str, Any]]) -> None:
    """Raise ``BulkError`` for the first file that was written to since its ``stamp``."""
    for path, file in zip(paths, files, strict=True):
        if any(file[name] != value for name, value in stamp(path).items()):
            raise BulkError(f"{path} was written to while it was read; begin again when nobody writes to it")
