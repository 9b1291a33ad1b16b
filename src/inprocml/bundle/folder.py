"""Reading a bundle's folder without trusting it.

Every file is opened once, checked on the open descriptor, read once, and its digest is taken over the very
bytes that are then used: nothing can change between check and use. Symbolic links are refused: they let a
bundle borrow files that are not its own. Hard links are files like any other, and package installers make
them; what they could change, the digest notices.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from inprocml.bundle.manifest import FileEntry, Manifest, file_set, parse_manifest
from inprocml.bundle.remedy import AGAIN
from inprocml.errors import BundleError, Corrupt, Untrusted
from inprocml.schema.canonical import sha256
from inprocml.schema.strict_json import LARGEST_TEXT
from inprocml.sources import MANIFEST, MANIFEST_CAP

__all__ = ["CAPS", "read_files", "read_manifest"]

MB = 1 << 20
CAPS = {
    MANIFEST: MANIFEST_CAP,
    "card.md": 4 * MB,
    "transform.json": LARGEST_TEXT,
    "golden.json": LARGEST_TEXT,
    "baseline.json": LARGEST_TEXT,
    "model.onnx": 4096 * MB,
    "weights.safetensors": 4096 * MB,
}
"""Largest size in bytes of each file, checked before anything is read."""

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a planted FIFO must not hang the open
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``manifest.json`` in ``folder``, a bundle.

    Raises ``BundleError`` that says what the folder is when it is no bundle.
    """
    if not folder.is_dir():
        raise BundleError(
            f"{folder} is {'a file' if folder.exists() else 'missing'}, not a bundle's folder. "
            "Point to a folder made by inprocml.pack."
        )
    names = _listed(folder)
    if MANIFEST not in names:
        raise BundleError(f"{folder} is no bundle: {_told(folder, names)}.")
    return parse_manifest(_read(folder, MANIFEST), where=str(folder / MANIFEST))


def read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Read every file the manifest names; return name -> bytes whose digests hold.

    Raises ``Corrupt`` for missing, extra, oversize or altered files and ``Untrusted`` for links.
    """
    wanted = file_set(manifest.model.runtime)
    found = set(_listed(folder)) - {MANIFEST}
    if missing := sorted(wanted - found):
        raise Corrupt(f"{folder}: {', '.join(missing)} missing. {AGAIN}")
    if extra := sorted(found - wanted):
        raise Corrupt(
            f"{folder}: {_shown(extra)} not in the manifest. A bundle holds nothing else: move it elsewhere."
        )
    return {name: _checked(folder, name, manifest.files[name]) for name in sorted(wanted)}


def _checked(folder: Path, name: str, entry: FileEntry) -> bytes:
    content = _read(folder, name, entry.size)
    if sha256(content) != entry.sha256:
        raise Corrupt(f"{folder / name}: its bytes do not match the manifest's sha256. {AGAIN}")
    return content


def _read(folder: Path, name: str, size: int | None = None) -> bytes:
    """Read one file whole; ``size`` is what it must have, unknown of the manifest alone."""
    path = folder / name
    try:
        if path.is_symlink():  # where O_NOFOLLOW is missing this is all there is
            raise Untrusted(_link_fault(path, "a symbolic link"))
        descriptor = os.open(path, _FLAGS)
        try:
            return _read_open(descriptor, path, CAPS[name], size)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise Corrupt(f"{path} missing. {AGAIN}") from error
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}). Give this process the right to read it."
        ) from error


def _read_open(descriptor: int, path: Path, cap: int, size: int | None) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Corrupt(f"{path} is not a regular file. {AGAIN}")
    if status.st_size > cap:
        raise Corrupt(f"{path}: {status.st_size} bytes, more than the {cap} allowed for it. {AGAIN}")
    # before a byte is read: a sparse file costs its author nothing, and its reader all of its length
    if size is not None and status.st_size != size:
        raise Corrupt(f"{path}: {status.st_size} bytes, but the manifest says {size}. {AGAIN}")
    parts: list[bytes] = []
    left = status.st_size + 1  # one more, to notice a file that grows
    while left > 0 and (part := os.read(descriptor, min(left, 1 << 30))):
        parts.append(part)
        left -= len(part)
    if left != 1:
        raise Corrupt(f"{path}: its length changed while it was read. {AGAIN}")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _link_fault(path: Path, what: str) -> str:
    return f"{path} is {what}; a bundle holds its own files. Copy it with its contents (cp -rL)."


def _listed(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError as error:
        raise BundleError(
            f"{folder} cannot be listed ({error.strerror}). Give this process the right to read it."
        ) from error


def _told(folder: Path, names: list[str]) -> str:
    versions = sorted(name for name in names if (folder / name / MANIFEST).is_file())
    if versions:
        return (
            f"it is a store with the versions {_shown(versions)}; open one of them, "
            f"for example {str(folder / versions[-1])!r}, or follow the newest with inprocml.Model"
        )
    if not names:
        return "it is empty; make a version there with inprocml.pack"
    return f"it has no {MANIFEST} but {_shown(sorted(names))}; point to a folder made by inprocml.pack"


def _shown(names: Iterable[str]) -> str:
    listed = [name[:60] for name in names]
    return ", ".join(map(repr, listed[:5])) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
