"""Putting files where readers look, whole or not at all.

Everything is written under a name that begins with a dot, forced to disk, then given its name in one step.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from inprocml.durable import sync_folder, temporary_in, write_new
from inprocml.errors import PackError

__all__ = ["place_file", "place_folder"]


def place_file(
    path: Path,
    pieces: Iterable[bytes],
    *,
    replace: bool = False,
    mode: int = 0o666,
    beside: Path | None = None,
) -> None:
    """Write ``pieces`` as the file ``path``; ``replace`` allows that there is one.

    ``mode`` are its rights, less the process's umask. The temporary file lies beside ``beside``, by default
    the file itself: in a bundle's folder readers would refuse it. Raises ``PackError`` when the file exists
    or cannot be written.
    """
    with _temporary(path, beside or path) as temporary:
        write_new(temporary, pieces, mode=mode)
        if replace:
            temporary.replace(path)
        else:
            _claim(temporary, path)
        sync_folder(path.parent)


def place_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write ``files``, name -> bytes, as the new folder ``path``.

    Raises ``PackError`` when it exists or cannot be written.
    """
    with _temporary(path, path) as temporary:
        temporary.mkdir()
        for name, content in files.items():
            write_new(temporary / name, [content])
        sync_folder(temporary)
        if os.path.lexists(path):  # a rename would replace an empty folder
            raise FileExistsError
        temporary.rename(path)
        sync_folder(path.parent)


@contextmanager
def _temporary(path: Path, beside: Path) -> Iterator[Path]:
    """Yield a new name beside ``beside``, for what is to become ``path``; what is left there is deleted."""
    temporary = temporary_in(beside.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except FileExistsError as error:
        raise PackError(f"{path} already exists, and is not overwritten. Choose another name.") from error
    except OSError as error:
        raise PackError(
            f"{path} cannot be written ({error.strerror or error}). Mend the disk or its permissions and try "
            "again; nothing became visible."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        shutil.rmtree(temporary, ignore_errors=True)


def _claim(temporary: Path, path: Path) -> None:
    """Give the file its name unless somebody has it: a link is refused then, a rename would replace."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError from None
        temporary.rename(path)
