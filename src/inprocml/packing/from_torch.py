"""torch modules: to ONNX through the dynamo exporter, or as safetensors for a module the host registers.

Each step below answers a trap measured on torch 2.13: training mode is exported as it is; the batch is fixed
unless asked otherwise, and may be fixed in spite of it; weights go to a second file; nodes carry stack traces
with the author's paths; value_info for initializers breaks quantization later; prints and log lines abound.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.bundle import Output
from inprocml.errors import PackError
from inprocml.packing import graph
from inprocml.packing.exported import INPUT, OWN_EXPORT, Exported, choose_tensor, quietly
from inprocml.packing.from_onnx import check_input
from inprocml.values import Features

__all__ = ["OPSET", "export_torch", "is_torch", "weights_of"]

OPSET = 18
"""ai.onnx opset of exported graphs: the one the exporter writes without a lossy conversion."""

_SCORES = "scores"
_CHUNK = 500  # rows per eager call


def is_torch(model: object) -> bool:
    """Whether ``model`` is a ``torch.nn.Module``, told without importing torch."""
    return any(base.__module__ == "torch.nn.modules.module" for base in type(model).__mro__)


def export_torch(model: Any, *, features: Features, output: Output) -> Exported:
    """Export ``model``, called with float32 (rows, width), to ONNX; ``features`` are example rows.

    The module comes back in the modes (training or not, part by part) in which it was given. Raises
    ``PackError`` when it cannot be called so, or not be exported with a free batch axis.
    """
    kind = type(model).__name__
    example = np.resize(features, (3, features.shape[1]))  # torch takes sizes 0 and 1 for constants
    names = _output_names(_eager(model, example, kind))
    tensor = choose_tensor(output.tensor, names)
    proto = _export(model, example, names, kind)
    _check_batch_free(proto, kind)
    check_input(proto, features.shape[1])
    graph.strip(proto)
    graph.keep_output(proto, tensor)
    return Exported(
        model=proto.SerializeToString(deterministic=True),
        runtime="onnx",
        input=INPUT,
        outputs=(tensor,),
        output=tensor,
        trained=_scorer(model, names.index(tensor), kind),
        reference=f"torch {kind}",
        packages=("torch", "onnx", "onnxscript", "onnxruntime"),
    )


def weights_of(model: Any, *, module: str, features: Features, output: Output) -> Exported:
    """Take the weights of ``model`` for the module that the host registers as ``module``.

    Raises ``PackError`` for state that is no tensor, or several outputs.
    """
    kind = type(model).__name__
    names = _output_names(_eager(model, features[:2], kind))
    tensor = choose_tensor(output.tensor, names)
    if len(names) != 1:
        raise PackError(f"runtime='torch' needs a module with one output, {kind} has {len(names)}. Wrap it.")
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise PackError("packing torch weights needs safetensors: pip install 'inprocml[torch]'") from error
    return Exported(
        model=save(_state(model, kind)),
        runtime="torch",
        input=INPUT,
        outputs=(tensor,),
        output=tensor,
        trained=_scorer(model, 0, kind),
        reference=f"torch {kind}",
        packages=("torch", "safetensors"),
        module=module,
    )


def _state(model: Any, kind: str) -> dict[str, Any]:
    import torch

    state: dict[str, Any] = {}
    seen: set[tuple[object, ...]] = set()
    for name, value in model.state_dict().items():
        if not isinstance(value, torch.Tensor):
            raise PackError(f"{kind} keeps {name!r} in its state, which is no tensor and cannot be packed.")
        place = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if value.numel() and place in seen:  # tied to one already kept; the module ties it again
            continue
        seen.add(place)
        state[name] = value.detach().cpu().contiguous().clone()
    return state


def _export(model: Any, example: Features, names: tuple[str, ...], kind: str) -> Any:
    import torch

    try:
        with quietly(), _eval_mode(model):
            program = torch.onnx.export(
                model,
                (torch.from_numpy(example).to(_device(model)),),
                dynamo=True,
                external_data=False,
                input_names=[INPUT],
                output_names=list(names),
                opset_version=OPSET,
                # by position: the parameter's name is the author's. DYNAMIC, unlike AUTO, objects when
                # the model fixes the size
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                verbose=False,
            )
            return program.model_proto
    except ImportError as error:
        raise PackError(
            f"exporting a torch module needs {error.name}: pip install 'inprocml[torch]'"
        ) from error
    except Exception as error:
        raise PackError(
            f"torch cannot export {kind} with a free batch axis ({_reason(error)}). In forward, let no "
            f"Python `if`, `int()` or loop depend on values or on the batch size. {OWN_EXPORT}"
        ) from error


def _reason(error: BaseException) -> str:
    """Return the exporter's own cause, not its page of advice."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0][:200]}" if lines else type(cause).__name__


def _check_batch_free(proto: Any, kind: str) -> None:
    for value in (*proto.graph.input, *proto.graph.output):
        sides = value.type.tensor_type.shape.dim
        if not len(sides) or not sides[0].dim_param:
            raise PackError(
                f"torch exported {kind} with a fixed batch in {value.name!r}. In forward, use x.shape[0] "
                f"only inside tensor operations (reshape(-1, ...) instead of a number). {OWN_EXPORT}"
            )


def _scorer(model: Any, which: int, kind: str) -> Any:
    def trained(features: Features) -> NDArray[Any]:
        parts = [
            list(_tensors(_eager(model, features[i : i + _CHUNK], kind)).values())[which]
            for i in range(0, len(features), _CHUNK)
        ]
        return np.concatenate([part.detach().float().cpu().numpy() for part in parts])

    return trained


def _eager(model: Any, features: Features, kind: str) -> Any:
    import torch

    try:
        with quietly(), torch.no_grad(), _eval_mode(model):
            return model(torch.from_numpy(np.array(features)).to(_device(model)))
    except Exception as error:
        raise PackError(
            f"{kind} cannot be called with one float32 tensor [batch, {features.shape[1]}], the features "
            f"that the transform makes ({_reason(error)}). Wrap it in a module whose forward takes exactly "
            "that."
        ) from error


def _tensors(answer: Any) -> dict[str, Any]:
    import torch

    if isinstance(answer, torch.Tensor):
        return {_SCORES: answer}
    members = (
        dict(answer)
        if isinstance(answer, Mapping)
        else {f"output_{i}": part for i, part in enumerate(answer)}
        if isinstance(answer, tuple | list)
        else {}
    )
    if members and all(isinstance(part, torch.Tensor) for part in members.values()):
        return {str(name): part for name, part in members.items()}
    raise PackError(
        f"the module answers with {type(answer).__name__}; needed is a tensor, or a tuple or dict of tensors."
    )


def _output_names(answer: Any) -> tuple[str, ...]:
    return tuple(_tensors(answer))


def _device(model: Any) -> Any:
    import torch

    first = next(iter([*model.parameters(), *model.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


@contextlib.contextmanager
def _eval_mode(model: Any) -> Iterator[None]:
    """Switch off dropout and training batch norm; afterwards every part is again in its own mode."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
