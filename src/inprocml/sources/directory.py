"""Versions in a directory: one bundle (pinned), or a store with one bundle per version.

A version is a folder ``<name>/`` or a single file ``<name>.inprocml``; where both are there, the folder is
it. Listing is one ``scandir`` and at most two ``stat`` per entry, cheap enough to be polled every few
seconds. What a half-finished copy leaves behind (a folder without ``manifest.json``, a name that begins with
a dot) is not a version, nor is a symbolic link: a link could change what a version's name means while it is
served. The one kind of link that is followed is Kubernetes' own, in the one way that never mixes
(``mounted.py``).
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from inprocml.errors import BundleError, Corrupt
from inprocml.sources.head import head_of
from inprocml.sources.history import ENTRY_CAP, HISTORY, Entry, meanings, newest_entry, newest_serial
from inprocml.sources.layout import (
    ARCHIVE,
    MANIFEST,
    MANIFEST_CAP,
    archived,
    natural_key,
    unknown_version,
    valid_version,
)
from inprocml.sources.mounted import real_folder
from inprocml.sources.moves import read_moves
from inprocml.sources.waiting import prepare, wait_for_change
from inprocml.values import Version

__all__ = ["Directory"]

T = TypeVar("T")

_TRIES = 5  # swaps of a mounted folder that one listing may fall into


@dataclass(frozen=True, slots=True)
class Directory:
    """The versions under ``path``, a bundle or a store of bundles; satisfies ``Source`` and ``Watchable``.

    ``path`` itself may be a symbolic link: the host chose it. It may be a mounted ConfigMap or Secret, or one
    ``.inprocml`` file, whose version is then called as the file is.
    """

    path: Path
    _seen: dict[int, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(path))
        object.__setattr__(self, "_seen", {})

    def __repr__(self) -> str:
        return f"Directory({str(self.path)!r})"

    def versions(self) -> Sequence[Version]:
        """Return what can be loaded, oldest first; empty for an empty store.

        Raises ``BundleError`` when the path does not exist, is no directory or cannot be read, and
        ``Corrupt`` when it is one bundle whose manifest does not name its version.
        """
        try:
            return _unswapped(self.path, _versions)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BundleError(_nothing(self.path)) from error
        except OSError as error:
            raise BundleError(
                f"{self.path} cannot be listed ({error.strerror}). Give this process the right to read it, "
                "or mend the path."
            ) from error

    def aliases(self) -> Mapping[str, Version]:
        """Return what each alias means now; empty where none was ever set.

        Raises ``BundleError`` for a store that cannot be read; ``Corrupt``, ``Unsupported`` for its history.
        """
        entry = self.newest_entry()
        if entry is None:
            return {}
        store = real_folder(self.path)
        return {
            alias: Version(meant.version, _lies(store, meant.version), meant.digest, meant.digest)
            for alias, meant in entry.aliases.items()
        }

    def earlier(self, alias: str) -> Sequence[Version]:
        """Return what else ``alias`` meant before, the last last: the versions that roll-backs lead through.

        Each is told once, and not the one that the alias means now. Raises as ``aliases``, and ``Corrupt``
        where the chain of the history breaks.
        """
        store = real_folder(self.path)
        now, *before = reversed(meanings(read_moves(store), alias))
        others = dict.fromkeys(meant for meant in before if meant is not None and meant != now)
        return tuple(
            Version(meant.version, _lies(store, meant.version), meant.digest, meant.digest)
            for meant in reversed(others)
        )

    def newest_entry(self) -> Entry | None:
        """Return the last entry of the store's history, ``None`` for an empty one; raises as ``aliases``."""
        try:
            return _unswapped(self.path, _newest_entry)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BundleError(
                f"{self.path / HISTORY} cannot be read ({error.strerror}). Give this process the right to "
                "read it."
            ) from error

    def fetch(self, name: str) -> Version:
        """Return the version called ``name``; raises ``UnknownVersion`` that lists those there are."""
        known = self.versions()
        for version in known:
            if version.name == name:
                return version
        raise unknown_version(str(self.path), name, [version.name for version in known])

    def watch(self) -> Callable[[float, threading.Event], None]:
        """Return ``wait``, with all that it needs imported."""
        prepare()
        return self.wait

    def wait(self, seconds: float, stopped: threading.Event) -> None:
        """Return when versions or aliases changed, ``stopped`` is set, or after ``seconds``.

        Sooner than ``seconds`` only with watchfiles (``pip install 'inprocml[watch]'``), and only for what is
        written on this host.
        """
        process = os.getpid()  # what a parent saw last is not what this process acted upon
        before = self._seen[process] if process in self._seen else self._look()
        self._seen[process] = wait_for_change(self.path, self._look, before, seconds, stopped)

    def _look(self) -> object:
        """What a waiting process compares: the versions and the number of the last move."""
        try:
            versions: object = self.versions()
        except BundleError as error:
            versions = type(error).__name__
        try:
            moves = newest_serial(os.listdir(real_folder(self.path) / HISTORY))  # noqa: PTH208
        except OSError:
            moves = 0
        return versions, moves


def _unswapped(path: Path, read: Callable[[Path], T]) -> T:
    """Return ``read`` of the folder's real place, again where a mounted one was swapped meanwhile.

    A listing cut short by a swap would hide versions, and the newest might be one of them.
    """
    for _ in range(_TRIES):
        store = real_folder(path)
        try:
            found = read(store)
        except (OSError, BundleError):
            if real_folder(path) == store:
                raise
        else:
            if real_folder(path) == store:
                return found
    raise BundleError(f"{path} is swapped faster than it can be read. Try again when it is left alone.")


def _versions(store: Path) -> Sequence[Version]:
    if archived(store.name) and stat.S_ISREG((status := store.stat()).st_mode):
        return (Version(archived(store.name), store, _mark(status), own_name=True),)
    if _there(store / MANIFEST):
        name = _pinned_name(store / MANIFEST)
        return (Version(name, store, _mark(os.lstat(store / MANIFEST), store.stat())),)
    found = _entries(store)
    return tuple(found[name] for name in sorted(found, key=natural_key))


def _entries(store: Path) -> dict[str, Version]:
    """Return every version by name: another bundle under the same name has another mark."""
    found: dict[str, Version] = {}
    with os.scandir(store) as entries:
        for entry in entries:
            version = _folder(store, entry) if valid_version(entry.name) else None
            if version is not None:
                found[version.name] = version
            elif (name := archived(entry.name)) and entry.is_file(follow_symlinks=False):
                mark = _mark(entry.stat(follow_symlinks=False))
                found.setdefault(name, Version(name, store / entry.name, mark))
    return found


def _folder(store: Path, entry: os.DirEntry[str]) -> Version | None:
    if not entry.is_dir(follow_symlinks=False):
        return None
    try:
        # its own time tells of files added or taken away, the manifest's of another bundle
        mark = _mark(os.lstat(os.path.join(entry.path, MANIFEST)), os.lstat(entry.path))  # noqa: PTH118
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        mark = ""  # counted though unseen: to pass over the newest would serve an older one in silence
    return Version(entry.name, store / entry.name, mark)


def _mark(status: os.stat_result, folder: os.stat_result | None = None) -> str:
    own = f"{status.st_ino}.{status.st_size}.{status.st_mtime_ns}.{status.st_ctime_ns}"
    return own if folder is None else f"{own}.{folder.st_mtime_ns}"


def _lies(store: Path, version: str) -> Path:
    folder = store / version
    return (
        folder
        if folder.is_dir() or not (store / (version + ARCHIVE)).is_file()
        else store / (version + ARCHIVE)
    )


def _newest_entry(store: Path) -> Entry | None:
    folder = store / HISTORY
    names = os.listdir(folder)  # noqa: PTH208  (a Path for each of thousands costs more)
    return newest_entry(names, lambda name: head_of(folder / name, ENTRY_CAP), where=str(folder))


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
        head = head_of(manifest, MANIFEST_CAP)
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
