"""What ONNX Runtime is told about its providers: which, on which device, how exact, with which caches.

A provider that is wanted first and missing falls back to the next in silence; who asks must look.

Sources: ONNX Runtime, "CUDA Execution Provider" and "TensorRT Execution Provider", configuration options.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inprocml.backends.checks import split_device

__all__ = ["CPU", "CUDA", "TENSORRT", "Wish", "cache_folder", "first_of", "placed", "providers"]

_log = logging.getLogger(__name__)

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
TENSORRT: Final = "TensorrtExecutionProvider"

# TensorRT builds engines for minutes on first use: only on demand.
_ORDER: Final = {"cpu": (CPU,), "cuda": (CUDA, CPU), "tensorrt": (TENSORRT, CUDA, CPU), "auto": (CUDA, CPU)}
_PLACES: Final = {CPU: "cpu", CUDA: "cuda:{}", TENSORRT: "tensorrt:{}"}


@dataclass(frozen=True, slots=True)
class Wish:
    """How a session is to run: ``device`` as a host says it, ``precision`` as ``precision`` says it.

    ``stream`` is the handle of the stream to compute on (``None``: the session's own), ``graphs`` whether
    runs can be recorded, ``cache`` the folder for what TensorRT builds (``None``: nothing is kept).
    """

    device: str = "cpu"
    precision: str = "fp32"
    stream: int | None = None
    graphs: bool = False
    cache: Path | None = None


def first_of(device: str) -> str:
    """Return the provider that ``device`` demands, or would like best."""
    return _ORDER[split_device(device)[0]][0]


def placed(provider: str, device: str) -> str:
    """Return where a session with this first provider runs: "cpu", "cuda:1"."""
    return _PLACES.get(provider, provider).format(split_device(device)[1])


def providers(available: AbstractSet[str], wish: Wish) -> list[Any]:
    """Return the providers to ask for, best first, with their options."""
    kind, number = split_device(wish.device)
    return [_told(name, number, wish) for name in _ORDER[kind] if name in available]


def cache_folder(bundle: Path, digest: str) -> Path | None:
    """Make and return the folder beside ``bundle`` for what TensorRT builds of it, or ``None``.

    What lies there is code for the GPU, so it is this user's own (0700) and never named by anything in a
    bundle. ``None``, with a warning, where it cannot be made or others could write to it: engines are then
    built anew.
    """
    folder = bundle.parent / f".{bundle.name}.tensorrt-{digest.rpartition(':')[2][:16]}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        _log.warning("TensorRT's engines are not kept: %s cannot be made (%s)", folder, error.strerror)
        return None
    own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    open_to_others = os.name != "nt" and found.st_mode & 0o077
    if not stat.S_ISDIR(found.st_mode) or not own or open_to_others:
        _log.warning("TensorRT's engines are not kept: %s is open to others; remove it", folder)
        return None
    return folder


def _told(name: str, number: int, wish: Wish) -> Any:
    if name == CPU:
        return name
    options = {"device_id": str(number)}
    if wish.stream is not None:
        options["user_compute_stream"] = str(wish.stream)
    if name == TENSORRT:
        return name, {**options, **_tensorrt(wish)}
    options["use_tf32"] = "1" if wish.precision == "tf32" else "0"  # by default it is used, unchecked
    options["arena_extend_strategy"] = "kSameAsRequested"  # doubled, it would look as if batches needed it
    if wish.graphs:
        options["enable_cuda_graph"] = "1"
    return name, options


def _tensorrt(wish: Wish) -> dict[str, str]:
    options = {}
    if wish.precision in {"fp16", "bf16"}:
        options[f"trt_{wish.precision}_enable"] = "1"
    if wish.cache is not None:
        options |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(wish.cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(wish.cache),
        }
    return options
