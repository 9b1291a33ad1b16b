"""One device with one model on it, as operations that return before they are done.

What a GPU runtime must offer so that ``Staged`` can keep two batches on the way: memory on both sides,
streams (operations of one run one after the other, those of two at once), events that order streams, copies,
the model, and the model recorded once per batch size and replayed. ``testing.SimulatedDevice`` is one in
virtual time, on which the order of things is tested; ``torch_cuda`` and ``onnx_cuda`` are the real ones.

Source: CUDA C++ Programming Guide, "Asynchronous Concurrent Execution" and "CUDA Graphs".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Accelerator", "Form", "Graph", "Span", "Trouble", "size_of"]

Form: TypeAlias = Mapping[str, tuple[tuple[int, ...], "np.dtype[Any]"]]
"""Name -> shape and dtype of tensors that lie side by side."""


class Trouble(Enum):
    """What an error of a device means for the work that comes after it."""

    ORDINARY = "ordinary"  # this run failed; the next may succeed
    RECORDING = "recording"  # refused while another model is recorded; nothing has failed
    MEMORY = "memory"  # less at once may succeed
    STICKY = "sticky"  # nothing will succeed in this process: CUDA's context is broken


@dataclass(frozen=True, slots=True)
class Span:
    """A tensor on the device: ``shape`` of ``dtype`` from byte ``offset`` of ``block`` on, contiguous."""

    block: Any
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes."""
        return size_of(self.shape, self.dtype)


@dataclass(frozen=True, slots=True)
class Graph:
    """The model recorded for one batch size: it reads ``inputs`` and writes ``outputs``, always there.

    ``handle`` is the accelerator's own. Graphs of one accelerator share their intermediate memory, so they
    are replayed on one stream.
    """

    inputs: Mapping[str, Span]
    outputs: Mapping[str, Span]
    handle: Any


class Accelerator(Protocol):
    """A device and the model on it; one thread at a time, but not always the same.

    Streams, events and blocks are what the accelerator makes of them; they are freed when they are dropped.
    ``copy_in``, ``copy``, ``copy_out``, ``compute`` and ``replay`` only enqueue. Any call may raise, and
    ``trouble`` sorts what was raised; an error of work enqueued earlier may surface in any later call.
    """

    @property
    def name(self) -> str: ...  # "torch", "onnx"

    @property
    def device(self) -> str: ...  # "cuda:0"

    @property
    def inputs(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    def stream(self, name: str) -> Any: ...  # the name is for traces; the stream "compute" runs the model

    def event(self) -> Any: ...

    def host(self, size: int) -> NDArray[np.uint8]: ...  # page-locked, so that copies need no staging

    def block(self, size: int) -> Any: ...  # bytes on the device

    def copy_in(self, stream: Any, target: Span, source: NDArray[Any]) -> None: ...

    def copy(self, stream: Any, target: Span, source: Span) -> None: ...

    def copy_out(self, stream: Any, target: NDArray[Any], source: Span) -> None: ...

    def record(self, stream: Any, event: Any) -> None: ...  # the event comes when all so far enqueued is done

    def wait(self, stream: Any, event: Any) -> None: ...  # what follows on the stream begins after the event

    def compute(self, stream: Any, inputs: Mapping[str, Span]) -> Mapping[str, Span]: ...

    def capture(self, stream: Any, inputs: Mapping[str, Span]) -> Graph | None: ...  # None: not recordable

    def replay(self, stream: Any, graph: Graph) -> None: ...

    def synchronise(self, event: Any) -> None: ...  # blocks, without the interpreter's lock

    def drain(self) -> None: ...  # synchronise with all there is; raises if the device is lost

    def memory(self) -> tuple[int, int]: ...  # bytes free and bytes in all; what is cached counts as used

    def release(self) -> None: ...  # give cached memory back to the device

    def trouble(self, error: BaseException) -> Trouble: ...

    def mark(self, batch: int) -> None: ...  # what follows belongs to this batch: for traces

    def close(self) -> None: ...  # free the model; may be called twice


def size_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return the bytes of a contiguous tensor."""
    size = int(dtype.itemsize)
    for side in shape:
        size *= side
    return size
