"""An alarm's memory as bytes: a head, the numbers, the arrays, a digest over all. No pickle.

Little-endian; the sizes follow from the layout alone, so nothing in the bytes says how much to read.
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np

from inprocml.monitoring.alarm.blocks import LEVELS
from inprocml.monitoring.alarm.evidence import TESTS
from inprocml.monitoring.alarm.memory import Memory
from inprocml.monitoring.series import Layout

__all__ = ["dump", "load"]

_MAGIC = b"ipmlalarm\x00\x02"  # the last byte is the version of the format
_DIGEST = 32
_WRONG = "the state of an alarm cannot be used: {}. Delete it; the alarm starts anew."


def dump(memory: Memory) -> bytes:
    """Return the memory as bytes."""
    numbers = [float(getattr(owner, name)) for owner, name in memory.numbers()]
    arrays = [_little(getattr(owner, name)).tobytes() for owner, name in memory.arrays()]
    body = b"".join([_MAGIC, _of(memory.layout), struct.pack(f"<{len(numbers)}d", *numbers), *arrays])
    return body + hashlib.sha256(body).digest()


def load(layout: Layout, stored: bytes) -> Memory:
    """Return the memory; ``ValueError`` if the bytes are damaged, of another layout or another release."""
    memory = Memory.of(layout)
    if not stored.startswith(_MAGIC):
        raise ValueError(_WRONG.format("it is of another release, or none at all"))
    body, digest = stored[:-_DIGEST], stored[-_DIGEST:]
    if hashlib.sha256(body).digest() != digest:
        raise ValueError(_WRONG.format("it is damaged"))
    if body[len(_MAGIC) : len(_MAGIC) + _DIGEST] != _of(layout):
        raise ValueError(_WRONG.format("it belongs to other columns or another baseline"))
    place = len(_MAGIC) + _DIGEST
    names = memory.numbers()
    try:
        numbers = struct.unpack_from(f"<{len(names)}d", body, place)
        _fill(memory, body, place + 8 * len(names))
    except (struct.error, ValueError) as error:
        raise ValueError(_WRONG.format("it is cut short, or too long")) from error
    for (owner, name), number in zip(names, numbers, strict=True):
        setattr(owner, name, type(getattr(owner, name))(number) if np.isfinite(number) else number)
    _check(memory)
    return memory


def _fill(memory: Memory, body: bytes, place: int) -> None:
    for owner, name in memory.arrays():
        array = getattr(owner, name)
        stored = np.frombuffer(body, _little(array).dtype, array.size, place)
        setattr(owner, name, stored.astype(array.dtype).reshape(array.shape))
        place += stored.nbytes
    if place != len(body):
        raise ValueError("bytes are left over")


def _check(memory: Memory) -> None:
    """A digest tells accidents, not intent: what would break later is refused here."""
    blocks, slots = memory.blocks, memory.slots
    numbers = [float(getattr(owner, name)) for owner, name in memory.numbers()]
    floats = [getattr(owner, name) for owner, name in memory.arrays()]
    sound = (
        np.isfinite(numbers).all()
        and all(np.isfinite(array).all() for array in floats if array.dtype.kind == "f")
        and min(memory.open.min(initial=0), memory.live.min(initial=0)) >= 0
        and max(memory.open.max(initial=0), memory.live.max(initial=0)) < 2**53
        and ((blocks.levels >= -1) & (blocks.levels < LEVELS)).all()
        and all((blocks.levels == level).sum() <= 2 for level in range(LEVELS - 1))
        and (blocks.levels == LEVELS - 1).sum() <= 1
        and -1 <= slots.hour < 2**40
        and memory.dependence.blocks >= 0
        and all(max(episode.calm, default=0) < 3 for episode in memory.episodes.values())
        and all((abs(episode.joined) <= len(TESTS)).all() for episode in memory.episodes.values())
        and memory.history.sound
    )
    if not sound:
        raise ValueError(_WRONG.format("its numbers make no sense"))


def _of(layout: Layout) -> bytes:
    told = hashlib.sha256()
    for each in layout.series:
        told.update(repr((each.name, each.role, each.bins.labels())).encode())
    told.update(_little(layout.reference()).tobytes())
    return told.digest()


def _little(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
