"""The way from a transform to the rooms above it that show it to another library."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from inprocml.errors import TransformError

if TYPE_CHECKING:
    from inprocml.transform.core import Transform

__all__ = ["onnx_model", "sklearn_converted", "sklearn_view"]

# By name, not by import: these rooms lie above this one, so nothing here may depend on them, and most
# processes that apply a transform have neither library. The names are constants: nothing that is read decides
# them.
_SKLEARN = "inprocml.sklearn"
_ONNX = "inprocml.packing.transform_onnx"


def onnx_model(transform: Transform) -> bytes:
    """Return the transform as the bytes of an ONNX model."""
    model: bytes = import_module(_ONNX).transform_to_onnx(transform)
    return model


def sklearn_view(transform: Transform) -> Any:
    """Return the transform as a scikit-learn transformer; ``TransformError`` without scikit-learn."""
    return _sklearn("as_sklearn").as_sklearn(transform)


def sklearn_converted(fitted: Any, table: Any, rtol: float | None) -> Transform:
    """Return the transform that does what a fitted transformer does; ``TransformError`` if there is none."""
    converted: Transform = _sklearn("from_sklearn").from_sklearn(fitted, table, rtol)
    return converted


def _sklearn(asked: str) -> Any:
    try:
        return import_module(_SKLEARN)
    except ModuleNotFoundError as missing:
        raise TransformError(
            f"{asked} needs scikit-learn, which is not installed: pip install 'inprocml[sklearn]'"
        ) from missing
