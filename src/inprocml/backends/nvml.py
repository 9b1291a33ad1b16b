"""How full and how busy a GPU is, for processes that only look: NVML makes no CUDA context.

A context costs some hundred megabytes of the device for each process that has one, so a process that serves
on the CPU, or only draws a page, must not ask CUDA.

Source: NVML API Reference, ``nvmlDeviceGetMemoryInfo``, ``nvmlDeviceGetUtilizationRates``.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Usage", "usage"]


class Usage(NamedTuple):
    """``free`` and ``whole`` in bytes; ``busy`` is the part of the last moments in which it computed.

    ``busy`` is 0 to 1, or ``None`` where the device does not say (a part of a GPU that MIG has divided).
    """

    free: int
    whole: int
    busy: float | None


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_uint64), ("free", ctypes.c_uint64), ("used", ctypes.c_uint64))


class _Rates(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def usage(
    number: int = 0, *, library: Any = None, environment: Mapping[str, str] = os.environ
) -> Usage | None:
    """Return how full and busy the GPU is that CUDA calls ``number`` here; ``None`` without driver or device.

    Takes some milliseconds: for a page or a poll, not for a request. Numbers follow ``CUDA_VISIBLE_DEVICES``;
    among GPUs of several kinds CUDA counts as NVML does only with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``.
    """
    library = library or _library()
    if library is None or library.nvmlInit_v2():
        return None
    try:
        device = _device(library, number, environment.get("CUDA_VISIBLE_DEVICES"))
        memory, rates = _Memory(), _Rates()
        if device is None or library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)):
            return None
        silent = library.nvmlDeviceGetUtilizationRates(device, ctypes.byref(rates))
        return Usage(memory.free, memory.total, None if silent else rates.gpu / 100)
    finally:
        library.nvmlShutdown()


def _device(library: Any, number: int, visible: str | None) -> Any:
    """The handle of the GPU that CUDA calls ``number``; ``None`` if there is none."""
    device = ctypes.c_void_p()
    if visible is None:
        failed = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(number), ctypes.byref(device))
        return None if failed else device
    listed = [each.strip() for each in visible.split(",")]
    if number >= len(listed) or not listed[number]:
        return None
    name = listed[number]
    if name.isdecimal():
        failed = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(device))
    else:
        failed = library.nvmlDeviceGetHandleByUUID(ctypes.c_char_p(name.encode()), ctypes.byref(device))
    return None if failed else device


def _library() -> Any:
    try:
        return ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None
