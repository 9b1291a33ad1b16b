"""Writing to a disk that may lose its power, and beside writers that may be killed, at any moment.

Every step is one call of ``os``, so that a test can kill the writer at each of them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from inprocml.errors import BundleError

__all__ = ["link_new", "sweep", "sync_folder", "temporary_in", "write_new"]

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_LEFT = re.compile(r"\.tmp-[0-9a-f]{16}", re.ASCII)
_OLD = 24 * 3600.0  # seconds: no writer that lives takes a day from one step to the next
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}


def temporary_in(folder: Path) -> Path:
    """Return a name in ``folder`` that nobody has and no reader looks at."""
    return folder / f".tmp-{secrets.token_hex(8)}"


def write_new(path: Path, pieces: Iterable[bytes], *, mode: int = 0o666) -> None:
    """Write a file that is not there yet and force it to disk; raises ``OSError``.

    ``mode`` are its rights, less the process's umask.
    """
    descriptor = os.open(path, _FLAGS, mode)
    try:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Force the names in ``folder`` to disk, where the file system can."""
    # some network file systems and Windows cannot; a rename or a link is atomic all the same
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def link_new(path: Path, content: bytes) -> bool:
    """Make ``path`` appear, whole and forced to disk; False when the name was taken.

    The content is written under another name and gets this one by a hard link, which fails where a name is
    taken and which nothing can split. Raises ``BundleError`` for a file system without hard links, and
    ``OSError`` for a disk that refuses.
    """
    temporary = temporary_in(path.parent)
    try:
        write_new(temporary, [content])
        placed = _linked(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    if placed:
        sync_folder(path.parent)
    return placed


def _linked(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # over NFS the answer to a link that was made may get lost, and the same request sent again fails
        return temporary.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise BundleError(
            f"{path.parent}: this file system has no hard links ({error.strerror}), so an alias cannot be "
            "moved safely. Keep the store on a local POSIX file system or NFS, and copy it from there."
        ) from error
    return True


def sweep(folder: Path) -> None:
    """Remove what killed writers left in ``folder`` a day ago or longer; what cannot be removed stays."""
    oldest = time.time() - _OLD
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208
            if _LEFT.fullmatch(name):
                _remove(folder / name, oldest)


def _remove(path: Path, oldest: float) -> None:
    with contextlib.suppress(OSError):
        status = path.lstat()
        if status.st_mtime >= oldest:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
