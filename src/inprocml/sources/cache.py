"""Bundles from elsewhere, kept on this host: downloaded once whatever the number of processes, and bounded.

::

    <cache>/<store>/lock                the one who downloads holds it; the system frees it when it is killed
    <cache>/<store>/<key>/bundle/       a bundle's folder, or bundle.inprocml, a bundle in one file
    <cache>/<store>/<key>/stamp.json    length and sha256 of every file, as they were when they arrived
    <cache>/<store>/.tmp-...            a download under way, or what was left of one that was killed

``<key>`` appears by one rename, whole. Whatever does not match its stamp is deleted and fetched again. The
time of ``<key>`` itself is that of its last use, and says which go first. Nothing here is trusted beyond
that: the bundle's own digests, and its signature if the host asks for one, are checked by whoever opens it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from inprocml.errors import BundleError
from inprocml.schema.canonical import canonical
from inprocml.sources.layout import ARCHIVE

__all__ = ["BUNDLE", "HostCache", "Stamp", "cache_key"]

BUNDLE: Final = "bundle"
_STAMP: Final = "stamp.json"
_TEMPORARY: Final = ".tmp-"
_PATIENCE_SECONDS: Final = 600.0

Stamp = dict[str, tuple[int, str]]
"""Length in bytes and sha256 of every file, by its path below the key's folder."""


def cache_key(*parts: str) -> str:
    """Return a folder's name for ``parts``: 32 hexadecimal digits, so that no part becomes a path."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


class HostCache:
    """What was downloaded from one place, of which the ``keep`` most recently used stay.

    ``folder`` is where all caches are (None: ``$XDG_CACHE_HOME/inprocml`` or ``~/.cache/inprocml``);
    ``where`` names the place without its secrets, for messages.
    """

    def __init__(self, folder: Path | None, identity: str, *, keep: int, where: str) -> None:
        self._folder = (folder or _default_folder()) / cache_key(identity)
        self._keep = keep
        self._where = where

    def path(self, key: str, *, single: bool) -> Path:
        """Return where the bundle of ``key`` lies once it is here; ``single`` for a bundle in one file."""
        return self._folder / key / (BUNDLE + ARCHIVE if single else BUNDLE)

    def bring(self, key: str, *, single: bool, fill: Callable[[Path], Stamp]) -> Path:
        """Return ``path`` of ``key``, after ``fill`` wrote it into the folder that it is given, if need be.

        One process at a time downloads, the others wait and find what it brought. Raises ``BundleError`` when
        the cache cannot be written; what ``fill`` raises of its own passes through, and leaves nothing
        behind.
        """
        place = self._folder / key
        if _sound(place):
            _touch(place)
            return self.path(key, single=single)
        fault = ""
        try:
            with self._locked():
                if not _sound(place):
                    self._download(place, fill)
                _touch(place)
                self._evict(place)
        except OSError as error:
            fault = error.strerror or type(error).__name__
        if fault:
            raise BundleError(
                f"{self._where}: it cannot be kept in the cache {self._folder} ({fault}). Make room or give "
                "this process the right to write there, or choose another folder with cache=."
            )
        return self.path(key, single=single)

    def _download(self, place: Path, fill: Callable[[Path], Stamp]) -> None:
        for leftover in self._folder.glob(_TEMPORARY + "*"):
            shutil.rmtree(leftover, ignore_errors=True)  # its owner would hold the lock if it lived
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._folder))
        try:
            stamp = fill(temporary)
            (temporary / _STAMP).write_bytes(canonical(stamp))
            if place.exists():
                shutil.rmtree(place)
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _evict(self, newest: Path) -> None:
        """Delete what was used longest ago; one that cannot be deleted is tried again next time."""
        others = [place for place in self._folder.iterdir() if place.is_dir() and place != newest]
        others = [place for place in others if not place.name.startswith(".")]
        others.sort(key=_used, reverse=True)
        for place in others[self._keep - 1 :]:
            shutil.rmtree(place, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            from filelock import FileLock, Timeout
        except ImportError:
            raise BundleError(
                f"{self._where}: versions from elsewhere need filelock: pip install 'inprocml[remote]'."
            ) from None
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(self._folder / "lock", timeout=_PATIENCE_SECONDS)
        try:
            lock.acquire()
        except Timeout:
            raise BundleError(
                f"{self._where}: another process has been downloading for {_PATIENCE_SECONDS:.0f} s. End it "
                f"if it hangs; it holds {self._folder / 'lock'}."
            ) from None
        try:
            yield
        finally:
            lock.release()


def _default_folder() -> Path:
    told = os.environ.get("XDG_CACHE_HOME", "")
    # the convention says that a relative path is to be ignored
    base = Path(told) if os.path.isabs(told) else Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH117, PTH111
    return base / "inprocml"


def _sound(place: Path) -> bool:
    """Whether every file is there as it arrived, and no other."""
    try:
        stamp = json.loads((place / _STAMP).read_bytes())
        found = {path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir()}
        if found != {_STAMP, *stamp}:
            return False
        return all(_stamped(place / name, size, digest) for name, (size, digest) in stamp.items())
    except (OSError, ValueError, TypeError):
        return False


def _stamped(path: Path, size: int, digest: str) -> bool:
    if path.is_symlink() or path.stat().st_size != size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == digest


def _touch(place: Path) -> None:
    with contextlib.suppress(OSError):  # a cache that may only be read serves all the same
        os.utime(place)


def _used(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except OSError:
        return 0.0
