"""Reading just enough of an ONNX file's bytes to know whether it is safe to hand to a runtime.

A model may point at files beside it: tensors with external data, nodes with a compiled engine on disk. A
runtime would open those paths, relative to the process's working directory, though it was given bytes. This
walk over the protobuf wire format finds them without the ``onnx`` package, which serving does not need.

Parsers differ: C++ protobuf cuts tags and enums to 32 bits, others refuse them or compare their bytes. A
sender who knows that could show this walk one model and the runtime another. So whatever two parsers could
read differently is refused here, and every field counts: of a field given twice, a parser may take the last
or merge both.

Field numbers: onnx/onnx.proto3 (ONNX 1.17). Wire format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from inprocml.errors import Corrupt, Unsupported, Untrusted

__all__ = ["audit_model"]

# message -> field number -> message of that field; everything else is passed over unread.
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "Sparse"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "Sparse", 23: "Sparse"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_DEEPEST: Final = 64  # graphs within graphs; far above any exporter, far below Python's recursion limit
_OP_TYPE, _DATA_LOCATION, _EXTERNAL_DATA = 4, 14, 13

# Tree ensembles keep millions of numbers and short words one by one in the attributes' fields 7 (floats),
# 8 (ints) and 9 (strings). A run of them is passed over in C: field by field, 5 MB took a second. The run is
# bounded because a pattern that repeats keeps what it needs to go back.
_WORDS: Final = b"|".join(b"\\x%02x.{%d}" % (size, size) for size in range(1, 25))
_NUMBERS: Final = re.compile(
    rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]|\x4a(?:" + _WORDS + rb")){1,1000}", re.DOTALL
)


def audit_model(model: bytes) -> None:
    """Refuse an ONNX model that is no model (``Corrupt``), or that points outside itself (``Untrusted``)."""
    if not model:
        raise Corrupt("the ONNX model is empty: 0 bytes; pack it again")
    if model[4:8] == b"ORTM":
        raise Unsupported("the model is in ONNX Runtime's own format; save it as .onnx and pack it again")
    _walk(memoryview(model), "Model", 0)


def _walk(message: memoryview, kind: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise Untrusted(f"the ONNX model nests more than {_DEEPEST} levels deep; no exporter writes that")
    inside = _INSIDE[kind]
    for field, value in _fields(message, _NUMBERS if kind == "Attribute" else None):
        if kind == "Tensor":
            # Any value but 0: parsers cut an enum to 32 bits, and 2**32 + 1 becomes 1, which is EXTERNAL.
            if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value != 0):
                raise Untrusted(
                    "the ONNX model keeps tensors in another file (external data); "
                    "save it with save_as_external_data=False and pack it again"
                )
        elif isinstance(value, memoryview):
            if kind == "Node" and field == _OP_TYPE and bytes(value) == b"EPContext":
                raise Untrusted(
                    "the ONNX model holds an EPContext node, which loads compiled code; export without"
                )
            if field in inside:
                _walk(value, inside[field], depth + 1)


def _fields(
    message: memoryview, dull: re.Pattern[bytes] | None
) -> Iterator[tuple[int, int | memoryview | None]]:
    """Yield the fields of one message: integers for varints, views for bytes, ``None`` for fixed sizes.

    Runs of fields that match ``dull`` are left out.
    """
    at, end = 0, len(message)
    while at < end:
        if dull is not None and (run := dull.match(message, at)):
            at = run.end()
            continue
        key, at = _tag(message, at)
        wire = key & 7
        value: int | memoryview | None = None
        if wire == 0:
            value, at = _varint(message, at, 10)
        elif wire == 2:
            size, at = _varint(message, at, 5)
            value = message[at : at + size]
            at += size
        elif wire in {1, 5}:
            at += 8 if wire == 1 else 4
        else:
            raise _malformed()  # groups, which ONNX never writes, and what no standard defines
        if at > end:
            raise _malformed()
        yield key >> 3, value


def _tag(message: memoryview, at: int) -> tuple[int, int]:
    """Read a tag as all parsers would: 32 bits, no padding, no field 0."""
    start = at
    key, at = _varint(message, at, 5)
    if key >> 32 or key < 8 or (message[at - 1] == 0 and at - start > 1):
        raise _malformed()
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
    raise _malformed()


def _malformed() -> Corrupt:
    return Corrupt("the ONNX model is not a well-formed protobuf message; fetch or pack it again")
