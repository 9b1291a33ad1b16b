"""Runtimes, one per file; the table of their names is closed, so no file can name an import.

Importing this package imports no runtime; opening a backend imports its own.
"""

from __future__ import annotations

from pathlib import Path

from inprocml.backends.checks import PRECISIONS, check_device, check_precision, check_threads
from inprocml.backends.onnx_providers import cache_folder
from inprocml.backends.precision import Variant
from inprocml.backends.precision import choose as choose_precision
from inprocml.backends.threads import thread_budget
from inprocml.errors import Unsupported
from inprocml.protocols import Backend

__all__ = [
    "PRECISIONS",
    "Variant",
    "cache_folder",
    "check_device",
    "check_precision",
    "check_threads",
    "choose_precision",
    "open_backend",
    "thread_budget",
]


def open_backend(
    runtime: str,
    model: bytes,
    *,
    device: str = "cpu",
    threads: int | None = None,
    allow_loops: bool = False,
    module: str | None = None,
    input_name: str = "features",
    output_name: str = "output",
    precision: str = "fp32",
    channels_last: bool = False,
    cache: Path | None = None,
) -> Backend:
    """Open ``model`` (an ONNX file's bytes; for torch, a safetensors file's) in the runtime of that name.

    ``module`` (the registered name), ``input_name`` and ``output_name`` matter to torch alone: an ONNX
    model names its own. ``allow_loops`` lets an ONNX model hold ``Loop``, ``Scan`` and ``If``, which may
    run for ever: the host's word, never the bundle's. On a GPU the backend is a ``Staged``, to be prepared
    before it serves; ``precision`` and ``channels_last`` say how it computes there, which
    ``precision.choose`` holds against "fp32", and ``cache`` a folder for what TensorRT builds. Raises
    ``Unsupported`` for an unknown runtime, and what the backend raises.
    """
    check_device(device)
    check_threads(threads)
    check_precision(precision)
    if runtime == "onnx":
        from inprocml.backends.onnx_cuda import open_onnx
        from inprocml.backends.onnx_providers import Wish

        wish = Wish(device, precision, cache=cache)
        return open_onnx(model, wish=wish, threads=threads, allow_loops=allow_loops)
    if runtime == "torch":
        from inprocml.backends.torch import open_torch

        if module is None:
            raise ValueError("runtime 'torch' needs module=, the name under which the host registered it")
        if device.startswith("tensorrt"):
            raise ValueError("runtime 'torch' runs on cpu or cuda; use runtime 'onnx' for tensorrt")
        names = {"input_name": input_name, "output_name": output_name}
        return open_torch(
            module,
            model,
            device=device,
            threads=threads,
            precision=precision,
            channels_last=channels_last,
            **names,
        )
    if runtime == "numpy":
        from inprocml.backends.numpy import NumpyBackend

        if device not in {"cpu", "auto"}:
            raise ValueError(f"runtime 'numpy' runs on the cpu, not on {device}")
        return NumpyBackend(model, allow_loops=allow_loops)
    raise Unsupported(f"runtime {runtime!r} is unknown to this release; it knows onnx, torch, numpy")
