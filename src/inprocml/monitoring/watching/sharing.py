"""Where the processes of a host add up what they count: a file for each version of a model.

By default in a folder of this user's in the place for temporary files, one file for the processes of one
server (they share a process group), which begins anew when none of them is alive.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path

from inprocml.monitoring.counting import Form, Slots
from inprocml.native import lock_maker

__all__ = ["Shared", "counts_file", "held_here"]

_OLD = 3600.0  # seconds after which the file of a server that was killed is swept, if nobody holds it
_SUFFIX = ".counts"


class _Files:
    """The files of one process, each open once: locks belong to the process, not to who asked for them."""

    def __init__(self) -> None:
        self.lock = lock_maker()()
        self.open: dict[Path, tuple[Slots, int]] = {}


_files: dict[int, _Files] = {}  # by process id; what a parent has open is never touched in its child
os.register_at_fork(after_in_child=_files.clear)  # a child may get the number of an ancestor


def _mine() -> _Files:
    return _files.setdefault(os.getpid(), _Files())


class Shared:
    """The slot of this process in the file of one version; used by one thread at a time."""

    def __init__(self, path: Path, slots: Slots, slot: int, *, passing: bool) -> None:
        self._path = path
        self._passing = passing  # the file is of no use when the server has ended
        self.slots = slots
        self._slot = slot

    @classmethod
    def open(cls, form: Form, *, folder: Path | None, name: str, digest: str, state: int) -> Shared:
        """Open the file of the version ``digest`` of ``name``, with room for ``state`` bytes of state.

        Raises ``OSError`` where there is none to be had: the process then counts for itself.
        """
        place = _own_folder() if folder is None else folder
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder is None:
            _check(place)
            _sweep(place)
        path = counts_file(place, name, digest, "" if folder is not None else f"-{os.getpgid(0)}")
        files = _mine()
        with files.lock:
            slots, users = files.open.get(path, (None, 0))
            if slots is None or slots.gone:
                slots, users = _opened(path, form, state, fresh=folder is None), 0
            slot = slots.claim()
            if slot is None:
                if not users:
                    slots.close()
                raise OSError(f"{path}: all slots are taken")
            files.open[path] = slots, users + 1
        return cls(path, slots, slot, passing=folder is None)

    @property
    def sound(self) -> bool:
        """Whether others still see what is written here."""
        return not self.slots.gone

    def read(self) -> bytes | None:
        """Return this slot's record: one's own, or what a process that ended has left."""
        return self.slots.read(self._slot)

    def write(self, record: bytes) -> None:
        """Show what was counted."""
        self.slots.write(self._slot, record)

    def close(self) -> None:
        """Leave the slot, with what was counted, to the next process."""
        files = _mine()
        with files.lock:
            self.slots.release(self._slot)
            slots, users = files.open.get(self._path, (None, 0))
            if slots is not self.slots:
                return
            if users > 1:
                files.open[self._path] = slots, users - 1
                return
            del files.open[self._path]
            if self._passing and slots.alone() and not slots.gone:
                with contextlib.suppress(OSError):
                    self._path.unlink()
            slots.close()


def counts_file(folder: Path, name: str, digest: str, whose: str = "") -> Path:
    """Return the file of the version ``digest`` of the model ``name``."""
    key = hashlib.sha256(f"{name}\0{digest}".encode()).hexdigest()[:24]
    return folder / f"{key}{whose}{_SUFFIX}"


def held_here(path: Path) -> bool:
    """Whether this process counts in the file itself."""
    return path in _mine().open


def _opened(path: Path, form: Form, state: int, *, fresh: bool) -> Slots:
    def slots() -> Slots:
        return Slots.open(path, digest=form.digest, record=form.size, state=state)

    opened = slots()
    if fresh and opened.alone():
        opened.close()
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        opened = slots()
    return opened


def _own_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"inprocml-{os.getuid()}"


def _check(folder: Path) -> None:
    """Refuse a folder that somebody else made, or can write to."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise OSError(f"{folder} is not this user's own folder: remove it, or give Monitoring(folder=...)")


def _sweep(folder: Path) -> None:
    """Delete the files of servers that ended long ago."""
    for path in (*folder.glob(f"*{_SUFFIX}"), *folder.glob(".tmp-*")):
        with contextlib.suppress(OSError):
            if path not in _mine().open and time.time() - path.stat().st_mtime > _OLD and not _held(path):
                path.unlink()


def _held(path: Path) -> bool:
    """Whether a process has the file; it may have written nothing for days."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return Slots.held(descriptor)
    finally:
        os.close(descriptor)
