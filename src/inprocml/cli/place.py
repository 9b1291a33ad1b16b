"""From what a command is told to a bundle: its folder or file, or ``STORE@VERSION``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inprocml.bundle import Bundle, Policy

__all__ = ["PLACE", "open_bundle", "split"]

PLACE = "a bundle, or STORE@VERSION (a name, an alias, a digest)"


def open_bundle(place: str, policy: Policy | None = None) -> Bundle:
    """Open a bundle, or a version of a store; a path that is there is never taken for the latter."""
    from inprocml.bundle import Bundle
    from inprocml.store import Store

    store, version = split(place)
    if version is not None:
        return Store(store, policy=policy).open(version)
    return Bundle.open(place, policy=policy)


def split(place: str) -> tuple[str, str | None]:
    """Return ``STORE`` and ``VERSION``, or the whole and None; a path that is there is never taken apart."""
    store, at, version = place.rpartition("@")
    return (store, version) if at and store and not Path(place).exists() else (place, None)
