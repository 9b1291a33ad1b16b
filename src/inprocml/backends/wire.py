"""Reading just enough of an ONNX file's bytes to know whether it is safe to hand to a runtime.

A model may point at files beside it: tensors with external data, nodes with a compiled engine on disk. A
runtime would open those paths, relative to the process's working directory, though it was given bytes. This
walk over the protobuf wire format finds them without the ``onnx`` package, which serving does not need.

Field numbers: onnx/onnx.proto3 (ONNX 1.17). Wire format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

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
}
_DEEPEST: Final = 64  # graphs within graphs; far above any exporter, far below Python's recursion limit
_OP_TYPE, _DATA_LOCATION, _EXTERNAL_DATA = 4, 14, 13


def audit_model(model: bytes) -> None:
    """Refuse an ONNX model that is no model (``Corrupt``), or that points outside itself (``Untrusted``)."""
    if not model:
        raise Corrupt("the ONNX model is empty: 0 bytes; pack it again")
    if model[4:8] == b"ORTM":
        raise Unsupported("the model is in ONNX Runtime's own format; save it as .onnx and pack it again")
    # Both need these words; a model without them is not walked at all, which spares large tree ensembles.
    if b"location" in model or b"EPContext" in model:
        _walk(memoryview(model), "Model", 0)


def _walk(message: memoryview, kind: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise Untrusted(f"the ONNX model nests more than {_DEEPEST} levels deep; no exporter writes that")
    inside = _INSIDE.get(kind, {})
    for field, value in _fields(message):
        if kind == "Tensor":
            if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value == 1):
                raise Untrusted(
                    "the ONNX model keeps tensors in another file (external data); "
                    "save it with save_as_external_data=False and pack it again"
                )
        elif isinstance(value, memoryview):
            if kind == "Node" and field == _OP_TYPE and value.tobytes() == b"EPContext":
                raise Untrusted(
                    "the ONNX model holds an EPContext node, which loads compiled code; export without"
                )
            if field in inside:
                _walk(value, inside[field], depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of one message: integers for varints, a view for bytes, 0 for fixed-size numbers."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        wire = key & 7
        value: int | memoryview = 0
        if wire == 0:
            value, at = _varint(message, at)
        elif wire == 2:
            size, at = _varint(message, at)
            value = message[at : at + size]
            at += size
        elif wire in {1, 5}:
            at += 8 if wire == 1 else 4
        else:
            raise _malformed()
        if at > end:
            raise _malformed()
        yield key >> 3, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _malformed()


def _malformed() -> Corrupt:
    return Corrupt("the ONNX model is not a well-formed protobuf message; fetch or pack it again")
