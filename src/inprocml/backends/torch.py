"""A PyTorch module that the host registered by name, with weights from a safetensors file.

No file decides which code runs: ``torch.load``, ``.pt2`` and TorchScript files are pickles or close to it,
and are never read. The host says ``register("late-net", make_net)`` in its own code; the bundle only says
``"late-net"`` and brings the numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from inprocml.backends.checks import check_device, check_threads, split_device
from inprocml.backends.locks import ProcessLock
from inprocml.backends.staged import Staged
from inprocml.backends.threads import thread_budget
from inprocml.backends.torch_cuda import TorchAccelerator
from inprocml.errors import BackendFailed, BackendMissing, Corrupt
from inprocml.protocols import Backend
from inprocml.values import Tensors

__all__ = ["TorchBackend", "open_torch", "register", "registered"]

_DEVICES: Final = ("cpu", "cuda", "auto")
Factory = Callable[[], Any]

_factories: dict[str, Factory] = {}
_configured: dict[int, int] = {}  # process id -> threads torch was given there
_configuring = ProcessLock()


def register(name: str, factory: Factory) -> None:
    """Let bundles that name ``name`` be served by the module that ``factory()`` returns.

    Registering again replaces: a reloaded development server runs its modules twice.
    """
    _factories[name] = factory


def registered(name: str) -> Factory:
    """Return what was registered; ``BackendMissing`` says what to call otherwise."""
    try:
        return _factories[name]
    except KeyError:
        known = ", ".join(sorted(_factories)) or "none"
        raise BackendMissing(
            f"no torch module is registered as {name!r} (registered: {known}); call "
            f"inprocml.backends.torch.register({name!r}, factory) at start-up, before the model loads"
        ) from None


class TorchBackend:
    """One registered module on the CPU or a CUDA device, in eval mode.

    ``weights`` are the bytes of a safetensors file and must hold exactly the module's state: names, shapes
    and dtypes; else ``Corrupt`` names what differs. The module takes one tensor and returns one.
    ``threads`` sets torch's intra-op pool, which is global to the process: the first backend sets it (by
    default to ``thread_budget()``), later ones leave it. In a child of a process that served torch it is 1:
    the parent's pool does not survive a fork, and using it hangs (pytorch#17199).
    """

    name = "torch"

    def __init__(
        self,
        module_name: str,
        weights: bytes,
        *,
        input_name: str = "features",
        output_name: str = "output",
        device: str = "cpu",
        threads: int | None = None,
    ) -> None:
        torch, factory, self.device = _ready(module_name, device, threads)
        self._module: Any = _placed(factory, module_name, weights, self.device)
        self.inputs = (input_name,)
        self.outputs = (output_name,)
        self._torch = torch

    def run(self, inputs: Tensors) -> Tensors:
        """Compute one batch; what the module raises is let through."""
        module, torch = self._module, self._torch
        if module is None:
            raise BackendFailed("the torch backend is closed; open a new one")
        array = inputs[self.inputs[0]]
        with torch.inference_mode():
            # torch warns on stderr of arrays it could write to but must not; those are copied
            tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
            answer = module(tensor.to(self.device))
            if not isinstance(answer, torch.Tensor):
                raise BackendFailed(
                    f"the torch module returned {type(answer).__name__}, not one tensor; "
                    "wrap it in a module that returns the tensor to serve"
                )
            if answer.dtype == torch.bfloat16:  # numpy has no such type
                answer = answer.float()
            return {self.outputs[0]: answer.cpu().numpy()}

    def close(self) -> None:
        """Free the module."""
        self._module = None


def open_torch(
    module_name: str,
    weights: bytes,
    *,
    input_name: str = "features",
    output_name: str = "output",
    device: str = "cpu",
    threads: int | None = None,
    precision: str = "fp32",
    channels_last: bool = False,
) -> Backend:
    """Open a registered module: on the CPU as ``TorchBackend``, on a GPU as ``Staged``.

    ``precision`` and ``channels_last`` are for GPUs, see ``TorchAccelerator``. Raises what ``TorchBackend``
    does.
    """
    torch, factory, where = _ready(module_name, device, threads)
    if where == "cpu":
        return TorchBackend(
            module_name, weights, input_name=input_name, output_name=output_name, threads=threads
        )
    module = _placed(factory, module_name, weights, where)
    given, made = (input_name,), (output_name,)
    accelerator = TorchAccelerator(
        torch,
        module,
        where,
        inputs=given,
        outputs=made,
        precision=precision,
        channels_last=channels_last,
    )
    return Staged(accelerator)


def _ready(name: str, device: str, threads: int | None) -> tuple[Any, Factory, str]:
    """Return torch, what makes the module, and which device it is to lie on."""
    check_device(device, _DEVICES)
    check_threads(threads)
    factory = registered(name)
    torch = _import_torch(threads)
    return torch, factory, _device(torch, device)


def _placed(factory: Factory, name: str, weights: bytes, where: str) -> Any:
    """Return the module with its weights on the device ``where``, in eval mode."""
    module = factory()
    _load(module, name, weights)
    module.eval()
    return module.to(where)


def _import_torch(threads: int | None) -> Any:
    try:
        import torch
    except ImportError as error:
        raise BackendMissing("PyTorch cannot be imported; pip install 'inprocml[torch]'") from error
    with _configuring:
        if os.getpid() not in _configured:
            # A pool that ran in the parent is dead here, and using it hangs: one thread needs no pool.
            _configured[os.getpid()] = 1 if _configured else threads or thread_budget()
            torch.set_num_threads(_configured[os.getpid()])
    return torch


def _device(torch: Any, device: str) -> str:
    if device == "cpu":
        return "cpu"
    number = split_device(device)[1]
    if torch.cuda.is_available() and number < torch.cuda.device_count():
        return f"cuda:{number}"
    if device == "auto":
        return "cpu"
    seen = torch.cuda.device_count()
    raise BackendMissing(
        f"device={device!r} was asked for and torch sees {seen or 'no'} CUDA device{'s' * (seen > 1)}; "
        "check `nvidia-smi`, install a CUDA build of torch, or use device='cpu'"
    )


def _load(module: Any, name: str, weights: bytes) -> None:
    """Copy the weights into the module, strictly: every name, shape and dtype, and nothing besides."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise BackendMissing("safetensors cannot be imported; pip install 'inprocml[torch]'") from error
    try:
        found: Mapping[str, Any] = load(weights)
    except (SafetensorError, KeyError, ValueError) as error:
        raise Corrupt(f"weights of {name!r} are not a safetensors file; pack the bundle again") from error
    wanted: Mapping[str, Any] = module.state_dict()
    _compare(name, wanted, found)
    module.load_state_dict(found, strict=False)  # tied weights are stored once; all else was compared above


def _compare(name: str, wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    tied = {wanted[key].data_ptr() for key in wanted.keys() & found.keys()}
    faults = [f"missing {key}" for key in wanted.keys() - found.keys() if wanted[key].data_ptr() not in tied]
    faults += [f"unexpected {key}" for key in found.keys() - wanted.keys()]
    for key in wanted.keys() & found.keys():
        ours, theirs = wanted[key], found[key]
        if ours.shape != theirs.shape:
            faults.append(f"{key} has shape {tuple(theirs.shape)}, not {tuple(ours.shape)}")
        elif ours.dtype != theirs.dtype:
            faults.append(f"{key} is {theirs.dtype}, not {ours.dtype}")
    if faults:
        raise Corrupt(
            f"weights do not fit the registered module {name!r}: {'; '.join(sorted(faults))}; "
            "register the module that the bundle was packed with"
        )
