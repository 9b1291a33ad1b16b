"""The memory of a simulated device: blocks on it, page-locked arrays beside it, how much is left."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.backends.accelerator import Span, Trouble
from inprocml.testing.ordering import Access, Memory, Order, Stream

__all__ = [
    "GARBAGE",
    "Block",
    "SimulatedError",
    "Storage",
    "access",
    "address",
    "array_of",
    "bytes_of",
    "flat",
    "rows_of",
]

GARBAGE = 0xA5  # what memory holds that nobody has written


class SimulatedError(RuntimeError):
    """What a simulated device raises; ``trouble`` says what it means for later work."""

    def __init__(self, message: str, trouble: Trouble) -> None:
        super().__init__(message)
        self.trouble = trouble


class Block:
    """Bytes on the device, given back when nobody holds them any more."""

    def __init__(self, size: int, memory: Memory) -> None:
        self.bytes = np.full(size, GARBAGE, np.uint8)
        self.memory = memory


class Storage:
    """Who holds how many of ``limit`` bytes; ``others`` are other processes, ``cached`` can be given back."""

    def __init__(self, limit: int, order: Order) -> None:
        self.limit, self.others = limit, 0
        self.live = self.cached = 0
        self._order = order
        self._pinned: list[tuple[int, int, Memory]] = []
        self._made = 0

    def free(self) -> int:
        """Bytes that nobody holds."""
        return max(0, self.limit - self.others - self.live - self.cached)

    def room_for(self, size: int) -> None:
        """Raise out of memory unless there are so many bytes; what is cached makes room."""
        if self.others + self.live + size > self.limit:
            raise SimulatedError(f"out of memory: {size} bytes wanted", Trouble.MEMORY)

    def block(self, size: int, home: Stream | None) -> Block:
        """Return new bytes on the device; ``home`` as in ``Memory``."""
        self.room_for(size)
        self.live += size
        block = Block(size, Memory(f"a block of {size} bytes", home))
        weakref.finalize(block, self._freed, block.memory, size)
        return block

    def host(self, size: int) -> NDArray[np.uint8]:
        """Return new page-locked bytes."""
        array = np.full(size, GARBAGE, np.uint8)
        self._made += 1
        memory = Memory(f"page-locked array {self._made}")
        start = address(array)
        self._pinned.append((start, start + size, memory))
        weakref.finalize(array, self._unpinned, memory)
        return array

    def pinned(self, array: NDArray[np.uint8]) -> Access:
        """Return which page-locked bytes these are."""
        start = address(array)
        for low, high, memory in self._pinned:
            if low <= start and start + array.size <= high:
                return memory, start - low, start - low + array.size
        raise AssertionError(
            "hazard: a copy from or to memory of the host that is not page-locked (see host)"
        )

    def _freed(self, memory: Memory, size: int) -> None:
        self.live -= size
        self._order.free(memory)

    def _unpinned(self, memory: Memory) -> None:
        self._order.free(memory)
        self._pinned = [each for each in self._pinned if each[2] is not memory]


def rows_of(inputs: Mapping[str, Span]) -> int:
    """The first axis of the inputs."""
    return next(iter(inputs.values())).shape[0]


def access(span: Span) -> Access:
    """Which bytes of which block a span is."""
    return span.block.memory, span.offset, span.offset + span.size


def bytes_of(span: Span) -> NDArray[np.uint8]:
    """The bytes of a span, not copied."""
    given: NDArray[np.uint8] = span.block.bytes[span.offset : span.offset + span.size]
    return given


def array_of(span: Span) -> NDArray[Any]:
    """The tensor in a span, not copied."""
    return bytes_of(span).view(span.dtype).reshape(span.shape)


def flat(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of a contiguous array, not copied."""
    return array.reshape(-1).view(np.uint8)


def address(array: NDArray[Any]) -> int:
    """Where an array begins in the host's memory."""
    return int(array.ctypes.data)
