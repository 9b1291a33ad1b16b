"""A bundle's files from elsewhere to a folder here: names from a closed set, lengths known beforehand.

The manifest comes first and says what each file's length and digest must be; a file is written up to that
length and not a byte further. So a source can fill the disk with no more than its manifest admits to, and a
download that was cut short or altered on the way never looks like a version. All the rest is for whoever
opens the bundle: this room knows where files lie, not what they mean.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

from inprocml.errors import BundleError, Corrupt
from inprocml.schema import parse
from inprocml.schema.canonical import canonical, sha256
from inprocml.sources.cache import BUNDLE, Stamp
from inprocml.sources.layout import ARCHIVE, BUNDLE_FILES, MANIFEST, MANIFEST_CAP, SIGNATURE

__all__ = [
    "FILE_CAP",
    "Opener",
    "Readable",
    "download_archive",
    "download_folder",
    "pinned_name",
    "read_head",
]

FILE_CAP: Final = 4 << 30
"""Largest file of a bundle, in bytes."""

_CHUNK: Final = 1 << 20
_LEAST_PACE: Final = 50_000.0  # bytes a second, beside a minute to begin
_AGAIN: Final = "It was cut short or changed on the way, or is being replaced: try again, or publish it anew."


class Readable(Protocol):
    """A file elsewhere, read in order; empty bytes at its end."""

    def read(self, size: int, /) -> bytes: ...


Opener = Callable[[str], AbstractContextManager[Readable]]
"""Opens a file by its name in the bundle; raises ``FileNotFoundError`` or ``BundleError``."""


def read_head(stream: Readable, cap: int) -> bytes:
    """Read at most ``cap`` bytes and one."""
    parts: list[bytes] = []
    left = cap + 1
    while left > 0 and (part := stream.read(min(left, _CHUNK))):
        parts.append(part[:left])
        left -= len(part)
    return b"".join(parts)


def download_folder(opened: Opener, folder: Path, *, where: str) -> Stamp:
    """Write the bundle's files into ``folder / "bundle"``; return what arrived.

    Raises ``Corrupt`` for a manifest that is damaged or promises what no bundle has, and for files that break
    its word; ``BundleError`` of the opener; ``OSError`` where the disk is full.
    """
    content = _head(opened, MANIFEST, where)
    sizes = _promised(content, where)
    total = sum(size for size, _ in sizes.values())
    if shutil.disk_usage(folder).free < total:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    bundle = folder / BUNDLE
    bundle.mkdir()
    stamp: Stamp = {}
    for name, (size, digest) in sizes.items():
        stamp[f"{BUNDLE}/{name}"] = (size, _copied(opened, name, bundle / name, size, where))
        if stamp[f"{BUNDLE}/{name}"][1] != digest:
            raise Corrupt(f"{where}/{name}: its bytes do not match the manifest's sha256. {_AGAIN}")
    whole = {MANIFEST: content}
    # whether a bundle must be signed is for the host to say, when it is opened
    with contextlib.suppress(FileNotFoundError):
        whole[SIGNATURE] = _head(opened, SIGNATURE, where)
    for name, found in whole.items():
        (bundle / name).write_bytes(found)
        stamp[f"{BUNDLE}/{name}"] = (len(found), sha256(found))
    return stamp


def download_archive(opened: Opener, folder: Path, *, size: int | None, where: str) -> Stamp:
    """Write a bundle in one file to ``folder / "bundle.inprocml"``; ``size`` is its length, if known."""
    name = BUNDLE + ARCHIVE
    path = folder / name
    digest = _copied(opened, "", path, size, where)
    return {name: (path.stat().st_size, digest)}


def pinned_name(content: bytes, where: str) -> str:
    """Return the version that the manifest ``content`` names; opening the bundle checks all the rest."""
    document = _parsed(content, where)
    name = document.get("version")
    if not isinstance(name, str):
        raise Corrupt(f"{where}/{MANIFEST} does not name a version. {_AGAIN}")
    return name


def _promised(content: bytes, where: str) -> dict[str, tuple[int, str]]:
    """Return length and digest of every file of a manifest that keeps its own digest."""
    document = _parsed(content, where)
    rest = {key: value for key, value in document.items() if key != "digest"}
    try:
        sound = document.get("digest") == "sha256:" + sha256(canonical(rest))
    except ValueError:
        sound = False
    files = document.get("files")
    if not sound or not isinstance(files, dict):
        raise Corrupt(f"{where}/{MANIFEST}: its digest does not match what it says. {_AGAIN}")
    if strange := sorted(set(files) - BUNDLE_FILES):
        raise Corrupt(
            f"{where}/{MANIFEST} names {strange[0][:60]!r}, a file that no bundle has. Publish it anew, or "
            "upgrade inprocml if it comes from a newer release."
        )
    promised: dict[str, tuple[int, str]] = {}
    for name, entry in files.items():
        size, digest = (entry.get("size"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        if type(size) is not int or not 0 <= size <= FILE_CAP or not isinstance(digest, str):
            raise Corrupt(f"{where}/{MANIFEST}: {name} has no length of at most {FILE_CAP} bytes. {_AGAIN}")
        promised[name] = (size, digest)
    return promised


def _parsed(content: bytes, where: str) -> dict[str, Any]:
    if len(content) > MANIFEST_CAP:
        raise Corrupt(f"{where}/{MANIFEST}: more than the {MANIFEST_CAP} bytes it may have. {_AGAIN}")
    document = parse(content, what=f"{where}/{MANIFEST}")
    if not isinstance(document, dict):
        raise Corrupt(f"{where}/{MANIFEST} is no inprocml manifest. Point to a store made by inprocml.pack.")
    return document


def _head(opened: Opener, name: str, where: str) -> bytes:
    with opened(name) as stream:
        content = read_head(stream, MANIFEST_CAP)
    if len(content) > MANIFEST_CAP:
        raise Corrupt(f"{where}/{name}: more than the {MANIFEST_CAP} bytes it may have. {_AGAIN}")
    return content


def _copied(opened: Opener, name: str, path: Path, size: int | None, where: str) -> str:
    """Write one file of ``size`` bytes and return its digest."""
    told = f"{where}/{name}" if name else where
    most = FILE_CAP if size is None else size
    until = time.monotonic() + 60 + most / _LEAST_PACE
    digest, written = hashlib.sha256(), 0
    try:
        with opened(name) as stream, path.open("xb") as file:
            while part := stream.read(min(_CHUNK, most - written + 1)):
                written += len(part)
                if written > most:
                    raise Corrupt(f"{told}: more than the {most} bytes it may have. {_AGAIN}")
                digest.update(part)
                file.write(part)
                if time.monotonic() > until:
                    raise BundleError(
                        f"{told}: it comes too slowly to wait for. Try again when the way is clear."
                    )
    except FileNotFoundError as error:
        raise Corrupt(f"{told} is missing. {_AGAIN}") from error
    if size is not None and written != size:
        raise Corrupt(f"{told}: {written} bytes came, of {size}. {_AGAIN}")
    return digest.hexdigest()
