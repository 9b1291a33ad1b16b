"""A bundle written out again, as a folder or as one file."""

from __future__ import annotations

from pathlib import Path

from inprocml.bundle.archive import ARCHIVE, spell
from inprocml.bundle.manifest import SIGNATURE, Manifest
from inprocml.bundle.parts import Parts, read_parts
from inprocml.bundle.place import place_file, place_folder
from inprocml.errors import Corrupt
from inprocml.sources import MANIFEST

__all__ = ["all_files", "check_digest", "save"]


def save(source: Path, digest: str, target: Path) -> None:
    """Write the bundle at ``source``, which must still be the one of ``digest``, to ``target``.

    A name that ends in ``.inprocml`` makes a single file, any other a folder. Files come out byte for byte.
    Raises ``PackError`` when ``target`` exists or cannot be written, ``BundleError`` as opening does.
    """
    parts = read_parts(source, lambda manifest, *_: check_digest(manifest, digest, source))
    if target.suffix == ARCHIVE:
        place_file(target, spell(all_files(parts)))
    else:
        place_folder(target, all_files(parts))


def all_files(parts: Parts) -> dict[str, bytes]:
    """Return every file of a bundle, the signatures included."""
    signature = {} if parts.signature is None else {SIGNATURE: parts.signature}
    return {MANIFEST: parts.spelt} | signature | parts.files


def check_digest(manifest: Manifest, digest: str, where: Path) -> None:
    """Raise ``Corrupt`` unless ``manifest`` is that of ``digest``."""
    if manifest.digest != digest:
        raise Corrupt(
            f"{where}: asked for {digest}, but this bundle is {manifest.digest}: sound, and another one. Ask "
            "whoever put it there, or ask for its own digest."
        )
