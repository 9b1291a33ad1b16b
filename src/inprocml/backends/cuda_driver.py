"""The few calls of NVIDIA's driver that a runtime without streams of its own to lend needs, by ctypes.

``libcuda`` comes with the driver itself and its interface has been stable since CUDA 3.2, so nothing has to
be found, built or matched with the CUDA release that ONNX Runtime was made for: both meet in the device's
primary context. Calls that only enqueue keep the interpreter's lock, because to get it back beside busy
threads may take longer than they do; calls that wait give it up.

Source: CUDA Driver API 13, "Primary Context", "Stream", "Event" and "Memory Management".
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inprocml.errors import BackendMissing

__all__ = ["Bytes", "CudaDriver", "CudaError", "HostDriver"]

_NON_BLOCKING: Final = 0x1  # CU_STREAM_NON_BLOCKING: independent of the default stream
_SLEEPING: Final = 0x1 | 0x2  # CU_EVENT_BLOCKING_SYNC: the waiting core sleeps; CU_EVENT_DISABLE_TIMING
_PORTABLE: Final = 0x1  # CU_MEMHOSTALLOC_PORTABLE: page-locked for every context

_POINTER, _ADDRESS, _SIZE, _FLAGS = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_uint
_ARGUMENTS: Final[dict[str, tuple[Any, ...]]] = {
    "cuInit": (_FLAGS,),
    "cuDeviceGet": (_POINTER, ctypes.c_int),
    "cuDevicePrimaryCtxRetain": (_POINTER, ctypes.c_int),
    "cuCtxPushCurrent_v2": (_POINTER,),
    "cuCtxPopCurrent_v2": (_POINTER,),
    "cuCtxSynchronize": (),
    "cuStreamCreate": (_POINTER, _FLAGS),
    "cuStreamDestroy_v2": (_POINTER,),
    "cuStreamWaitEvent": (_POINTER, _POINTER, _FLAGS),
    "cuEventCreate": (_POINTER, _FLAGS),
    "cuEventDestroy_v2": (_POINTER,),
    "cuEventRecord": (_POINTER, _POINTER),
    "cuEventSynchronize": (_POINTER,),
    "cuMemAlloc_v2": (_POINTER, _SIZE),
    "cuMemFree_v2": (_ADDRESS,),
    "cuMemHostAlloc": (_POINTER, _SIZE, _FLAGS),
    "cuMemFreeHost": (_POINTER,),
    "cuMemGetInfo_v2": (_POINTER, _POINTER),
    "cuMemcpyHtoDAsync_v2": (_ADDRESS, _POINTER, _SIZE, _POINTER),
    "cuMemcpyDtoHAsync_v2": (_POINTER, _ADDRESS, _SIZE, _POINTER),
    "cuMemcpyDtoDAsync_v2": (_ADDRESS, _ADDRESS, _SIZE, _POINTER),
    "cuGetErrorName": (ctypes.c_int, _POINTER),
}


class CudaError(RuntimeError):
    """A call of the driver failed; ``code`` is its ``CUresult``."""

    def __init__(self, call: str, code: int, name: str) -> None:
        super().__init__(f"{call} failed: {name} ({code})")
        self.code = code


@dataclass(eq=False, slots=True)
class Bytes:
    """Memory of a device at ``address``; ``keep`` is what it belongs to."""

    address: int
    keep: object = None


class _Owned:
    """A handle of the driver's that is given back when nobody holds it any more."""

    __slots__ = ("_free", "handle")

    def __init__(self, handle: int, free: Callable[[int], object]) -> None:
        self.handle, self._free = handle, free

    def __del__(self) -> None:
        self._free(self.handle)


class CudaDriver:
    """Streams, events, memory and copies of device ``number``; any thread may call.

    ``quick`` and ``waiting`` are the driver's library, loaded so that calls keep and give up the
    interpreter's lock; by default this machine's. Raises ``BackendMissing`` without a driver or without
    that device.
    """

    def __init__(self, number: int = 0, *, quick: Any = None, waiting: Any = None) -> None:
        self._quick = quick or _load(ctypes.PyDLL)
        self._waiting = waiting or _load(ctypes.CDLL)
        try:
            self._check("cuInit", self._waiting.cuInit(0))
            device = ctypes.c_int()
            self._check("cuDeviceGet", self._waiting.cuDeviceGet(ctypes.byref(device), number))
            current = ctypes.c_void_p()
            call = self._waiting.cuDevicePrimaryCtxRetain  # of the whole process; never given back
            self._check("cuDevicePrimaryCtxRetain", call(ctypes.byref(current), device))
        except CudaError as error:
            raise BackendMissing(
                f"NVIDIA's driver has no device {number} to offer ({error}); check `nvidia-smi` "
                "and CUDA_VISIBLE_DEVICES, or use device='cpu'"
            ) from error
        self._primary = current

    kind = "cuda"

    def stream(self) -> _Owned:
        """Return a new stream."""
        handle = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(handle), _NON_BLOCKING)
        return _Owned(handle.value or 0, self._freeing("cuStreamDestroy_v2"))

    def event(self) -> _Owned:
        """Return a new event."""
        handle = ctypes.c_void_p()
        self._call("cuEventCreate", ctypes.byref(handle), _SLEEPING)
        return _Owned(handle.value or 0, self._freeing("cuEventDestroy_v2"))

    def host(self, size: int) -> NDArray[np.uint8]:
        """Return page-locked bytes, which are freed with the last view of them."""
        handle = ctypes.c_void_p()
        self._call("cuMemHostAlloc", ctypes.byref(handle), size, _PORTABLE, waits=True)
        owner = _Owned(handle.value or 0, self._freeing("cuMemFreeHost"))
        buffer: Any = (ctypes.c_uint8 * size).from_address(owner.handle)
        buffer.owner = owner
        return np.frombuffer(buffer, np.uint8)

    def block(self, size: int) -> Bytes:
        """Return bytes on the device."""
        handle = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(handle), size, waits=True)
        return Bytes(handle.value, _Owned(handle.value, self._freeing("cuMemFree_v2")))

    def copy_in(self, stream: _Owned, target: int, source: NDArray[np.uint8]) -> None:
        """Copy from page-locked bytes to the device's ``target``."""
        self._call("cuMemcpyHtoDAsync_v2", target, source.ctypes.data, source.nbytes, stream.handle)

    def copy_out(self, stream: _Owned, target: NDArray[np.uint8], source: int) -> None:
        """Copy from the device's ``source`` to page-locked bytes."""
        self._call("cuMemcpyDtoHAsync_v2", target.ctypes.data, source, target.nbytes, stream.handle)

    def copy(self, stream: _Owned, target: int, source: int, size: int) -> None:
        """Copy within the device."""
        self._call("cuMemcpyDtoDAsync_v2", target, source, size, stream.handle)

    def record(self, stream: _Owned, event: _Owned) -> None:
        """Let ``event`` come when all that ``stream`` holds is done."""
        self._call("cuEventRecord", event.handle, stream.handle)

    def wait(self, stream: _Owned, event: _Owned) -> None:
        """Let what follows on ``stream`` begin after ``event``."""
        self._call("cuStreamWaitEvent", stream.handle, event.handle, 0)

    def synchronise(self, event: _Owned) -> None:
        """Wait for ``event``."""
        self._call("cuEventSynchronize", event.handle, waits=True)

    def drain(self) -> None:
        """Wait for all that the device does for this process."""
        self._call("cuCtxSynchronize", waits=True)

    def memory(self) -> tuple[int, int]:
        """Return bytes free and bytes in all."""
        free, whole = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(whole), waits=True)
        return free.value, whole.value

    def _call(self, name: str, *arguments: Any, waits: bool = False) -> None:
        """Call with this device current, and leave the thread as it was: it may be the host's."""
        library = self._waiting if waits else self._quick
        self._check("cuCtxPushCurrent", self._quick.cuCtxPushCurrent_v2(self._primary))
        try:
            code = getattr(library, name)(*arguments)
        finally:
            self._quick.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        self._check(name, code)

    def _check(self, name: str, code: int) -> None:
        if code:
            told = ctypes.c_char_p()
            self._quick.cuGetErrorName(code, ctypes.byref(told))
            raise CudaError(name, code, (told.value or b"unknown").decode())

    def _freeing(self, name: str) -> Callable[[int], object]:
        """Return what gives a handle back. It raises nothing: a device that is lost has nothing to free."""
        quick, waiting, primary, pid = self._quick, self._waiting, self._primary, os.getpid()

        def free(handle: int) -> None:
            if os.getpid() == pid and not quick.cuCtxPushCurrent_v2(primary):  # else the device is lost
                getattr(waiting, name)(handle)
                quick.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

        return free


class HostDriver:
    """The same in the host's own memory: what a runtime does with addresses can be tested anywhere."""

    kind = "cpu"

    def stream(self) -> None:
        """Nothing: everything is done at once."""

    event = stream

    def host(self, size: int) -> NDArray[np.uint8]:
        """Return bytes."""
        return np.empty(size, np.uint8)

    def block(self, size: int) -> Bytes:
        """Return bytes."""
        array = np.empty(size, np.uint8)
        return Bytes(array.ctypes.data, array)

    def copy_in(self, _stream: object, target: int, source: NDArray[np.uint8]) -> None:
        """Copy now."""
        ctypes.memmove(target, source.ctypes.data, source.nbytes)

    def copy_out(self, _stream: object, target: NDArray[np.uint8], source: int) -> None:
        """Copy now."""
        ctypes.memmove(target.ctypes.data, source, target.nbytes)

    def copy(self, _stream: object, target: int, source: int, size: int) -> None:
        """Copy now."""
        ctypes.memmove(target, source, size)

    def record(self, _stream: object, _event: object) -> None:
        """Nothing is on its way."""

    wait = record

    def synchronise(self, _event: object) -> None:
        """Nothing is on its way."""

    def drain(self) -> None:
        """Nothing is on its way."""

    def memory(self) -> tuple[int, int]:
        """As if there were no end of it."""
        return 1, 1


def _load(how: Callable[[str], Any]) -> Any:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        library = how(name)
    except OSError as error:
        raise BackendMissing(
            f"NVIDIA's driver is not on this machine ({name} cannot be loaded); "
            "install it and check `nvidia-smi`, or use device='cpu'"
        ) from error
    for call, arguments in _ARGUMENTS.items():
        getattr(library, call).argtypes = arguments
        getattr(library, call).restype = ctypes.c_int
    return library
