"""The way from a transform to the room above it that writes it down for other runtimes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inprocml.transform.core import Transform

__all__ = ["onnx_model"]

# By name, not by import: the room lies above this one, so nothing here may depend on it, and a process that
# only applies a transform has no ONNX. The name is a constant; nothing that is read decides it.
_ROOM = "inprocml.packing.transform_onnx"


def onnx_model(transform: Transform) -> bytes:
    """Return the transform as the bytes of an ONNX model."""
    model: bytes = import_module(_ROOM).transform_to_onnx(transform)
    return model
