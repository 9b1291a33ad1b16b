"""The files of a bundle, read once and checked, whichever of its two forms they came in."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from inprocml.bundle.archive import ARCHIVE, read_archive
from inprocml.bundle.folder import open_regular, read_files, read_manifest, read_signature
from inprocml.bundle.manifest import Manifest
from inprocml.errors import BundleError
from inprocml.sources.layout import on_disk

__all__ = ["Admit", "Parts", "bundle_path", "read_parts"]

Admit: TypeAlias = Callable[[Manifest, bytes, bytes | None], None]
"""Looks at a manifest, its exact bytes and those of ``signature.json``; raises to go no further."""


@dataclass(frozen=True, slots=True)
class Parts:
    """``spelt`` are the exact bytes of the manifest, ``files`` those it names, their digests checked."""

    manifest: Manifest
    spelt: bytes
    signature: bytes | None
    files: dict[str, bytes]


def bundle_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a bundle; ``BundleError`` for a URL, not repeated, ``TypeError`` for no path."""
    url = "a bundle is opened from a folder or a file on disk; a URL is followed with inprocml.Model(url)."
    return on_disk(path, of="a bundle's folder or file", url=BundleError(f"{url} Give a path, or use that."))


def read_parts(path: Path, admit: Admit) -> Parts:
    """Read the bundle at ``path``, a folder or a single file.

    ``admit`` is asked once the manifest is sound and before anything large is read. Raises ``Corrupt``,
    ``Untrusted``, ``Unsupported``, and ``BundleError`` that says what is there when it is no bundle.
    """
    if path.is_file():
        with open_regular(path) as stream:
            if path.suffix != ARCHIVE and not stream.peeked().startswith(b"PK"):
                raise BundleError(
                    f"{path} is a file, but no bundle. Point to a folder or a file made by inprocml.pack or "
                    "Bundle.save."
                )
            return Parts(*read_archive(stream, admit))
    manifest, spelt = read_manifest(path)
    signature = read_signature(path)
    admit(manifest, spelt, signature)
    return Parts(manifest, spelt, signature, read_files(path, manifest))
