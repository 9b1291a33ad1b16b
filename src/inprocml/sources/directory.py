"""Versions in a directory: one bundle (pinned), or a store with one bundle per version.

Listing is one ``scandir`` and one ``stat`` per entry, cheap enough to be polled every few seconds. What a
half-finished copy leaves behind (a folder without ``manifest.json``, a name that begins with a dot) is not a
version, nor is a symbolic link: a link could change what a version's name means while it is served.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inprocml.errors import BundleError, Corrupt, UnknownVersion
from inprocml.sources.history import ENTRY_CAP, HISTORY, Entry, newest_entry
from inprocml.values import Version

__all__ = ["MANIFEST", "MANIFEST_CAP", "VERSION_NAME", "Directory", "natural_key", "valid_version"]

MANIFEST = "manifest.json"
MANIFEST_CAP = 1 << 20  # bytes
VERSION_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""The pattern of a whole name; ``valid_version`` says it in words."""

_NAME = re.compile(VERSION_NAME, re.ASCII)
_CHUNK = re.compile(r"[0-9]+|[^0-9]+")
_LISTED = 10  # versions named in a message


def valid_version(name: str) -> bool:
    """Whether ``name`` may name a version: a letter or digit, then up to 63 of ``A-Z a-z 0-9 . _ -``."""
    return _NAME.fullmatch(name) is not None


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key of a version name: runs of digits compare as numbers, everything else as text.

    Digits sort before text, a prefix before what continues it; names that differ only in leading zeros
    fall back to text, so the order is total. The newest version is the greatest.
    """
    chunks = tuple((0, int(part), "") if part[0].isdigit() else (1, 0, part) for part in _CHUNK.findall(name))
    return chunks, name


@dataclass(frozen=True, slots=True)
class Directory:
    """The versions under ``path``, a bundle or a store of bundles; satisfies ``protocols.Source``.

    ``path`` itself may be a symbolic link: the host chose it.
    """

    path: Path

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(path))

    def __repr__(self) -> str:
        return f"Directory({str(self.path)!r})"

    def versions(self) -> Sequence[Version]:
        """Return what can be loaded, oldest first; empty for an empty store.

        Raises ``BundleError`` when the path does not exist, is no directory or cannot be read, and
        ``Corrupt`` when it is one bundle whose manifest does not name its version.
        """
        try:
            if _there(self.path / MANIFEST):
                return (Version(_pinned_name(self.path / MANIFEST), self.path),)
            found = _folders(self.path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BundleError(_nothing(self.path)) from error
        except OSError as error:
            raise BundleError(
                f"{self.path} cannot be listed ({error.strerror}). Give this process the right to read it, "
                "or mend the path."
            ) from error
        found.sort(key=lambda entry: natural_key(entry[0]))
        return tuple(Version(name, self.path / name, mark) for name, mark in found)

    def aliases(self) -> Mapping[str, Version]:
        """Return what each alias means now; empty where none was ever set.

        Raises ``BundleError`` for a store that cannot be read; ``Corrupt``, ``Unsupported`` for its history.
        """
        entry = self.newest_entry()
        if entry is None:
            return {}
        return {
            alias: Version(meant.version, self.path / meant.version, meant.digest, meant.digest)
            for alias, meant in entry.aliases.items()
        }

    def newest_entry(self) -> Entry | None:
        """Return the last entry of the store's history, ``None`` for an empty one; raises as ``aliases``."""
        folder = self.path / HISTORY
        try:
            names = os.listdir(folder)  # noqa: PTH208  (a Path for each of thousands costs more)
            return newest_entry(names, lambda name: _head(folder / name, ENTRY_CAP), where=str(folder))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BundleError(
                f"{folder} cannot be read ({error.strerror}). Give this process the right to read it."
            ) from error

    def fetch(self, name: str) -> Version:
        """Return the version called ``name``; raises ``UnknownVersion`` that lists those there are."""
        known = self.versions()
        for version in known:
            if version.name == name:
                return version
        names = [version.name for version in known]
        shown = ", ".join(names[-_LISTED:]) or "none yet"
        more = f" and {len(names) - _LISTED} older" if len(names) > _LISTED else ""
        raise UnknownVersion(
            f"{self.path} has no version {name[:80]!r}; it has: {shown}{more}. Ask for one of these or pack "
            "it."
        )


def _folders(store: Path) -> list[tuple[str, str]]:
    """Return name and mark of every version: another manifest under the same name has another mark."""
    found = []
    with os.scandir(store) as entries:
        for entry in entries:
            if not valid_version(entry.name) or not entry.is_dir(follow_symlinks=False):
                continue
            try:
                status = os.lstat(os.path.join(entry.path, MANIFEST))  # noqa: PTH118  (a Path costs more)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                # Counted though unseen: to pass over the newest would serve an older one in silence.
                found.append((entry.name, ""))
            else:
                found.append((entry.name, f"{status.st_ino}.{status.st_mtime_ns}"))
    return found


def _there(path: str | Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _nothing(path: Path) -> str:
    if path.is_symlink():
        told = f"{path} is a symbolic link to {str(path.readlink())!r}, which is not there. Mend the link"
        return f"{told}, or make a version where it leads with inprocml.pack."
    return (
        f"{path} is not a directory: nothing to load. Make a version there with "
        f"inprocml.pack({str(path)!r}, ...), or mend the path."
    )


def _pinned_name(manifest: Path) -> str:
    """Read only the version's name; opening the bundle checks all the rest."""
    try:
        head = _head(manifest, MANIFEST_CAP)
        name = json.loads(head)["version"] if len(head) <= MANIFEST_CAP else None
    except OSError as error:
        raise BundleError(
            f"{manifest} cannot be read ({error.strerror}). Give this process the right to read it, or pack "
            "the bundle anew."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError):
        name = None
    if not isinstance(name, str) or not valid_version(name):
        raise Corrupt(
            f"{manifest} does not name a version, so it is damaged or no inprocml bundle. "
            "Copy the bundle again, or point to a store made by inprocml.pack."
        )
    return name


def _head(path: Path, cap: int) -> bytes:
    """Read at most ``cap`` bytes and one; empty for a folder, or for a pipe, which would never end."""
    # without O_NONBLOCK the open itself would wait for a pipe's other end
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(cap + 1)
    finally:
        os.close(descriptor)
