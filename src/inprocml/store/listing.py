"""What a store's versions say of themselves, from their manifests alone, and their order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from inprocml.bundle.manifest import SIGNATURE, Manifest
from inprocml.bundle.parts import read_parts
from inprocml.errors import BundleError, UnknownVersion
from inprocml.sources.history import Target
from inprocml.values import Version

__all__ = ["StoredVersion", "described", "missing", "ordered"]


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version in a store, light: its manifest was read and checked, its other files were not.

    ``created`` is when it was packed, with its zone (UTC); ``size`` the bytes of all its files; ``aliases``
    those that mean it now. ``broken`` says why it cannot be opened, and is empty for a sound one; a broken
    one may have no ``digest``, ``created`` or ``size``.
    """

    name: str
    path: Path = field(repr=False)
    digest: str = ""
    created: datetime | None = None
    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    size: int | None = None
    aliases: tuple[str, ...] = ()
    broken: str = ""


def described(version: Version, aliases: Mapping[str, Version]) -> StoredVersion:
    """Read the version's manifest and return what it says; a broken one says why."""
    try:
        manifest, spelt = _manifest(version.path)
    except BundleError as error:
        return StoredVersion(version.name, version.path, broken=str(error))
    meant = sorted(
        alias
        for alias, target in aliases.items()
        if (target.name, target.digest) == (version.name, manifest.digest)
    )
    misnamed = f"{version.path}: its manifest calls it {manifest.version!r}; give it that name again."
    return StoredVersion(
        name=version.name,
        path=version.path,
        digest=manifest.digest,
        created=datetime.fromisoformat(manifest.created),
        metrics=MappingProxyType(dict(manifest.metrics)),
        size=_size(version.path, manifest, spelt),
        aliases=tuple(meant),
        broken="" if manifest.version == version.name else misnamed,
    )


def missing(target: Target, path: Path, found: StoredVersion | None) -> StoredVersion:
    """Return what is left of a version that an alias meant, when the store has it no more."""
    if found is None:
        why = "it is not in the store any more"
    else:
        why = found.broken or f"the store has another bundle of that name, {found.digest[:19]}"
    told = f"{path} ({target.digest[:19]}): {why}. Restore it from a backup, or promote another version."
    return StoredVersion(target.version, path, digest=target.digest, broken=told)


def ordered(
    versions: Sequence[StoredVersion], order_by: str | None, *, ascending: bool
) -> tuple[StoredVersion, ...]:
    """Order versions that come newest first; those without the value are last, newest first.

    Raises ``UnknownVersion`` for a metric that no version has.
    """
    if order_by is None:
        return tuple(reversed(versions)) if ascending else tuple(versions)
    key = _key(order_by)
    having = [version for version in versions if key(version) is not None]
    lacking = [version for version in versions if key(version) is None]
    if versions and not having:
        known = sorted({name for version in versions for name in version.metrics})
        shown = ", ".join([*known[:10], "created", "size"])
        raise UnknownVersion(f"no version has a metric {order_by[:64]!r}. Order by one of: {shown}.")
    having.sort(key=key, reverse=not ascending)  # stable: of equals the newer comes first
    return (*having, *lacking)


def _key(order_by: str) -> Callable[[StoredVersion], Any]:
    if order_by == "created":
        return lambda version: version.created
    if order_by == "size":
        return lambda version: version.size
    return lambda version: version.metrics.get(order_by)


class _Enough(Exception):
    """No error: it ends the reading."""


def _manifest(path: Path) -> tuple[Manifest, bytes]:
    """Return the manifest of a folder or a single file and its bytes; nothing large is read."""
    seen: list[tuple[Manifest, bytes]] = []

    def admit(manifest: Manifest, spelt: bytes, _signature: bytes | None) -> None:
        seen.append((manifest, spelt))
        raise _Enough

    with contextlib.suppress(_Enough):
        read_parts(path, admit)
    return seen[0]


def _size(path: Path, manifest: Manifest, spelt: bytes) -> int:
    if path.is_file():
        return path.stat().st_size
    signature = path / SIGNATURE
    rest = signature.stat().st_size if signature.is_file() else 0
    return len(spelt) + rest + sum(entry.size for entry in manifest.files.values())
