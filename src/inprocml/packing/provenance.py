"""What a bundle was made with and from; never on which host or in which folder, and who only if they say."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from inprocml.bundle.manifest import Dataset, Provenance
from inprocml.errors import PackError
from inprocml.packing.about import About

__all__ = ["commit", "created", "provenance"]

_COMMIT = re.compile(r"[0-9a-f]{40,64}", re.ASCII)


def provenance(packages: tuple[str, ...], about: About, dataset: Dataset) -> Provenance:
    """Return versions of Python, the platform and those of ``packages`` that are installed, and the rest."""
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
        author=about.author,
        seed=about.seed,
        dataset=dataset,
    )


def created() -> str:
    """Return the time in UTC, ``YYYY-MM-DDThh:mm:ssZ``; where ``SOURCE_DATE_EPOCH`` is set, that time.

    The variable holds seconds since 1970 (reproducible-builds.org); with it equal parts make equal bundles.
    Raises ``PackError`` when it does not hold a number.
    """
    told = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = datetime.now(UTC) if told is None else datetime.fromtimestamp(int(told), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise PackError("SOURCE_DATE_EPOCH is no number of seconds since 1970. Mend or unset it.") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


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
