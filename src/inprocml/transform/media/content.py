"""The content of a file as a row holds it: bytes, or base64 text where the row is JSON."""

from __future__ import annotations

from base64 import b64decode, b64encode

from inprocml.schema import Refused

__all__ = ["content_of"]


def content_of(value: object, max_bytes: int) -> bytes:
    """Return the bytes of a file; raises ``Refused``.

    Takes bytes, ``bytearray`` or ``memoryview`` as they are, and a string as base64: RFC 4648 with padding,
    the standard alphabet, no line breaks, one spelling for one content. The size is known, and judged, before
    anything is decoded.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        size = value.nbytes if isinstance(value, memoryview) else len(value)
        _judge_size(size, max_bytes)
        return bytes(value)
    if not isinstance(value, str):
        raise Refused(f"must be bytes, or base64 text, not {type(value).__name__}")
    _judge_size(len(value) // 4 * 3 - value[-2:].count("="), max_bytes)
    if value.startswith("data:"):
        raise Refused("must be base64 text alone: send what follows the comma of the data: address")
    return _decoded(value)


def _judge_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise Refused(f"must have at most {max_bytes} bytes")
    if size <= 0:
        raise Refused("must not be empty")


def _decoded(text: str) -> bytes:
    reason = "must be base64 text: the standard alphabet, padded, without spaces or line breaks"
    try:
        content = b64decode(text, validate=True)
    except ValueError:
        raise Refused(reason) from None
    # the last character may hold bits that belong to no byte: they must be zero, or two texts are one content
    rest = len(content) % 3 or 3
    if b64encode(content[-rest:]).decode() != text[-4:] or len(text) != -(-len(content) // 3) * 4:
        raise Refused(reason)
    return content
