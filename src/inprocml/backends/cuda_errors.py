"""What CUDA's errors mean for the work that comes after them.

The driver and the runtime share these numbers. A sticky error breaks the process's context: every later
call returns it again. What is not listed is taken as ordinary and then probed: ``Staged`` waits for the
device, and where that fails too the device is lost.

Source: CUDA Runtime API 13, ``cudaError_t``: "The process must be terminated and relaunched".
"""

from __future__ import annotations

from typing import Final

from inprocml.backends.accelerator import Trouble

__all__ = ["by_code", "by_text"]

_MEMORY: Final = frozenset({2})
_RECORDING: Final = frozenset(
    {
        900,  # not permitted while a stream is capturing; of one thread it stops others (TensorRT#2888)
        906,  # the same, by way of the legacy stream
    }
)
_STICKY: Final = frozenset(
    {
        4,  # deinitialized
        46,  # device unavailable
        214,  # uncorrectable ECC error
        226,  # uncontained memory error
        700,  # illegal address
        702,  # launch timeout
        709,  # context is destroyed
        710,  # assert
        714,  # hardware stack error
        715,  # illegal instruction
        716,  # misaligned address
        717,  # invalid address space
        718,  # invalid program counter
        719,  # launch failure
    }
)

_RECORDING_WORDS: Final = "not permitted when stream is capturing"
_MEMORY_WORDS: Final = (
    "out of memory",
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "failed to allocate memory",  # ONNX Runtime's arena
    "bad_alloc",
)
_STICKY_WORDS: Final = (
    "illegal memory access",
    "device-side assert",
    "unspecified launch failure",
    "launch timed out",
    "illegal instruction",
    "misaligned address",
    "hardware stack error",
    "invalid program counter",
    "uncorrectable ecc",
    "device is busy or unavailable",
    "context is destroyed",
)


def by_code(code: int) -> Trouble:
    """Sort a ``cudaError_t`` or ``CUresult``."""
    if code in _MEMORY:
        return Trouble.MEMORY
    if code in _RECORDING:
        return Trouble.RECORDING
    return Trouble.STICKY if code in _STICKY else Trouble.ORDINARY


def by_text(text: str) -> Trouble:
    """Sort an error of which only the words came through."""
    words = text.lower()
    if any(word in words for word in _STICKY_WORDS):
        return Trouble.STICKY
    if _RECORDING_WORDS in words:
        return Trouble.RECORDING
    return Trouble.MEMORY if any(word in words for word in _MEMORY_WORDS) else Trouble.ORDINARY
