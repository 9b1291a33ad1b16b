"""How a store lies, wherever it is: what may name a version, their order, the files a bundle may have."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from inprocml.errors import UnknownVersion

__all__ = [
    "ARCHIVE",
    "BUNDLE_FILES",
    "MANIFEST",
    "MANIFEST_CAP",
    "SIGNATURE",
    "VERSION_NAME",
    "archived",
    "natural_key",
    "on_disk",
    "unknown_version",
    "valid_version",
]

MANIFEST = "manifest.json"
MANIFEST_CAP = 1 << 20  # bytes
SIGNATURE: Final = "signature.json"
ARCHIVE: Final = ".inprocml"
"""How the name of a version in a single file ends."""

BUNDLE_FILES: Final = frozenset(
    {"transform.json", "golden.json", "baseline.json", "card.md", "model.onnx", "weights.safetensors"}
)
"""Every name a manifest may give to a file: nothing else is ever asked for, or written."""

VERSION_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""The pattern of a whole name; ``valid_version`` says it in words."""

_NAME = re.compile(VERSION_NAME, re.ASCII)
_CHUNK = re.compile(r"[0-9]+|[^0-9]+")
_LISTED = 10  # versions named in a message


def valid_version(name: str) -> bool:
    """Whether ``name`` may name a version: a letter or digit, then up to 63 of ``A-Z a-z 0-9 . _ -``."""
    return _NAME.fullmatch(name) is not None


def archived(filename: str) -> str:
    """Return the version that a single file of this name holds, empty where it cannot be one."""
    name = filename.removesuffix(ARCHIVE)
    return name if name != filename and valid_version(name) else ""


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key of a version name: runs of digits compare as numbers, everything else as text.

    Digits sort before text, a prefix before what continues it; names that differ only in leading zeros
    fall back to text, so the order is total. The newest version is the greatest.
    """
    chunks = tuple((0, int(part), "") if part[0].isdigit() else (1, 0, part) for part in _CHUNK.findall(name))
    return chunks, name


def on_disk(path: object, *, of: str, url: Exception) -> Path:
    """Return the path of ``of``, such as "a store's folder"; raises ``url`` for text with ``://`` in it.

    A URL would become an odd relative path, and the message that nothing lies there would repeat its
    password. Raises ``TypeError`` for what is no path.
    """
    if not isinstance(path, (str, os.PathLike)) or not isinstance(text := os.fspath(path), str):
        raise TypeError(f"give the path of {of}, as text or pathlib.Path, not {type(path).__name__}")
    if "://" in text:
        raise url
    return Path(text)


def unknown_version(
    where: str, name: str, names: Sequence[str], aliases: Iterable[str] = ()
) -> UnknownVersion:
    """Return the error for a version that is not among ``names``, those of the source, oldest first.

    ``aliases`` are told too: where either is taken, either may have been misspelt.
    """
    shown = ", ".join(names[-_LISTED:]) or "none yet"
    more = f" and {len(names) - _LISTED} older" if len(names) > _LISTED else ""
    meant = sorted(aliases)[:_LISTED]
    also = f"; aliases: {', '.join(meant)}" if meant else ""
    return UnknownVersion(
        f"{where} has no version {name[:80]!r}; it has: {shown}{more}{also}. Ask for one of these or pack it."
    )
