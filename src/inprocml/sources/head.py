"""The beginning of a file that may be anything: no more is read than it may have."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["head_of"]


def head_of(path: Path, cap: int) -> bytes:
    """Read at most ``cap`` bytes and one; empty for a folder, or for a pipe, which would never end."""
    # without O_NONBLOCK the open itself would wait for a pipe's other end
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(cap + 1)
    finally:
        os.close(descriptor)
