"""torch modules: to ONNX through the dynamo exporter, or as safetensors for a module the host registers.

Each step below answers a trap measured on torch 2.13: training mode is exported as it is; the batch is fixed
unless asked otherwise, and may be fixed in spite of it; weights go to a second file; nodes carry stack traces
with the author's paths; value_info for initializers breaks quantization later; prints and log lines abound.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.bundle import Output
from inprocml.errors import PackError
from inprocml.packing import graph
from inprocml.packing.exported import INPUT, OWN_EXPORT, Exported, choose_tensor, quietly
from inprocml.packing.inputs import check_inputs
from inprocml.packing.sample import take
from inprocml.values import Tensors

__all__ = ["OPSET", "export_torch", "is_torch", "weights_of"]

OPSET = 18
"""ai.onnx opset of exported graphs: the one the exporter writes without a lossy conversion."""

_SCORES = "scores"
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_CHUNK = 500  # rows per eager call


def is_torch(model: object) -> bool:
    """Whether ``model`` is a ``torch.nn.Module``, told without importing torch."""
    return any(base.__module__ == "torch.nn.modules.module" for base in type(model).__mro__)


def export_torch(
    model: Any, *, tensors: Tensors, output: Output, ragged: Mapping[str, int] = MappingProxyType({})
) -> Exported:
    """Export ``model`` to ONNX; ``tensors`` are what the transform makes of example rows.

    It is called with the one tensor there is, or with those that ``forward`` has arguments for, by name. The
    module comes back in the modes (training or not, part by part) in which it was given. Raises
    ``PackError`` when it cannot be called so, or not be exported with a free batch axis.
    """
    kind = type(model).__name__
    taken = _taken(model, tensors, kind)
    some = np.arange(3) % len(next(iter(taken.values())))  # torch takes sizes 0 and 1 for constants
    example = take(taken, some)
    names = _output_names(_eager(model, example, kind))
    tensor = choose_tensor(output.tensor, names)
    proto = _export(model, example, names, kind, ragged)
    _check_batch_free(proto, kind)
    check_inputs(proto, taken, ragged)
    graph.strip(proto)
    graph.keep_output(proto, tensor)
    return Exported(
        model=proto.SerializeToString(deterministic=True),
        runtime="onnx",
        inputs={name: name for name in taken},
        outputs=(tensor,),
        output=tensor,
        trained=_scorer(model, names.index(tensor), kind, tuple(taken)),
        reference=f"torch {kind}",
        packages=("torch", "onnx", "onnxscript", "onnxruntime"),
    )


def weights_of(model: Any, *, module: str, tensors: Tensors, output: Output) -> Exported:
    """Take the weights of ``model`` for the module that the host registers as ``module``.

    Raises ``PackError`` for state that is no tensor, or several outputs.
    """
    kind = type(model).__name__
    if len(tensors) != 1:
        raise PackError(
            f"runtime='torch' serves modules of one tensor, and the transform makes {', '.join(tensors)}. "
            "Leave runtime= and module= out: the module is then exported to ONNX."
        )
    names = _output_names(_eager(model, take(tensors, slice(2)), kind))
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
        inputs={name: name for name in tensors},
        outputs=(tensor,),
        output=tensor,
        trained=_scorer(model, 0, kind, tuple(tensors)),
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


def _taken(model: Any, tensors: Tensors, kind: str) -> Tensors:
    """The tensors that the module is called with."""
    if len(tensors) == 1:
        return tensors
    parameters = inspect.signature(model.forward).parameters
    taken = {name: array for name, array in tensors.items() if name in parameters}
    needed = [name for name, p in parameters.items() if p.default is p.empty and p.kind in _NAMED]
    strange = [name for name in needed if name not in tensors]
    if strange or not taken:
        raise PackError(
            f"forward of {kind} takes {', '.join(needed) or 'nothing by name'}; the transform makes "
            f"{', '.join(tensors)}. Give forward arguments of these names (it need not take all of them)."
        )
    return taken


def _called(model: Any, tensors: Tensors) -> Any:
    import torch

    device = _device(model)
    given = {name: torch.from_numpy(np.array(array)).to(device) for name, array in tensors.items()}
    return model(*given.values()) if len(given) == 1 else model(**given)


def _export(
    model: Any, example: Tensors, names: tuple[str, ...], kind: str, ragged: Mapping[str, int]
) -> Any:
    import torch

    device = _device(model)
    given = {name: torch.from_numpy(np.array(array)).to(device) for name, array in example.items()}
    auto = torch.export.Dim.DYNAMIC
    free = {name: {0: auto, ragged[name]: auto} if name in ragged else {0: auto} for name in given}
    alone = len(given) == 1

    try:
        with quietly(), _eval_mode(model):
            program = torch.onnx.export(
                model,
                tuple(given.values()) if alone else (),
                kwargs=None if alone else given,
                dynamo=True,
                external_data=False,
                input_names=list(given),
                output_names=list(names),
                opset_version=OPSET,
                # by position: the parameter's name is the author's. DYNAMIC, unlike AUTO, objects when
                # the model fixes the size
                dynamic_shapes=tuple(free.values()) if alone else free,
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


def _scorer(model: Any, which: int, kind: str, taken: tuple[str, ...]) -> Any:
    def trained(tensors: Tensors) -> NDArray[Any]:
        given = {name: tensors[name] for name in taken}
        parts = [
            list(_tensors(_eager(model, take(given, slice(i, i + _CHUNK)), kind)).values())[which]
            for i in range(0, len(given[taken[0]]), _CHUNK)
        ]
        return np.concatenate([part.detach().float().cpu().numpy() for part in parts])

    return trained


def _eager(model: Any, tensors: Tensors, kind: str) -> Any:
    import torch

    try:
        with quietly(), torch.no_grad(), _eval_mode(model):
            return _called(model, tensors)
    except Exception as error:
        raise PackError(
            f"{kind} cannot be called with {_described(tensors)} ({_reason(error)}). Wrap it in a module "
            "whose forward takes exactly that."
        ) from error


def _described(tensors: Tensors) -> str:
    if list(tensors) == [INPUT]:
        width = tensors[INPUT].shape[1]
        return f"one float32 tensor [batch, {width}], the features that the transform makes"
    shapes = [f"{name}={array.dtype}{['batch', *array.shape[1:]]}" for name, array in tensors.items()]
    return f"the tensors that the transform makes: {', '.join(shapes)}".replace("'", "")


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
