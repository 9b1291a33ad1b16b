"""From what a user writes to a source: a path is a directory, a URL is not."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from inprocml.sources.directory import Directory
from inprocml.sources.files import shown
from inprocml.sources.remote import Remote

__all__ = ["open_source", "place_name"]


def open_source(place: str | os.PathLike[str]) -> Directory | Remote:
    """Return the source at ``place``: text with ``://`` in it is a URL, everything else a path.

    A relative path means the current folder now, not when the source is read. Reads nothing. Raises
    ``ValueError`` for what looks like a URL and is none.
    """
    if isinstance(place, str) and "://" in place:
        return Remote(place)
    return Directory(os.path.abspath(Path(place).expanduser()))  # noqa: PTH100  (resolve() follows links)


def place_name(place: str | os.PathLike[str]) -> str:
    """Return what to call a model that lies at ``place``: the last step of the path.

    Of a URL, user, password and query are left out: a name goes into logs, telemetry and health probes.
    """
    text = os.fspath(place)
    if isinstance(place, str) and "://" in place:
        text = shown(urlsplit(place))
    return text.rstrip("/").rpartition("/")[2]
