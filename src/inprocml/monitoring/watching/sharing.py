"""Where the processes of a host add up what they count: a file for each version of a model.

By default in a folder of this user's in the place for temporary files, one file for the processes of one
server: those of one parent and one process group. It stays while the parent lives, whoever of them ends, or
until all of them serve another version. In a folder of the host's the last versions of a model stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inprocml.monitoring.counting import Form, Slots
from inprocml.native import lock_maker

__all__ = ["Shared", "counts_file", "held_here", "labels_beside", "labels_in"]

_OLD = 3600.0  # seconds after which the file of a server that was killed is swept, if nobody holds it
_SUFFIX = ".counts"
_LABELS = ".labels"
_SLOTS = 64  # processes
_MOST_BYTES = (
    2**27
)  # of a file: some 2,000 columns; it is written in full, where memory may be what it lies in
_MODEL = 12  # characters of a file's name that tell models apart
_VERSIONS = 8  # of a model, in a folder of the host's


class _Taken(OSError):
    """All slots of a file are other processes', or this one's own."""


_Key = tuple[int, int, str]


class _Files:
    """The files of one process, each open once: locks belong to the process, not to who asked for them."""

    def __init__(self) -> None:
        self.lock = lock_maker()()
        self.open: dict[_Key, Slots] = {}


_files: dict[int, _Files] = {}  # by process id; what a parent has open is never touched in its child
os.register_at_fork(after_in_child=_files.clear)  # a child may get the number of an ancestor


def _mine() -> _Files:
    return _files.setdefault(os.getpid(), _Files())


class Shared:
    """The slot of this process in the file of one version; used by one thread at a time."""

    def __init__(self, path: Path, key: _Key, slots: Slots, slot: int, *, passing: bool) -> None:
        self._path, self._key = path, key
        self._passing = passing  # the file is of no use when the server has ended
        self.slots = slots
        self._slot = slot

    @classmethod
    def open(cls, form: Form, *, folder: Path | None, name: str, digest: str, state: int) -> Shared:
        """Open the file of the version ``digest`` of ``name``, with room for ``state`` bytes of state.

        Raises ``OSError`` where there is none to be had: the process then counts for itself.
        """
        size = Slots.size(form.size, state, _SLOTS)
        if size > _MOST_BYTES:
            columns = len(form.layout.series)
            raise OSError(f"counts of {columns} columns take {size:,} bytes; {_MOST_BYTES:,} are the most")
        path = _path(folder, name, digest)
        shape = {"digest": form.digest, "record": form.size, "state": state, "count": _SLOTS}
        shared = cls._claimed(path, shape, passing=folder is None)
        if folder is not None:
            _thin(path)
        return shared

    @classmethod
    def open_own(
        cls, settings: bytes, *, folder: Path | None, name: str, digest: str, record: int, state: int
    ) -> Shared:
        """Open a file of one slot, for records too large for a file of all: the first that is nobody's.

        It lies beside the counts of the version, and goes with them; ``settings`` are 32 bytes that say what
        is in it. Raises as ``open`` does.
        """
        counts = _path(folder, name, digest)
        shape: dict[str, Any] = {"digest": settings, "record": record, "state": state, "count": 1}
        for number in range(_SLOTS):
            path = counts.with_name(f"{counts.stem}.{settings.hex()[:16]}.{number}{_LABELS}")
            with contextlib.suppress(_Taken):
                return cls._claimed(path, shape, passing=folder is None)
        raise OSError(f"{counts.parent}: all files of labels are taken")

    @classmethod
    def _claimed(cls, path: Path, shape: dict[str, Any], *, passing: bool) -> Shared:
        files, key = _mine(), _key(path)
        with files.lock:
            slots = files.open.get(key)
            if slots is None or slots.gone:
                slots = Slots.open(path, **shape)
            slot = slots.claim()
            if slot is None:
                if not slots.users:
                    slots.close()
                raise _Taken(f"{path}: all slots are taken")
            files.open[key] = slots
        return cls(path, key, slots, slot, passing=passing)

    @property
    def sound(self) -> bool:
        """Whether others still see what is written here."""
        return not self.slots.gone

    def others(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Yield record and state of each other file of the same settings, for a file of one slot."""
        settings = self._path.name.split(".")[1]
        for path in sorted(self._path.parent.glob(f"{self._path.name.split('.')[0]}.{settings}.*{_LABELS}")):
            if path != self._path and (found := labels_in(path)) is not None:
                yield found

    def elect(self) -> bool:
        """Become the one that decides, if nobody that lives does, or stay it."""
        return self.slots.elect(self._slot)

    def read(self) -> bytes | None:
        """Return this slot's record: one's own, or what a process that ended has left."""
        return self.slots.read(self._slot)

    def write(self, record: bytes) -> None:
        """Show what was counted."""
        self.slots.write(self._slot, record)

    def close(self, *, retired: bool = False) -> None:
        """Leave the slot, with what was counted, to the next process.

        ``retired``: there will be none in this server. The last one to leave deletes the file, if it is of
        no use elsewhere; labels still come, and their files go when they do no more.
        """
        files = _mine()
        with files.lock:
            self.slots.release(self._slot)
            if self.slots.users:
                return
            if files.open.get(self._key) is self.slots:  # not of a file that was deleted
                del files.open[self._key]
                if self._passing and self.slots.alone() and not self.slots.gone:
                    self._tidy(retired=retired)
            self.slots.close()

    def _tidy(self, *, retired: bool) -> None:
        if self._path.suffix == _LABELS:
            if not _counts_of(self._path).exists():
                self._path.unlink(missing_ok=True)
        elif retired:
            self._path.unlink(missing_ok=True)
        elif not _living(self._path):
            _remove(self._path)


def _remove(counts: Path) -> None:
    for path in (counts, *labels_beside(counts)):
        with contextlib.suppress(OSError):
            path.unlink()


def _counts_of(labels: Path) -> Path:
    return labels.with_name(labels.name.split(".")[0] + _SUFFIX)


def counts_file(folder: Path, name: str, digest: str, whose: str = "") -> Path:
    """Return the file of the version ``digest`` of the model ``name``."""
    model, version = (hashlib.sha256(text.encode()).hexdigest() for text in (name, f"{name}\0{digest}"))
    return folder / f"{model[:_MODEL]}{version[:24]}{whose}{_SUFFIX}"


def labels_in(path: Path) -> tuple[bytes | None, bytes | None] | None:
    """Return record and state of a file of one slot, whoever has it; None where there is none any more.

    Raises ``OSError`` for want of rights.
    """
    files = _mine()
    with files.lock:  # to close a file of one's own would give up its lock
        held = files.open.get(_key(path))
        if held is not None:
            return held.read(0), held.read_state()
        slots = Slots.found(path)
        if slots is None:
            return None
        try:
            return slots.read(0), slots.read_state()
        finally:
            slots.close()


def labels_beside(counts: Path) -> list[Path]:
    """Return the files of labels of the version whose counts these are."""
    return sorted(counts.parent.glob(f"{counts.stem}.*{_LABELS}"))


def held_here(path: Path) -> bool:
    """Whether this process counts in the file itself, whatever name its folder goes by."""
    try:
        return _key(path) in _mine().open
    except OSError:  # there is no such folder
        return False


def _key(path: Path) -> _Key:
    """Return what tells a file from others: a folder may be reached by several names, and locks would go."""
    folder = path.parent.stat()
    return folder.st_dev, folder.st_ino, path.name


def _path(folder: Path | None, name: str, digest: str) -> Path:
    """Return where the counts of a version lie, in a folder that is there and can be trusted."""
    place = _own_folder() if folder is None else folder
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder is None:
        _check(place)
        _sweep(place)
    return counts_file(place, name, digest, "" if folder is not None else _server())


def _server() -> str:
    """Return what the workers of one server have in common, and no later server has: their parent.

    A process whose parent is the system's first one is a server of its own, as is each group of processes.
    Process 1 of a container may be the server itself: then its workers are of its group, and what a first
    process starts as services never is.
    """
    parent = os.getppid()
    who = parent if parent > 1 or (parent == 1 and _of_my_group(1)) else os.getpid()
    return f"-{os.getpgid(0)}-{who}-{_started(who)}"


def _of_my_group(process: int) -> bool:
    try:
        return os.getpgid(process) == os.getpgid(0)
    except OSError:  # it is hidden, or no more
        return False


def _started(process: int) -> str:
    """Return when a process began, as far as the system tells; "" for one that is no more."""
    try:
        told = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return told.rpartition(")")[2].split()[19]  # behind the command's name, which may hold blanks
    except (OSError, IndexError):
        pass
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except OSError:  # another user's
        pass
    return "0"


def _living(path: Path) -> bool:
    """Whether the server of a file goes on; one's own process, which asks when it ends, does not."""
    who, started = (*path.stem.split("-"), *4 * ("",))[2:4]  # behind a group
    return who.isdecimal() and int(who) != os.getpid() and bool(started) and _started(int(who)) == started


def _own_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"inprocml-{os.getuid()}"


def _check(folder: Path) -> None:
    """Refuse a folder that somebody else made, or can write to."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise OSError(f"{folder} is not this user's own folder: remove it, or give Monitoring(folder=...)")


def _sweep(folder: Path) -> None:
    """Delete the files of servers that ended long ago."""
    for path in folder.glob(f"*{_SUFFIX}"):
        if not _living(path):
            _remove_unheld(path)
    _sweep_labels(folder)
    for path in folder.glob(".tmp-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _OLD:
                path.unlink()


def _sweep_labels(folder: Path, model: str = "") -> None:
    """Delete files of labels of which the counts are gone, once nobody has them."""
    for path in folder.glob(f"{model}*{_LABELS}"):
        if not _counts_of(path).exists():
            _remove_unheld(path)


def _thin(counts: Path) -> None:
    """Delete what nobody has of a model's versions, but for the last ones that were counted."""
    found: list[tuple[float, Path]] = []
    for path in counts.parent.glob(f"{counts.name[:_MODEL]}*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            found.append((path.stat().st_mtime, path))
    for _, path in sorted(found)[:-_VERSIONS]:
        _remove_unheld(path)
    _sweep_labels(counts.parent, counts.name[:_MODEL])


def _remove_unheld(path: Path) -> None:
    """Delete a file that no process has; one that has it may have written nothing for days."""
    files = _mine()
    with files.lock, contextlib.suppress(OSError):  # to close a file of one's own would give up its locks
        if _key(path) in files.open:
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if not Slots.held(descriptor):
                path.unlink()
        finally:
            os.close(descriptor)
