"""Which versions of ONNX this ONNX Runtime can read: asked of the runtime itself, before it sees the model.

No function of the runtime tells (onnxruntime#14932), and a table would grow old. So it is handed a model
that has nothing but the versions in question, some 80 bytes; what it says of that it would say of the real
one, and in saying so it names the newest that it knows.
"""

from __future__ import annotations

import re
import traceback
from functools import lru_cache
from typing import Any, Final

from inprocml.errors import Unsupported

__all__ = ["check_versions"]

_DOMAINS: Final = frozenset({b"", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft"})
_NEWEST: Final = {
    "IR version": re.compile(r"max supported IR version: (\d+)"),
    "operator set": re.compile(r"is till opset (\d+)"),
}


def check_versions(runtime: Any, ir_version: int, opsets: tuple[tuple[bytes, int], ...]) -> None:
    """Raise ``Unsupported`` where the runtime is too old for the IR version or for a set of operators."""
    known = tuple(sorted({(domain, version) for domain, version in opsets if domain in _DOMAINS}))
    fault = _refusal(runtime, ir_version, known)
    if fault is not None:
        raise Unsupported(fault)


@lru_cache(maxsize=64)
def _refusal(runtime: Any, ir_version: int, opsets: tuple[tuple[bytes, int], ...]) -> str | None:
    said = _asked(runtime, ir_version, ())
    if said is not None and (found := _NEWEST["IR version"].search(said)):
        return _told(runtime, f"IR version {ir_version}", found[1])
    for domain, version in opsets:
        said = _asked(runtime, 4, ((domain, version),))
        if said is not None and (found := _NEWEST["operator set"].search(said)):
            return _told(runtime, f"operator set {domain.decode() or 'ai.onnx'} {version}", found[1])
    return None


def _told(runtime: Any, what: str, newest: str) -> str:
    return (
        f"the ONNX model is of {what}, and onnxruntime {runtime.__version__} knows it up to {newest}; "
        "upgrade onnxruntime (pip install --upgrade onnxruntime), or export for an older one and pack again"
    )


def _asked(runtime: Any, ir_version: int, opsets: tuple[tuple[bytes, int], ...]) -> str | None:
    """What the runtime says against a model of these versions that does nothing, if anything."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    providers = ["CPUExecutionProvider"]
    try:
        runtime.InferenceSession(
            _nothing(ir_version, opsets), options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # noqa: BLE001  # the runtime's own classes, one a kind of refusal
        traceback.clear_frames(error.__traceback__)  # they hold the half-made session
        return str(error)
    return None


def _nothing(ir_version: int, opsets: tuple[tuple[bytes, int], ...]) -> bytes:
    """A model ``y = Identity(x)``; fields as in onnx.proto3."""
    if not any(domain in {b"", b"ai.onnx"} for domain, _ in opsets):
        opsets = (*opsets, (b"", 13))
    tensor = _part(2, _part(1, b"\x08\x01" + _part(2, _part(1, b"\x08\x01"))))  # float32 of shape (1,)
    node = _part(1, b"x") + _part(2, b"y") + _part(4, b"Identity")
    graph = (
        _part(1, node)
        + _part(2, b"g")
        + _part(11, _part(1, b"x") + tensor)
        + _part(12, _part(1, b"y") + tensor)
    )
    model = b"\x08" + _varint(ir_version) + _part(7, graph)
    return model + b"".join(_part(8, _part(1, name) + b"\x10" + _varint(one)) for name, one in opsets)


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
