"""How many threads a runtime may use, so that workers do not fight for the cores of a small container.

Runtimes size their pools from the machine's cores, blind to a cgroup quota; the number is therefore always
given to them explicitly. Sources: kernel docs, "CPU Interface Files" (cgroup v2 ``cpu.max``) and "CFS
Bandwidth Control" (v1 ``cpu.cfs_quota_us``).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["thread_budget"]


def thread_budget(workers: int | None = None, *, root: Path = Path("/")) -> int:
    """Return the threads one worker process may use, at least 1.

    ``min(affinity, ceil(cgroup quota)) // workers``; ``workers`` from the argument, else ``WEB_CONCURRENCY``,
    else uWSGI's own count, else the number of processes that the same parent forked with this process's
    command line. ``root`` is where ``proc`` and ``sys`` are looked for.
    """
    processes = max(1, workers if workers is not None else _web_concurrency() or _uwsgi() or _siblings(root))
    cores = _affinity()
    quotas = [quota for quota in (*_quotas_v2(root), *_quotas_v1(root)) if quota > 0]
    allowed = min([cores, *(math.ceil(quota) for quota in quotas)])
    return max(1, allowed // processes)


def _web_concurrency() -> int:
    text = os.environ.get("WEB_CONCURRENCY", "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _uwsgi() -> int:
    """Return how many processes uWSGI was told to fork; its module exists inside its workers only."""
    count = getattr(sys.modules.get("uwsgi"), "numproc", 0)
    return count if isinstance(count, int) else 0


def _siblings(root: Path) -> int:
    """Count the workers a prefork server made: children of one parent, with one command line.

    A model loads on first use, when a server has long forked all its workers. One that loads while they are
    still being forked (in a ``post_fork`` hook) counts only those there are, and takes too many threads.
    Servers that spawn give each worker a command line of its own. In both cases ``WEB_CONCURRENCY``, or
    ``threads``, is the way to say it.
    """
    proc = root / "proc"
    ours = _read(proc / "self" / "cmdline")
    parent = str(os.getppid())
    children = _read(proc / parent / "task" / parent / "children").split()
    return sum(1 for pid in children if ours and _read(proc / pid / "cmdline") == ours)


def _affinity() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS and Windows have no affinity to ask for
        return os.cpu_count() or 1


def _quotas_v2(root: Path) -> Iterator[float]:
    """Quotas in cores of this process's group and of all above it: each of them binds."""
    for folder in _groups(root, "", root / "sys/fs/cgroup"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.strip().isdigit() and int(period):
            yield int(quota) / int(period)


def _quotas_v1(root: Path) -> Iterator[float]:
    for mount in ("sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"):
        for folder in _groups(root, "cpu", root / mount):
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
            if quota.isdigit() and period.isdigit() and int(period):  # -1: no quota
                yield int(quota) / int(period)


def _groups(root: Path, controller: str, mount: Path) -> Iterator[Path]:
    """Folders of this process's group and its parents; in a container, the mount itself is the group."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            inner = Path(path.lstrip("/"))
            if ".." not in inner.parts:
                yield from (mount / part for part in (inner, *inner.parents))
                return
    yield mount


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""
