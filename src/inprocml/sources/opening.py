"""From what a user writes to a source: a path is a directory, a URL is not."""

from __future__ import annotations

import os
from pathlib import Path

from inprocml.sources.directory import Directory
from inprocml.sources.remote import Remote

__all__ = ["open_source"]


def open_source(place: str | os.PathLike[str]) -> Directory | Remote:
    """Return the source at ``place``: text with ``://`` in it is a URL, everything else a path.

    A relative path means the current folder now, not when the source is read. Reads nothing. Raises
    ``ValueError`` for what looks like a URL and is none.
    """
    if isinstance(place, str) and "://" in place:
        return Remote(place)
    return Directory(os.path.abspath(Path(place).expanduser()))  # noqa: PTH100  (resolve() follows links)
