"""The files of captured rows: whole or not there, readable by their owner alone, and for a while."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from inprocml.durable import sync_folder, temporary_in, write_new

__all__ = ["File", "add", "files_in", "tidy"]

_NAME = re.compile(r"(rows|labels)-([0-9]{13})-[0-9a-f]{16}\.parquet", re.ASCII)
_LEFT = re.compile(r"\.tmp-[0-9a-f]{16}", re.ASCII)
_ABANDONED = 600.0  # seconds: a file is written within some, or its writer was killed
_DAY = 86_400.0


class File(NamedTuple):
    """One file: ``at`` is when it was written, in seconds since 1970."""

    path: Path
    kind: str
    at: float


def add(folder: Path, kind: str, content: bytes, now: float) -> None:
    """Put a new file into the folder, which is made if need be; raises ``OSError``, and leaves nothing then.

    A writer that is killed leaves at most a name that no reader looks at, and ``tidy`` removes.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = temporary_in(folder)
    try:
        write_new(temporary, [content], mode=0o600)
        temporary.rename(folder / f"{kind}-{int(now * 1e3):013d}-{secrets.token_hex(8)}.parquet")
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(folder)


def files_in(folder: Path) -> list[File]:
    """Return the files of a folder, the oldest first; none where it is not there."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            named = _NAME.fullmatch(entry.name)
            if named and entry.is_file(follow_symlinks=False):
                found.append(File(folder / entry.name, named[1], int(named[2]) / 1e3))
    return sorted(found, key=lambda file: (file.at, file.path.name))


def tidy(folder: Path, *, keep_days: float, largest: int, now: float) -> int:
    """Delete what is older than ``keep_days``, and the oldest beyond ``largest`` bytes; return how many.

    Nothing but files of ours is ever touched. Raises ``OSError`` for a folder that cannot be read.
    """
    _sweep(folder)
    kept, size, deleted = list(_sized(files_in(folder))), 0, 0
    for file, length in reversed(kept):
        size += length
        if size > largest or file.at < now - keep_days * _DAY:
            with contextlib.suppress(OSError):
                file.path.unlink()
                deleted += 1
    return deleted


def _sized(files: list[File]) -> Iterator[tuple[File, int]]:
    for file in files:
        with contextlib.suppress(OSError):
            yield file, file.path.stat().st_size


def _sweep(folder: Path) -> None:
    """Remove what killed writers left."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if _LEFT.fullmatch(entry.name) and entry.stat().st_mtime < time.time() - _ABANDONED:
                (folder / entry.name).unlink()
