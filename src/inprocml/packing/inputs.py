"""Which of the transform's tensors a model takes, and whether its graph has the inputs for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import PackError
from inprocml.values import FEATURES, Tensors

__all__ = ["check_inputs", "matched"]

_NONE: Mapping[str, int] = MappingProxyType({})


def matched(names: tuple[str, ...], tensors: Tensors) -> dict[str, str]:
    """Return tensor -> input for a model with inputs ``names``: by name, unless there is one of each.

    ``PackError`` for an input that no tensor is called like.
    """
    if len(names) == len(tensors) == 1:
        return dict(zip(tensors, names, strict=True))
    strange = [name for name in names if name not in tensors]
    if strange or not names:
        raise PackError(input_fault(f"{len(names)} inputs ({', '.join(map(repr, names))})", tensors))
    return {name: name for name in tensors if name in names}


def check_inputs(proto: Any, tensors: Tensors, ragged: Mapping[str, int] = _NONE) -> None:
    """Demand inputs for tensors, of their types and shapes, with a free batch axis; raises ``PackError``.

    Those of ``ragged`` tensors must have a free length, too, on the axis that it names.
    """
    initializers = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in initializers]
    fed = matched(tuple(value.name for value in inputs), tensors)
    by_input = {name: tensor for tensor, name in fed.items()}
    for value in inputs:
        tensor = by_input[value.name]
        _check_input(value, tensors[tensor], tensors)
        length = value.type.tensor_type.shape.dim[ragged[tensor]] if tensor in ragged else None
        if length is not None and length.HasField("dim_value"):
            raise PackError(
                f"input {value.name!r} of the model has the fixed length {length.dim_value}, but the "
                "transform pads its rows to one of several. Export it with a dynamic "
                f"axis {ragged[tensor]}, or leave pad_to out."
            )


def _check_input(value: Any, array: NDArray[Any], tensors: Tensors) -> None:
    kind = value.type.tensor_type
    sides = [side.dim_value if side.HasField("dim_value") else None for side in kind.shape.dim]
    shown = ", ".join("?" if side is None else str(side) for side in sides)
    found = f"input {value.name!r} of {_type_name(kind.elem_type)} [{shown}]"
    wanted = array.shape[1:]
    fits = len(sides) == array.ndim and all(
        side in {None, width} for side, width in zip(sides[1:], wanted, strict=True)
    )
    if kind.elem_type != _elem_type(array) or not fits:
        raise PackError(input_fault(found, tensors))
    if sides[0] is not None:
        raise PackError(
            f"the model has {found}: its batch is fixed at {sides[0]}, so it cannot answer one request or a "
            "batch of any other size. Export with a free batch axis: torch.onnx.export(..., dynamo=True, "
            "dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), or initial_types=[('features', "
            f"FloatTensorType([None, {wanted[0] if wanted else 1}]))] with skl2onnx."
        )


def input_fault(found: str, tensors: Tensors) -> str:
    """Return what to say of a model that does not take what the transform makes."""
    if list(tensors) == [FEATURES]:
        width = tensors[FEATURES].shape[1]
        return (
            f"the model has {found}; a bundle needs exactly one float32 input [batch, {width}], the features "
            f"that the transform makes. Export it so, or change the transform (it makes {width} features)."
        )
    listed = ", ".join(
        f"{name} {array.dtype} {['batch', *array.shape[1:]]}" for name, array in tensors.items()
    )
    return (
        f"the model has {found}; the transform makes {listed.replace(chr(39), '')}. Export it with inputs of "
        "these names, types and shapes (it need not take all of them), or change the transform."
    )


def _elem_type(array: NDArray[Any]) -> int:
    import onnx

    found: int = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(array.dtype))
    return found


def _type_name(elem_type: int) -> str:
    import onnx

    return str(onnx.TensorProto.DataType.Name(elem_type)).lower()
