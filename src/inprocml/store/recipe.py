"""How to bring back what a version was made with: shell commands, of nothing but what was checked.

A manifest is a stranger's text and the commands go to a shell, so names, versions and commits must look
like what they are called before they are written down, and free text stands in comments as JSON.
"""

from __future__ import annotations

import json
import re

from inprocml.bundle.manifest import Manifest
from inprocml.errors import Corrupt

__all__ = ["recipe"]

_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*", re.ASCII)


def recipe(manifest: Manifest) -> str:
    """Return the commands; raises ``Corrupt`` for packages whose names or versions cannot be any."""
    made = manifest.provenance
    lines = [f"# version {manifest.version}, {manifest.digest}", f"# packed {manifest.created}"]
    lines.append(f"# on {json.dumps(made.platform)}")
    table = json.dumps(made.dataset.name) if made.dataset.name else "a table"
    lines.append(f"# from {table} of {made.dataset.rows} rows, {made.dataset.digest}")
    if made.seed is not None:
        lines.append(f"# with seed {made.seed}")
    if made.commit:
        lines.append(f"git checkout {made.commit}")
    else:
        lines.append("# no commit is known: it was packed outside of a repository")
    for package, version in made.packages.items():
        if not _PACKAGE.fullmatch(package) or not _VERSION.fullmatch(version):
            raise Corrupt(
                f"manifest.json: package {package[:40]!r} {version[:40]!r} has no name or version that pip "
                "takes. Pack the bundle anew with inprocml.pack."
            )
    python = made.python if _VERSION.fullmatch(made.python) else "3"
    minor = ".".join(python.split(".")[:2])
    lines.append(f"python{minor} -m venv .venv  # it was Python {python}")
    pins = " ".join(f"{package}=={version}" for package, version in sorted(made.packages.items()))
    lines.append(f".venv/bin/pip install {pins}")
    return "\n".join(lines) + "\n"
