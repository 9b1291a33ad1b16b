"""A model that is ONNX already, as a path or as bytes.

With the ``onnx`` package installed the graph is checked before it runs, so that messages can say what was
found; without it, running at batch 1, 2 and 5 still refuses what cannot be served.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from inprocml.backends import open_backend
from inprocml.bundle import Output
from inprocml.errors import BackendMissing, InprocmlError, PackError
from inprocml.packing.exported import Exported, choose_tensor

__all__ = ["check_input", "export_onnx", "is_onnx"]

_FLOAT = 1  # onnx.TensorProto.FLOAT
_NOT_MEASURED = "not measured: an ONNX file has no trained model beside it"


def is_onnx(model: object) -> bool:
    """Whether ``model`` is a path or the bytes of an ONNX file."""
    return isinstance(model, bytes | bytearray | str | os.PathLike)


def export_onnx(model: bytes | str | os.PathLike[str], *, width: int, output: Output) -> Exported:
    """Check the model and take it in, without the texts that tell of its author's machine.

    Raises ``PackError`` that says what was found and how to export instead.
    """
    given = bytes(model) if isinstance(model, bytes | bytearray) else _file(Path(model))
    checked = _checked(given, width)
    try:
        backend = open_backend("onnx", checked)
    except BackendMissing:
        raise
    except InprocmlError as error:
        raise PackError(f"the ONNX model cannot be served: {error}") from error
    inputs, outputs = backend.inputs, backend.outputs  # type: ignore[attr-defined]  # OnnxBackend names them
    backend.close()
    if len(inputs) != 1:
        raise PackError(_input_fault(f"{len(inputs)} inputs ({', '.join(map(repr, inputs))})", width))
    return Exported(
        model=checked,
        runtime="onnx",
        input=inputs[0],
        outputs=outputs,
        output=choose_tensor(output.tensor, outputs),
        trained=None,
        reference=_NOT_MEASURED,
        packages=("onnx", "onnxruntime"),
    )


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PackError(
            f"model={str(path)!r} cannot be read ({error.strerror}). Give the path of an ONNX file or its "
            "bytes."
        ) from error


def _checked(given: bytes, width: int) -> bytes:
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
    check_input(proto, width)
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


def check_input(proto: Any, width: int) -> None:
    """Demand one input [batch, width] of float32 with a free batch axis; raises ``PackError``."""
    initializers = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in initializers]
    if len(inputs) != 1:
        raise PackError(
            _input_fault(f"{len(inputs)} inputs ({', '.join(repr(v.name) for v in inputs)})", width)
        )
    kind = inputs[0].type.tensor_type
    sides = [side.dim_value if side.HasField("dim_value") else None for side in kind.shape.dim]
    shown = ", ".join("?" if side is None else str(side) for side in sides)
    found = f"input {inputs[0].name!r} of {_type_name(kind.elem_type)} [{shown}]"
    if kind.elem_type != _FLOAT or len(sides) != 2 or sides[1] not in {None, width}:
        raise PackError(_input_fault(found, width))
    if sides[0] is not None:
        raise PackError(
            f"the model has {found}: its batch is fixed at {sides[0]}, so it cannot answer one request or a "
            "batch of any other size. Export with a free batch axis: torch.onnx.export(..., dynamo=True, "
            "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), or initial_types=[('features', "
            f"FloatTensorType([None, {width}]))] with skl2onnx."
        )


def _input_fault(found: str, width: int) -> str:
    return (
        f"the model has {found}; a bundle needs exactly one float32 input [batch, {width}], the features "
        f"that the transform makes. Export it so, or change the transform (it makes {width} features)."
    )


def _type_name(elem_type: int) -> str:
    import onnx

    return str(onnx.TensorProto.DataType.Name(elem_type)).lower()
