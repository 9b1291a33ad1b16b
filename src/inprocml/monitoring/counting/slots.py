"""A file of fixed-size records, one for each process, that all of them read: how workers of a host merge.

Each process writes to its own slot, into the half that nobody reads, and then turns the slot's number over;
a process that is killed in between leaves the half that was whole. A slot belongs to whoever holds the lock
on its byte, which the system gives back when a process dies: the next one goes on where it ended, so that
nothing that was counted is lost. The same for the one process that evaluates, and keeps its state here too.

The file is written in full when it is made, so that a disk that fills up later takes nothing away. It is read
and written by position, not mapped: where somebody cuts a mapped file short, the system ends the process.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zlib
from pathlib import Path
from types import ModuleType
from typing import Final, Self

from inprocml.durable import temporary_in

try:
    import fcntl as _fcntl
except ImportError:  # Windows: every process counts for itself
    _fcntl = None  # type: ignore[assignment]

__all__ = ["Slots"]

_MAGIC: Final = b"inprocml counts\x01"
_HEADER: Final = struct.Struct(
    "<16s32sIII"
)  # magic, digest of the form, slots, bytes of a record, of the state
_HEAD: Final = 64
_TURN: Final = struct.Struct(
    "<Q"
)  # how often the record was written; the half that is whole is this modulo 2
_SEAL: Final = struct.Struct("<II")  # length and checksum
_LOCKS: Final = 1 << 40  # where the bytes to lock lie: beyond the file's end
_TRIES: Final = 8
_PATIENCE: Final = 100
_PAUSE: Final = 0.01  # seconds
# checksums begin with 1, so that a half that was never written is none of an empty record


class Slots:
    """One process's view of such a file; one thread uses it.

    Locks are the process's own: whoever opens the same file twice in one process must share this object, and
    a forked child must make its own.
    """

    def __init__(
        self, path: Path, descriptor: int, digest: bytes, count: int, record: int, state: int
    ) -> None:
        self.path = path
        self.pid = os.getpid()
        self._descriptor = descriptor
        self._count, self._record, self._state = count, record, state
        self._digest = digest
        self._mine: set[int] = set()
        self.replaced = False
        """Whether a damaged file, or one of another form, was in its place when it was opened."""
        self._elected: dict[str, int | None] = {}  # "slot": who of this process evaluates

    @staticmethod
    def size(record: int, state: int, count: int = 64) -> int:
        """Return how many bytes such a file takes."""
        return _HEAD + _area(state) + count * _area(record)

    @classmethod
    def open(cls, path: Path, *, digest: bytes, record: int, state: int, count: int = 64) -> Self:
        """Open the file, or make it; one that is damaged, or of another form, is replaced.

        Raises ``OSError`` where that cannot be: no rights, no room, no locks on this system.
        """
        if _fcntl is None:
            raise OSError("this system has no locks of bytes")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        replaced = False
        for _ in range(_TRIES):
            descriptor = os.open(path, flags, 0o600)
            try:
                _wait_for(descriptor, _LOCKS + count + 1)
                made = cls._sound(path, descriptor, digest, count, record, state)
                if made:
                    slots = cls(path, descriptor, digest, count, record, state)
                    slots.replaced = replaced
                    _locks().lockf(descriptor, _locks().LOCK_UN, 1, _LOCKS + count + 1)
                    return slots
                replaced = replaced or os.fstat(descriptor).st_size > 0
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise OSError(f"{path} is replaced again and again")

    @classmethod
    def existing(cls, path: Path, *, digest: bytes, record: int, state: int, count: int = 64) -> Self | None:
        """Open the file as it is, for one who only looks on; None where there is none of this form.

        Closing it gives up every lock that this process has on the file: never do both in one process.
        Raises ``OSError`` for want of rights.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            return None
        try:
            if cls._whole(descriptor, digest, count, record, state):
                return cls(path, descriptor, digest, count, record, state)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @classmethod
    def found(cls, path: Path) -> Self | None:
        """Open a file as ``existing`` does, whatever its form; None where there is none that is whole."""
        try:
            with path.open("rb") as stream:
                head = stream.read(_HEADER.size)
        except FileNotFoundError:
            return None
        if len(head) != _HEADER.size:
            return None
        magic, digest, count, record, state = _HEADER.unpack(head)
        if magic != _MAGIC:
            return None
        return cls.existing(path, digest=digest, record=record, state=state, count=count)

    @classmethod
    def _whole(cls, descriptor: int, digest: bytes, count: int, record: int, state: int) -> bool:
        """Whether the open file is one of this form, at its full length."""
        header = _HEADER.pack(_MAGIC, digest, count, record, state)
        size = cls.size(record, state, count)
        return os.fstat(descriptor).st_size == size and os.pread(descriptor, _HEADER.size, 0) == header

    @classmethod
    def _sound(cls, path: Path, descriptor: int, digest: bytes, count: int, record: int, state: int) -> bool:
        """Whether the open file is what is wanted; if not, put a new one in its place, to be opened.

        Whoever waited for the lock may hold one that was replaced meanwhile, and leaves the new one alone.
        """
        if not _is(path, descriptor):
            return False
        header = _HEADER.pack(_MAGIC, digest, count, record, state)
        size = cls.size(record, state, count)
        if cls._whole(descriptor, digest, count, record, state):
            return True
        fresh = temporary_in(path.parent)
        made = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            left = memoryview(header.ljust(size, b"\0"))
            while left:
                left = left[os.write(made, left) :]
            fresh.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        finally:
            os.close(made)
        return False

    # --- slots -------------------------------------------------------------------------------------

    def claim(self) -> int | None:
        """Take a slot that no living process holds, one with counts first; ``None`` when all are taken."""
        order = sorted(range(self._count), key=lambda slot: not self._turn(self._place(slot)))
        for slot in order:
            if slot not in self._mine and self._lock(slot):
                self._mine.add(slot)
                return slot
        return None

    def release(self, slot: int) -> None:
        """Leave a slot to the next process; what was counted stays. Who evaluated does so no more."""
        self.resign(slot)
        self._mine.discard(slot)
        self._unlock(slot)

    def write(self, slot: int, record: bytes) -> None:
        """Write the record of one's own slot; readers see all of it, or the one before."""
        self._put(self._place(slot), self._record, record)

    def read(self, slot: int) -> bytes | None:
        """Return the last record of a slot; ``None`` for one that was never used, or is damaged."""
        return self._get(self._place(slot), self._record)

    def all(self) -> list[bytes]:
        """Return the last record of every slot that was ever used."""
        return [record for record in self.used() if record is not None]

    def used(self) -> list[bytes | None]:
        """Return the last record of every slot that was ever used; None for one that is damaged."""
        used = [slot for slot in range(self._count) if self._turn(self._place(slot))]
        return [self.read(slot) for slot in used]

    def alone(self) -> bool:
        """Whether no other process has a slot or evaluates."""
        for byte in range(self._count + 1):
            if byte in self._mine:
                continue
            if not self._lock(byte):
                return False
            self._unlock(byte)
        return True

    @staticmethod
    def held(descriptor: int) -> bool:
        """Whether another process has any lock on a file that this one has not opened otherwise."""
        try:
            _locks().lockf(descriptor, _locks().LOCK_EX | _locks().LOCK_NB, 0, _LOCKS)  # 0: to the very end
        except OSError:
            return True
        return False

    # --- the one who evaluates ---------------------------------------------------------------------

    def elect(self, slot: int | None = None) -> bool:
        """Become the one that evaluates, if nobody that lives is, or stay it; for the user of ``slot``.

        The lock is the process's own: of those that share this object one alone evaluates.
        """
        if self._elected.setdefault("slot", slot) != slot:
            return False
        won = self._lock(self._count)
        if not won:
            self._elected.clear()
        return won

    def resign(self, slot: int | None = None) -> None:
        """Let another evaluate, if it is the user of ``slot`` that does."""
        if self._elected.get("slot", -1) == slot:
            self._unlock(self._count)
            self._elected.clear()

    def write_state(self, state: bytes) -> None:
        """Write what the evaluation has learnt; only the one who evaluates does."""
        self._put(_HEAD, self._state, state)

    def read_state(self) -> bytes | None:
        """Return what the last evaluation has learnt, if any."""
        return self._get(_HEAD, self._state)

    @property
    def users(self) -> int:
        """How many slots this process has."""
        return len(self._mine)

    @property
    def decided(self) -> bool:
        """Whether a state was ever written here, though it may be damaged by now."""
        return bool(self._turn(_HEAD))

    @property
    def gone(self) -> bool:
        """Whether the file was deleted, replaced or damaged: others no longer see what is written here."""
        return not _is(self.path, self._descriptor) or not self._whole(
            self._descriptor, self._digest, self._count, self._record, self._state
        )

    def close(self) -> None:
        """Give up all locks. A forked child must not call this for what it inherited: it has no locks."""
        os.close(self._descriptor)

    # --- bytes -------------------------------------------------------------------------------------

    def _place(self, slot: int) -> int:
        return _HEAD + _area(self._state) + slot * _area(self._record)

    def _turn(self, place: int) -> int:
        found = os.pread(self._descriptor, _TURN.size, place)
        turn: int = _TURN.unpack(found)[0] if len(found) == _TURN.size else 0  # cut short: nothing is there
        return turn

    def _put(self, place: int, most: int, record: bytes) -> None:
        if len(record) > most:
            raise ValueError(f"{len(record)} bytes, where {most} have room")
        turn = self._turn(place) + 1
        start = place + _TURN.size + (turn % 2) * (_SEAL.size + most)
        sealed = _SEAL.pack(len(record), zlib.crc32(record, 1)) + record
        if os.pwrite(self._descriptor, sealed, start) == len(sealed):
            os.pwrite(self._descriptor, _TURN.pack(turn), place)

    def _get(self, place: int, most: int) -> bytes | None:
        for _ in range(_TRIES):
            turn = self._turn(place)
            if not turn:
                return None
            start = place + _TURN.size + (turn % 2) * (_SEAL.size + most)
            sealed = os.pread(self._descriptor, _SEAL.size + most, start)
            if len(sealed) < _SEAL.size:
                return None
            length, checksum = _SEAL.unpack_from(sealed)
            record = sealed[_SEAL.size : _SEAL.size + length]
            if zlib.crc32(record, 1) == checksum and len(record) == length:
                return record
        return None

    def _lock(self, byte: int) -> bool:
        try:
            _locks().lockf(self._descriptor, _locks().LOCK_EX | _locks().LOCK_NB, 1, _LOCKS + byte)
        except OSError:
            return False
        return True

    def _unlock(self, byte: int) -> None:
        with contextlib.suppress(OSError):
            _locks().lockf(self._descriptor, _locks().LOCK_UN, 1, _LOCKS + byte)


def _is(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except OSError:
        return False


def _wait_for(descriptor: int, byte: int) -> None:
    """Lock a byte that others hold for some milliseconds; ``OSError`` where one holds it for long."""
    for left in reversed(range(_PATIENCE)):
        try:
            _locks().lockf(descriptor, _locks().LOCK_EX | _locks().LOCK_NB, 1, byte)
        except OSError:
            if not left:
                raise
            threading.Event().wait(_PAUSE)
        else:
            return


def _area(size: int) -> int:
    """Return the bytes of two halves and their turn, at an address of whole words."""
    return (_TURN.size + 2 * (_SEAL.size + size) + 63) // 64 * 64


def _locks() -> ModuleType:
    assert _fcntl is not None
    return _fcntl
