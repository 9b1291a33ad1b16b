"""The history of a store on disk: all of it, checked link by link, or the last entry and its digest.

Readers that only want to know what an alias means now ask ``Directory.aliases``, which reads one file.
"""

from __future__ import annotations

import os
from pathlib import Path

from inprocml.errors import BundleError, Corrupt
from inprocml.sources.head import head_of
from inprocml.sources.history import (
    ENTRY_CAP,
    HISTORY,
    Entry,
    entry_name,
    newest_serial,
    parse_entry,
    read_chain,
)

__all__ = ["last_move", "read_moves"]


def read_moves(store: Path) -> tuple[Entry, ...]:
    """Return the whole history of ``store``, oldest first; empty where no alias was ever set.

    Raises ``Corrupt`` that names the entry where the chain breaks, ``Unsupported`` for a newer format, and
    ``BundleError`` for a folder that cannot be read.
    """
    folder = store / HISTORY
    return read_chain(_names(folder), lambda name: _content(folder / name), where=str(folder))


def last_move(store: Path) -> tuple[Entry | None, str | None]:
    """Return the last entry and the digest of its bytes, ``None`` twice for an empty history.

    Entries are looked for by name beyond those that are listed: a network file system may list what was
    there a moment ago. Raises as ``read_moves``.
    """
    folder = store / HISTORY
    listed = newest_serial(_names(folder))
    serial = max(listed, 1)
    found: tuple[Entry | None, str | None] = (None, None)
    while True:
        path = folder / entry_name(serial)
        try:
            content = _content(path)
        except FileNotFoundError:
            if serial == listed:
                raise Corrupt(f"{path}: it was listed, and is gone. Restore it.") from None
            return found
        found = parse_entry(content, serial=serial, where=str(path))
        serial += 1


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  (a Path for each of thousands costs more)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BundleError(_unreadable(folder, error)) from error


def _content(path: Path) -> bytes:
    """Read at most the cap and one byte; ``FileNotFoundError`` is the caller's to judge."""
    try:
        return head_of(path, ENTRY_CAP)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(path)) from None
    except OSError as error:
        raise BundleError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: OSError) -> str:
    return f"{path} cannot be read ({error.strerror}). Give this process the right to read it."
