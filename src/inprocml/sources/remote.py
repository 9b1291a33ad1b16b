"""Versions behind a URL, through fsspec: S3, HTTP, Google Cloud Storage and whatever else it reaches.

They lie as in a directory: folders, single files, ``_history``. Stores of objects are listed whole, one
request for each thousand files, and the listing says what changed. A web server is asked for its page of
links and for manifests, which are remembered for a while. What is fetched is kept by ``cache.py``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cachetools import LRUCache, TTLCache

from inprocml.errors import BundleError, Corrupt
from inprocml.schema.canonical import sha256
from inprocml.sources.cache import HostCache, Stamp, cache_key
from inprocml.sources.download import download_archive, download_folder, pinned_name
from inprocml.sources.files import Files, shown
from inprocml.sources.history import ENTRY_CAP, HISTORY, Entry, newest_entry
from inprocml.sources.layout import (
    ARCHIVE,
    BUNDLE_FILES,
    MANIFEST,
    MANIFEST_CAP,
    SIGNATURE,
    archived,
    natural_key,
    unknown_version,
    valid_version,
)
from inprocml.values import Version

__all__ = ["Remote"]

MANIFEST_SECONDS = 60.0
"""How long a web server's manifest is believed before it is asked for again."""

_LISTING_SECONDS = 5.0  # from listing to fetch
_PARTS = BUNDLE_FILES | {MANIFEST, SIGNATURE}


class Remote:
    """The versions below ``url``: a store, one bundle's folder or one ``.inprocml`` file. A ``Source``.

    ``cache`` is the folder to keep downloads in, ``keep`` how many versions of this URL stay there; the other
    ``options`` go to fsspec's file system, such as ``key``, ``secret`` and ``endpoint_url`` of S3. No user,
    password, query or option is ever shown. Nothing is read before the first call in each process. Raises
    ``ValueError`` for what is no URL.
    """

    def __init__(
        self, url: str, *, cache: str | os.PathLike[str] | None = None, keep: int = 5, **options: Any
    ) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if not parts.scheme or "://" not in url or "::" in url:
            raise ValueError("not a URL: give protocol://place/path, such as s3://bucket/models/late")
        if type(keep) is not int or keep < 1:
            raise ValueError("keep must be a whole number of versions, at least 1")
        self._url, self._options, self._keep = url, options, keep
        self._cache = None if cache is None else Path(cache)
        self._where = shown(parts)
        self._single = parts.path.endswith(ARCHIVE)
        self._states: dict[int, _State] = {}

    def __repr__(self) -> str:
        return f"Remote({self._where!r})"

    def versions(self) -> Sequence[Version]:
        """Return what can be loaded, oldest first; ``path`` is where each will lie once it is fetched.

        Raises ``BundleError`` when there is nothing or the server does not answer.
        """
        state = self._state()
        with state.lock:
            found = state.listing["versions"] = self._listed(state)
        return found

    def aliases(self) -> Mapping[str, Version]:
        """Return what each alias means now; empty where none was ever set.

        Raises ``BundleError`` when the server does not answer; ``Corrupt``, ``Unsupported`` for its history.
        """
        state = self._state()
        with state.lock:
            entry = None if self._single else self._newest_entry(state)
        if entry is None:
            return {}
        return {
            alias: Version(
                meant.version,
                state.cache.path(cache_key(meant.version, meant.digest), single=False),
                meant.digest,
                meant.digest,
            )
            for alias, meant in entry.aliases.items()
        }

    def fetch(self, name: str) -> Version:
        """Return the version called ``name``, downloaded unless this host has it.

        Raises ``UnknownVersion`` that lists those there are, ``Corrupt`` for what breaks its manifest's word,
        and ``BundleError`` when the server or the cache fails.
        """
        state = self._state()
        with state.lock:
            known = state.listing.get("versions")
        if known is None or all(version.name != name for version in known):
            known = tuple(self.versions())
        for version in known:
            if version.name == name:
                try:
                    return self._fetched(state, version)
                except Corrupt:
                    with state.lock:  # what was remembered may be why
                        state.listing.clear()
                        state.manifests.clear()
                    raise
        raise unknown_version(self._where, name, [version.name for version in known])

    def _fetched(self, state: _State, version: Version) -> Version:
        single = version.path.name.endswith(ARCHIVE)
        pinned = version.name in state.pinned
        below = "" if pinned else version.name + (ARCHIVE if single else "")
        where = f"{self._where}/{below}" if below else self._where

        def fill(folder: Path) -> Stamp:
            if single:
                size, _ = state.files.identity(below)
                return download_archive(lambda _name: state.files.open(below), folder, size=size, where=where)
            inside = f"{below}/" if below else ""
            return download_folder(lambda name: state.files.open(inside + name), folder, where=where)

        path = state.cache.bring(version.path.parent.name, single=single, fill=fill)
        return Version(version.name, path, version.mark, version.digest, version.own_name)

    def _listed(self, state: _State) -> tuple[Version, ...]:
        try:
            marks = self._marks(state)
        except FileNotFoundError:
            marks = {}
        if not marks:
            raise BundleError(
                f"{self._where} has no version. Copy a store made by inprocml.pack there, or mend the URL; a "
                "web server must show a page of links, unless the URL is that of one bundle."
            )
        return tuple(
            Version(
                name,
                state.cache.path(cache_key(name, marks[name, single]), single=single),
                marks[name, single],
                own_name=single and name in state.pinned,
            )
            for name, single in sorted(marks, key=lambda found: natural_key(found[0]))
        )

    def _marks(self, state: _State) -> dict[tuple[str, bool], str]:
        """Return (name, whether in a single file) -> mark; where a name is both, the folder is it."""
        if self._single:
            name = archived(self._where.rpartition("/")[2]) or "bundle"
            state.pinned = {name}
            return {(name, True): state.files.identity()[1]}
        marks = _linked(state) if state.files.indexed else _found(state)
        return {key: mark for key, mark in marks.items() if not (key[1] and (key[0], False) in marks)}

    def _newest_entry(self, state: _State) -> Entry | None:
        try:
            names = state.files.linked(HISTORY) if state.files.indexed else list(state.files.found(HISTORY))
        except FileNotFoundError:
            return None
        return newest_entry(names, state.entry, where=f"{self._where}/{HISTORY}")

    def _state(self) -> _State:
        """What this process holds: connections are not shared with a parent."""
        process = os.getpid()
        state = self._states.get(process)
        if state is None:
            files = Files(self._url, self._options)
            endpoint = str(self._options.get("endpoint_url", ""))
            identity = f"{self._where}\0{endpoint.rpartition('@')[2]}"
            cache = HostCache(self._cache, identity, keep=self._keep, where=self._where)
            state = self._states.setdefault(process, _State(files, cache))
        return state


class _State:
    """Connections, and what was learnt lately; ``lock`` is held around whoever learns."""

    def __init__(self, files: Files, cache: HostCache) -> None:
        self.files, self.cache = files, cache
        self.lock = threading.Lock()
        self.pinned: set[str] = set()
        self.listing: TTLCache[str, tuple[Version, ...]] = TTLCache(1, _LISTING_SECONDS)
        self.manifests: TTLCache[str, bytes] = TTLCache(256, MANIFEST_SECONDS)
        self.entries: TTLCache[str, bytes] = TTLCache(4, MANIFEST_SECONDS)
        self.names: LRUCache[str, str] = LRUCache(16)

    def manifest(self, name: str) -> bytes:
        """The bytes of a manifest; raises ``FileNotFoundError``."""
        content = self.manifests.get(name)
        if content is None:
            content = self.manifests[name] = self.files.head(name, MANIFEST_CAP)
        return content

    def entry(self, name: str) -> bytes:
        """The bytes of an entry of the history: written once, never changed."""
        content = self.entries.get(name)
        if content is None:
            content = self.entries[name] = self.files.head(f"{HISTORY}/{name}", ENTRY_CAP)
        return content

    def pin(self, content: bytes) -> str:
        """Take note that the URL is one bundle, whose manifest is ``content``; return its version."""
        name = pinned_name(content, self.files.where)
        if not valid_version(name):
            raise Corrupt(f"{self.files.where}/{MANIFEST} does not name a version. Publish the bundle anew.")
        self.pinned = {name}
        return name


def _found(state: _State) -> dict[tuple[str, bool], str]:
    """The versions of a store of objects, which lists all its files at once."""
    files = state.files.found()
    if MANIFEST in files:
        identity = files[MANIFEST][1]
        if identity not in state.names:
            state.names[identity] = state.pin(state.files.head(MANIFEST, MANIFEST_CAP))
        return {(state.names[identity], False): _mark(files)}
    state.pinned = set()
    marks: dict[tuple[str, bool], str] = {}
    for path, (_, identity) in files.items():
        folder, _, name = path.rpartition("/")
        if name == MANIFEST and valid_version(folder):
            marks[folder, False] = ""
        elif not folder and (version := archived(name)):
            marks[version, True] = identity
    folders: dict[str, dict[str, tuple[int | None, str]]] = {
        folder: {} for folder, single in marks if not single
    }
    for path, found in files.items():
        folder, _, name = path.rpartition("/")
        if folder in folders:
            folders[folder][name] = found
    return marks | {(folder, False): _mark(inside) for folder, inside in folders.items()}


def _linked(state: _State) -> dict[tuple[str, bool], str]:
    """The versions of a web server: those to which its page links and whose manifest is there."""
    try:
        content = state.manifest(MANIFEST)
    except FileNotFoundError:
        state.pinned = set()
    else:
        return {(state.pin(content), False): sha256(content)}
    marks: dict[tuple[str, bool], str] = {}
    for link in state.files.linked():
        name = link.removesuffix("/")
        if name != link and valid_version(name):
            try:
                marks[name, False] = sha256(state.manifest(f"{name}/{MANIFEST}"))
            except FileNotFoundError:
                continue  # no version, or one that is still being copied
        elif version := archived(link):
            marks[version, True] = state.files.identity(link)[1]
    return marks


def _mark(files: Mapping[str, tuple[int | None, str]]) -> str:
    """What changes when any file of a version does."""
    parts = sorted(f"{name} {identity}" for name, (_, identity) in files.items() if name in _PARTS)
    return sha256("\n".join(parts).encode())
