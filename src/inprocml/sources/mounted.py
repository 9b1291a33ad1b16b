"""Folders that Kubernetes mounts from a ConfigMap or a Secret, and swaps whole while they are read.

The mount holds ``..data``, a link to a folder beside it (``..2026_11_21_10_00_00.1``) with the real files,
and for each of them a link through ``..data``. An update writes another such folder and renames another
``..data`` over the first (``AtomicWriter`` in kubernetes/pkg/volume/util). So whoever reads through the
links may read one file of the old state and the next of the new; whoever resolves ``..data`` once and reads
there cannot. No other link is ever followed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["real_folder"]

_TRIES = 5


def real_folder(folder: Path) -> Path:
    """Return where the files of ``folder`` really lie now: ``folder`` itself, unless it is such a mount.

    The answer is always ``folder`` or a folder directly inside it, never where some other link leads. It goes
    away with the next swap: resolve again when it is gone.
    """
    for _ in range(_TRIES):
        try:
            target = os.readlink(folder / "..data")  # noqa: PTH115  (text, to be judged before it is a path)
        except OSError:
            return folder
        if not target.startswith("..") or target in {"..", "..data"} or "/" in target or os.sep in target:
            return folder
        real = folder / target
        try:
            mode = os.lstat(real).st_mode
        except OSError:
            continue  # swapped between the two calls: the link leads elsewhere by now
        return real if stat.S_ISDIR(mode) else folder
    return folder
