"""Reading a bundle's files without trusting them.

Every file is opened once, checked on the open descriptor, read once, and its digest is taken over the very
bytes that are then used: nothing can change between check and use. Symbolic links are refused: they let a
bundle borrow files that are not its own. Hard links are files like any other, and package installers make
them; what they could change, the digest notices.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from inprocml.bundle.manifest import SIGNATURE, FileEntry, Manifest, file_set, parse_manifest
from inprocml.bundle.remedy import AGAIN
from inprocml.errors import BundleError, Corrupt, Untrusted
from inprocml.schema.canonical import sha256
from inprocml.schema.strict_json import LARGEST_TEXT
from inprocml.sources import MANIFEST, MANIFEST_CAP

__all__ = ["CAPS", "Regular", "open_regular", "read_files", "read_manifest", "read_signature"]

MB = 1 << 20
CAPS = {
    MANIFEST: MANIFEST_CAP,
    SIGNATURE: 64 << 10,
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
    | getattr(os, "O_NONBLOCK", 0)  # a planted FIFO must not hang the open
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class Regular:
    """An open regular file, read from its first byte to its last, once; ``size`` is that at its opening."""

    def __init__(self, descriptor: int, path: Path) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Corrupt(f"{path} is not a regular file. {AGAIN}")
        self.path, self.size = path, status.st_size
        self._descriptor = descriptor
        self._peeked = b""

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes, fewer only where the file ends."""
        parts, left = [self._peeked[:count]], count - len(self._peeked[:count])
        self._peeked = self._peeked[count:]
        while left > 0 and (part := os.read(self._descriptor, min(left, 1 << 30))):
            parts.append(part)
            left -= len(part)
        parts = [part for part in parts if part]  # one part is the rule, and is not copied
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def peeked(self, count: int = 4) -> bytes:
        """Return the next ``count`` bytes, which the next ``take`` returns again."""
        if len(self._peeked) < count:
            self._peeked = self.take(count)
        return self._peeked[:count]


@contextmanager
def open_regular(path: Path, *, follow: bool = True) -> Iterator[Regular]:
    """Open the regular file ``path``; raises ``Corrupt`` for what is none, ``BundleError`` where refused.

    ``follow`` says whether ``path`` may be a symbolic link, as one that the host chose may.
    """
    flags = _FLAGS if follow else _FLAGS | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            yield Regular(descriptor, path)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise Corrupt(f"{path} missing. {AGAIN}") from error
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}). Give this process the right to read it."
        ) from error


def read_manifest(folder: Path) -> tuple[Manifest, bytes]:
    """Read and check ``manifest.json`` in ``folder``, a bundle; return what it says, and its bytes.

    Raises ``BundleError`` that says what the folder is when it is no bundle.
    """
    if not folder.is_dir():
        raise BundleError(
            f"{folder} is {'neither a folder nor a file' if folder.exists() else 'missing'}, not a bundle. "
            "Point to a folder made by inprocml.pack."
        )
    names = _listed(folder)
    if MANIFEST not in names:
        raise BundleError(f"{folder} is no bundle: {_told(folder, names)}.")
    spelt = _read(folder, MANIFEST)
    return parse_manifest(spelt, where=str(folder / MANIFEST)), spelt


def read_signature(folder: Path) -> bytes | None:
    """Return the bytes of ``signature.json`` in ``folder``, None where there is none."""
    return _read(folder, SIGNATURE) if SIGNATURE in _listed(folder) else None


def read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Read every file the manifest names; return name -> bytes whose digests hold.

    Raises ``Corrupt`` for missing, extra, oversize or altered files and ``Untrusted`` for links.
    """
    wanted = file_set(manifest.model.runtime)
    found = set(_listed(folder)) - {MANIFEST, SIGNATURE}  # which may appear at any time
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
    """Read one file whole; ``size`` is what it must have, unknown of the manifest and the signatures."""
    path = folder / name
    if path.is_symlink():  # where O_NOFOLLOW is missing this is all there is
        raise Untrusted(_link_fault(path, "a symbolic link"))
    with open_regular(path, follow=False) as stream:
        cap = CAPS[name]
        if stream.size > cap:
            raise Corrupt(f"{path}: {stream.size} bytes, more than the {cap} allowed for it. {AGAIN}")
        # before a byte is read: a sparse file costs its author nothing, and its reader all of its length
        if size is not None and stream.size != size:
            raise Corrupt(f"{path}: {stream.size} bytes, but the manifest says {size}. {AGAIN}")
        content = stream.take(stream.size)
        if len(content) != stream.size or stream.take(1):
            raise Corrupt(f"{path}: its length changed while it was read. {AGAIN}")
        return content


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
