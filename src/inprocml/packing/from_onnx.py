"""A model that is ONNX already, as a path or as bytes.

With the ``onnx`` package installed the graph is checked before it runs, so that messages can say what was
found; without it, running at batch 1, 2 and 5 still refuses what cannot be served.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from inprocml.backends import open_backend
from inprocml.bundle import Output
from inprocml.errors import BackendMissing, InprocmlError, PackError
from inprocml.packing.exported import Exported, choose_tensor
from inprocml.packing.inputs import check_inputs, matched
from inprocml.values import Tensors

__all__ = ["export_onnx", "is_onnx"]

_NOT_MEASURED = "not measured: an ONNX file has no trained model beside it"


def is_onnx(model: object) -> bool:
    """Whether ``model`` is a path or the bytes of an ONNX file."""
    return isinstance(model, bytes | bytearray | str | os.PathLike)


def export_onnx(
    model: bytes | str | os.PathLike[str],
    *,
    tensors: Tensors,
    output: Output,
    ragged: Mapping[str, int] = MappingProxyType({}),
    allow_loops: bool = False,
) -> Exported:
    """Check the model and take it in, without the texts that tell of its author's machine.

    ``tensors`` are what the transform makes of some rows; ``allow_loops`` as in ``Policy``. Raises
    ``PackError`` that says what was found and how to export instead.
    """
    given = bytes(model) if isinstance(model, bytes | bytearray) else _file(Path(model))
    checked = _checked(given, tensors, ragged)
    try:
        backend = open_backend("onnx", checked, allow_loops=allow_loops)
    except BackendMissing:
        raise
    except InprocmlError as error:
        raise PackError(f"the ONNX model cannot be served: {error}") from error
    inputs, outputs = backend.inputs, backend.outputs  # type: ignore[attr-defined]  # OnnxBackend names them
    backend.close()
    return Exported(
        model=checked,
        runtime="onnx",
        inputs=matched(inputs, tensors),
        outputs=outputs,
        output=choose_tensor(output.tensor, outputs),
        trained=None,
        reference=_NOT_MEASURED,
        packages=("onnx", "onnxruntime"),
        allow_loops=allow_loops,
    )


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PackError(
            f"model={str(path)!r} cannot be read ({error.strerror}). Give the path of an ONNX file or its "
            "bytes."
        ) from error


def _checked(given: bytes, tensors: Tensors, ragged: Mapping[str, int]) -> bytes:
    try:
        import onnx
    except ImportError:
        return given
    from inprocml.packing import graph

    try:
        proto = onnx.load_model_from_string(given)
    except Exception as error:
        raise PackError(
            f"model= holds {len(given)} bytes that are no ONNX model ({type(error).__name__}). "
            "Give an .onnx file, a scikit-learn estimator or a torch module."
        ) from error
    if graph.has_external_data(proto):
        raise PackError(
            "the ONNX model keeps weights in other files, which a bundle does not carry. Save one file: "
            "torch.onnx.export(..., external_data=False), or onnx.save_model(onnx.load('m.onnx'), "
            "'one.onnx')."
        )
    _check_types(proto)
    check_inputs(proto, tensors, ragged)
    graph.strip(proto)
    stripped: bytes = proto.SerializeToString(deterministic=True)
    try:
        onnx.checker.check_model(stripped)
    except Exception as error:
        told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise PackError(f"onnx.checker refuses the model: {told}. Export it again.") from error
    return stripped


def _check_types(proto: Any) -> None:
    for value in proto.graph.output:
        if not value.type.HasField("tensor_type"):
            raise PackError(
                f"output {value.name!r} is a {value.type.WhichOneof('value')}, not a tensor. "
                "With skl2onnx, export with options={'zipmap': False}."
            )
