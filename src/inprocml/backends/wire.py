"""Reading the protobuf wire format without the ``protobuf`` package, and no more of it than is safe.

Parsers differ: C++ protobuf cuts tags and enums to 32 bits, others refuse them or compare their bytes. A
sender who knows that could show this walk one model and the runtime another. So whatever two parsers could
read differently is refused here.

Wire format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from inprocml.errors import Corrupt

__all__ = ["NUMBERS", "Value", "count_varints", "fields", "inner", "malformed", "signed", "varints"]

Value: TypeAlias = int | memoryview | None
"""What a field holds: an integer for a varint, a view for bytes, ``None`` for a fixed size."""

# Tree ensembles keep millions of numbers and short words one by one in the attributes' fields 7 (floats),
# 8 (ints) and 9 (strings). A run of them is passed over in C: field by field, 5 MB took a second. The run is
# bounded because a pattern that repeats keeps what it needs to go back.
_WORDS: Final = b"|".join(b"\\x%02x.{%d}" % (size, size) for size in range(1, 25))
NUMBERS: Final = re.compile(
    rb"(?:\x3d.{4}){1,1000}|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,1000}|(?:\x4a(?:" + _WORDS + rb")){1,1000}",
    re.DOTALL,
)
"""A run of an attribute's numbers and short words."""

_CONTINUED: Final = bytes(range(0x80, 0x100))


def fields(message: memoryview, dull: re.Pattern[bytes] | None = None) -> Iterator[tuple[int, Value]]:
    """Yield the number and the value of each field of one message; ``Corrupt`` for what is none.

    Runs of fields that match ``dull`` are left out.
    """
    at, end = 0, len(message)
    while at < end:
        if dull is not None and (run := dull.match(message, at)):
            at = run.end()
            continue
        key, at = _tag(message, at)
        wire = key & 7
        value: Value = None
        if wire == 0:
            value, at = _varint(message, at, 10)
        elif wire == 2:
            size, at = _varint(message, at, 5)
            value = message[at : at + size]
            at += size
        elif wire in {1, 5}:
            at += 8 if wire == 1 else 4
        else:
            raise malformed()  # groups, which ONNX never writes, and what no standard defines
        if at > end:
            raise malformed()
        yield key >> 3, value


def varints(value: Value) -> list[int]:
    """Return the signed integers of one field of integers, packed or alone."""
    if isinstance(value, int):
        return [signed(value)]
    packed, at, found = inner(value), 0, []
    while at < len(packed):
        number, at = _varint(packed, at, 10)
        found.append(signed(number))
    return found


def count_varints(value: Value) -> int:
    """Return how many integers one field of integers holds, without making them."""
    return 1 if isinstance(value, int) else len(bytes(inner(value)).translate(None, _CONTINUED))


def inner(value: Value) -> memoryview:
    """Return the bytes of a field that must have some."""
    if not isinstance(value, memoryview):
        raise malformed()
    return value


def signed(value: int) -> int:
    """Return what an int64 is, of the 64 bits that say it."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def malformed() -> Corrupt:
    """Return the error for bytes that are no message."""
    return Corrupt("the ONNX model is not a well-formed protobuf message; fetch or pack it again")


def _tag(message: memoryview, at: int) -> tuple[int, int]:
    """Read a tag as all parsers would: 32 bits, no padding, no field 0."""
    start = at
    key, at = _varint(message, at, 5)
    if key >> 32 or key < 8 or (message[at - 1] == 0 and at - start > 1):
        raise malformed()
    return key, at


def _varint(message: memoryview, at: int, longest: int) -> tuple[int, int]:
    """Read an integer of at most ``longest`` bytes, seven bits in each; return it and where it ends."""
    value = shift = 0
    for here in range(at, min(at + longest, len(message))):
        byte = message[here]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, here + 1
        shift += 7
    raise malformed()
