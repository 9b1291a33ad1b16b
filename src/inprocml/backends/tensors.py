"""Tensors in an ONNX file: a shape must be filled by the bytes that come with it.

A runtime makes room for a shape before it looks at what is to fill it: 68 bytes may ask for terabytes.

Field numbers: onnx/onnx.proto3 (ONNX 1.23).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

from inprocml.backends.wire import Value, count_varints, fields, inner, malformed, signed, varints
from inprocml.errors import Corrupt, Unsupported, Untrusted

__all__ = ["Literal", "TensorView", "read_tensor"]

Literal = tuple[float, ...] | None
"""The numbers of a small tensor, or ``None`` where they are not known beforehand."""

_DIMS, _KIND, _NAME, _RAW, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 9, 13, 14
_FLOATS, _INT32S, _STRINGS, _INT64S, _DOUBLES, _UINT64S = 4, 5, 6, 7, 10, 11
_MOST_DIMS: Final = 64
_MOST_LITERAL: Final = 64  # values; a shape has as many as a tensor has dimensions

# data type -> bits of one element; 8, strings, has none
_BITS: Final = {
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((7, 11, 13, 14), 64),
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
    **dict.fromkeys((27, 28), 6),
    15: 128,
}
_STRING, _COMPLEX = 8, frozenset({14, 15})
_NUMBERS: Final = {1: "f", 6: "i", 7: "q", 11: "d"}  # those that shapes and ranges are made of


@dataclass(slots=True)
class TensorView:
    """One tensor of the model, not copied: ``size`` elements of type ``kind``."""

    name: bytes
    size: int
    kind: int
    raw: memoryview | None
    typed: list[tuple[int, Value]]

    def literal(self) -> Literal:
        """Return the numbers, if they are few."""
        code = _NUMBERS.get(self.kind)
        if code is None or self.size > _MOST_LITERAL:
            return None
        if self.raw is not None:
            return struct.unpack(f"<{self.size}{code}", self.raw)
        if code in "fd":  # packed, or one by one, which nobody writes
            given = b"".join(bytes(value) for _, value in self.typed if isinstance(value, memoryview))
            width = struct.calcsize(code)
            return struct.unpack(f"<{len(given) // width}{code}", given[: len(given) // width * width])
        return tuple(number for _, value in self.typed for number in varints(value))


def read_tensor(message: memoryview) -> TensorView:
    """Read one tensor; its data is left where it is.

    Raises ``Untrusted`` for data in another file, ``Corrupt`` for a shape that its data does not fill, and
    ``Unsupported`` for an unknown type of element.
    """
    dims: list[int] = []
    once: dict[int, Value] = {}
    typed: list[tuple[int, Value]] = []
    for field, value in fields(message):
        # Any value but 0: parsers cut an enum to 32 bits, and 2**32 + 1 becomes 1, which is EXTERNAL.
        if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0):
            raise Untrusted(
                "the ONNX model keeps tensors in another file (external data); "
                "save it with save_as_external_data=False and pack it again"
            )
        if field == _DIMS:
            if count_varints(value) + len(dims) > _MOST_DIMS:
                raise Corrupt(f"a tensor of the ONNX model has over {_MOST_DIMS} dimensions; pack it again")
            dims += varints(value)
        elif field in {_KIND, _NAME, _RAW}:
            if field in once:
                raise Corrupt("the ONNX model says one thing of a tensor twice; pack it again")
            once[field] = value
        elif field in {_FLOATS, _INT32S, _STRINGS, _INT64S, _DOUBLES, _UINT64S}:
            typed.append((field, value))
    kind = once.get(_KIND, 0)
    if not isinstance(kind, int):
        raise malformed()
    raw = inner(once[_RAW]) if _RAW in once else None
    name = bytes(inner(once[_NAME])) if _NAME in once else b""
    return TensorView(name, _filled(dims, signed(kind), raw, typed), signed(kind), raw, typed)


def _filled(dims: list[int], kind: int, raw: memoryview | None, typed: list[tuple[int, Value]]) -> int:
    """Return the number of elements; ``Corrupt`` unless there are as many as the shape says."""
    if any(side < 0 for side in dims):
        raise Corrupt("a tensor of the ONNX model has a negative dimension; pack it again")
    size = math.prod(dims)
    if not kind and not size:
        return 0
    if kind not in _BITS and kind != _STRING:
        raise Unsupported(f"the ONNX model holds tensors of type {kind}; upgrade inprocml, or export others")
    if raw is None:
        fits = _given(kind, typed) >= size
    else:
        fits = kind != _STRING and len(raw) == (size * _BITS[kind] + 7) // 8
    if not fits:
        raise Corrupt(
            f"a tensor of the ONNX model is to have {size} elements, and other bytes come with it; "
            "fetch or pack it again"
        )
    return size


def _given(kind: int, typed: list[tuple[int, Value]]) -> int:
    """Count the elements in the typed fields."""
    count = 0
    for field, value in typed:
        if field == _STRINGS:
            count += 1
        elif field in {_FLOATS, _DOUBLES}:
            count += 1 if value is None else len(inner(value)) // (4 if field == _FLOATS else 8)
        else:
            count += count_varints(value)
    if kind in _COMPLEX:
        return count // 2
    return count * (8 // _BITS[kind]) if kind != _STRING and _BITS[kind] in {2, 4} else count
