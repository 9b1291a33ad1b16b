"""Which software packed a bundle; never who, on which host, or in which folder."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path

from inprocml.bundle.manifest import Provenance

__all__ = ["provenance"]

_COMMIT = re.compile(r"[0-9a-f]{40,64}", re.ASCII)


def provenance(packages: tuple[str, ...]) -> Provenance:
    """Return versions of Python, the platform and those of ``packages`` that are installed."""
    found = {}
    for package in ("inprocml", "numpy", *packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return Provenance(
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}",
        packages=found,
        commit=commit(Path.cwd()),
    )


def commit(folder: Path) -> str | None:
    """Return the commit checked out at ``folder``, read from ``.git`` without running git; else None."""
    try:
        for parent in (folder, *folder.parents):
            if (parent / ".git").exists():
                return _head(parent / ".git")
    except OSError:
        pass
    return None


def _head(git: Path) -> str | None:
    if git.is_file():  # a worktree or submodule: "gitdir: path"
        git = git.parent / git.read_text("utf-8").partition("gitdir:")[2].strip()
    head = (git / "HEAD").read_text("utf-8").strip()
    if not head.startswith("ref: "):
        return _hash(head)
    name = head.removeprefix("ref: ")
    common = git / "commondir"
    shared = git / common.read_text("utf-8").strip() if common.exists() else git
    if (shared / name).is_file():
        return _hash((shared / name).read_text("utf-8").strip())
    packed = shared / "packed-refs"
    lines = packed.read_text("utf-8").splitlines() if packed.exists() else []
    return next((_hash(line.split()[0]) for line in lines if line.endswith(f" {name}")), None)


def _hash(text: str) -> str | None:
    return text if _COMMIT.fullmatch(text) else None
