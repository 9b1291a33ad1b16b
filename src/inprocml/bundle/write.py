"""Making a version visible all at once.

Everything is written into ``.tmp-<random>`` beside the versions, forced to disk, opened and replayed, and
only then renamed: a rename is the one step that a crash cannot split. A name beginning with a dot is never a
version, so whatever a crash leaves behind is invisible; the next writer removes it when it is a day old.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from inprocml.bundle.manifest import parse_manifest
from inprocml.durable import sweep, sync_folder, temporary_in, write_new
from inprocml.errors import PackError
from inprocml.sources import MANIFEST, Directory, natural_key, valid_version
from inprocml.sources.moves import read_moves

__all__ = ["publish"]

_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR, errno.EACCES}


def publish(
    store: Path,
    version: str | None,
    *,
    build: Callable[[str], Mapping[str, bytes]],
    prove: Callable[[Path], None],
) -> Path:
    """Write ``build(version)``, a mapping of file name to bytes, as a new version of ``store``.

    ``version=None`` takes the next whole number; whoever loses a race for it takes the one after.
    ``prove`` gets the temporary folder and raises if what was written is not fit to be seen. Returns
    the version's folder. Raises ``PackError`` for a name that is taken (by a version, by an alias, or in
    the store's history by a version that was deleted), malformed, or not after the newest, and for a disk
    that refuses; ``Corrupt`` for a history that is damaged.
    """
    _check_store(store)
    try:
        store.mkdir(parents=True, exist_ok=True)
        sweep(store)
        while True:
            chosen, tied = _choose(store, version)
            files = build(chosen)
            if tied and _digest(files) != tied:
                raise PackError(
                    f"{store}: its history ties {chosen!r} to another bundle, {tied[:19]}, deleted since. "
                    "Whoever reads the history must not be misled: choose another name."
                )
            if _place(store, chosen, files, prove):
                return store / chosen
            if version is not None:
                raise PackError(_taken(store, version))
    except OSError as error:
        raise PackError(
            f"{store} cannot be written ({error.strerror or error}). Mend the disk or its permissions and "
            "pack again; no version became visible."
        ) from error


def _place(store: Path, version: str, files: Mapping[str, bytes], prove: Callable[[Path], None]) -> bool:
    """Write and rename; False when another packer took the name first."""
    temporary = temporary_in(store)
    temporary.mkdir()  # not tempfile: its folders are private, and the server runs as another user
    try:
        for name, content in files.items():
            write_new(temporary / name, [content])
        sync_folder(temporary)
        prove(temporary)
        if (store / version).exists():  # a rename would replace an empty folder
            return False
        temporary.rename(store / version)
    except OSError as error:
        if error.errno in _TAKEN and (store / version).exists():
            return False
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # nothing is there after a rename
    sync_folder(store)
    return True


def _check_store(store: Path) -> None:
    if (store / MANIFEST).exists():
        raise PackError(
            f"{store} is one bundle, not a store of versions. Pack into its parent, {str(store.parent)!r}, "
            "or into a new path."
        )
    if store.exists() and not store.is_dir():
        raise PackError(f"{store} is a file. Pack into a folder: each pack adds a version to it.")


def _digest(files: Mapping[str, bytes]) -> str:
    return parse_manifest(files[MANIFEST]).digest


def _choose(store: Path, version: str | None) -> tuple[str, str]:
    """Return a name, and the digest that the history ties it to, empty for a name that is new."""
    names = [known.name for known in Directory(store).versions()]
    newest = names[-1] if names else None
    moves = read_moves(store)
    # a name that an alias ever meant stays tied to those bytes, though they were deleted
    once = {move.target.version: move.target.digest for move in moves if move.target is not None}
    if version is None:
        numbers = [int(name) for name in (*names, *once) if re.fullmatch(r"[0-9]{1,18}", name)]
        version = str(max(numbers, default=0) + 1)
        if newest is not None and natural_key(version) <= natural_key(newest):
            raise PackError(
                f"{store}: its newest version is {newest!r}, and the next number, {version!r}, would sort "
                "before it. Name the new one: pack(..., version='...')."
            )
        return version, ""
    if not valid_version(version):
        raise PackError(
            f"version {version[:80]!r} cannot be a name: use a letter or digit, then up to 63 of "
            "A-Z a-z 0-9 . _ -"
        )
    if version in names or (store / version).exists():
        raise PackError(_taken(store, version))
    if moves and version in moves[-1].aliases:
        raise PackError(f"{store}: {version!r} is an alias there. Choose another name for the version.")
    if newest is not None and natural_key(version) <= natural_key(newest):
        raise PackError(
            f"version {version!r} sorts before {newest!r}, the newest in {store}, so nobody would follow it. "
            "Choose a name that sorts after it (digits compare as numbers)."
        )
    return version, once.get(version, "")


def _taken(store: Path, version: str) -> str:
    return (
        f"{store} already has {version!r}, and versions never change. Choose another name, or leave it out."
    )
