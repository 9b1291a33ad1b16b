"""A torch module on a CUDA device as an ``Accelerator``: streams, events, page-locked memory, CUDA graphs.

As thin as can be: what must be in which order is decided in ``staged``, and tested there. On a CPU tensor the
same code runs with streams and events that do nothing, which is what machines without a GPU can check of it;
``tests/backends/test_gpu.py`` checks the rest where there is one.

Sources: torch 2.13, ``torch/cuda/streams.py`` and ``graphs.py``; PyTorch notes, "CUDA semantics" (streams,
the caching allocator, graphs); CUDA Runtime API, ``cudaError_t``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inprocml.backends.accelerator import Graph, Span, Trouble
from inprocml.backends.cuda_errors import by_code, by_text
from inprocml.errors import BackendFailed

__all__ = ["TorchAccelerator"]

_AUTOCAST: Final = {"bf16": "bfloat16", "fp16": "float16"}


class TorchAccelerator:
    """A module in eval mode on ``device`` that takes one tensor per input and returns one per output.

    ``precision``: "fp32" multiplies in full (TF32 off), "tf32" with ten bits of mantissa, "bf16" and "fp16"
    under autocast. The switch for TF32 is global to the process, so it is turned for as long as the launch
    takes and back again; a recorded run keeps what it was recorded with. ``channels_last`` lays pictures out
    as convolutions on tensor cores want them. ``precision.choose`` measures what either costs.
    """

    name = "torch"

    def __init__(
        self,
        torch: Any,
        module: Any,
        device: str,
        *,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        precision: str = "fp32",
        channels_last: bool = False,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._torch = torch
        self._cuda = device.startswith("cuda")
        self._where = torch.device(device)
        self._precision, self._channels_last = precision, channels_last
        self._module: Any = module.to(memory_format=torch.channels_last) if channels_last else module
        self._pool: Any = None
        if self._cuda:
            # Weights are copied on the default stream, and the streams here do not wait for that one.
            torch.cuda.synchronize(self._where)

    @property
    def device(self) -> str:
        """Where the module is."""
        return str(self._where)

    def stream(self, name: str) -> Any:  # noqa: ARG002  for those that keep a trace
        """Return a stream of the device's; ``None`` on the CPU."""
        return self._torch.cuda.Stream(device=self._where) if self._cuda else None

    def event(self) -> Any:
        """Return an event whose wait lets the core sleep; ``None`` on the CPU."""
        # cudaEventBlockingSync: without it the waiting core spins
        return self._torch.cuda.Event(blocking=True) if self._cuda else None

    def host(self, size: int) -> NDArray[np.uint8]:
        """Return page-locked bytes; the array keeps the tensor they belong to."""
        # pages are locked through the current device, which would get a context of its own
        with self._torch.cuda.device(self._where) if self._cuda else contextlib.nullcontext():
            tensor = self._torch.empty(size, dtype=self._torch.uint8, pin_memory=self._cuda)
        array: NDArray[np.uint8] = tensor.numpy()
        return array

    def block(self, size: int) -> Any:
        """Return bytes on the device, which nothing of the host's own torch code still uses."""
        block = self._torch.empty(size, dtype=self._torch.uint8, device=self._where)
        if self._cuda:
            # The allocator orders memory by the stream that asks for it, and that is not one of ours.
            self._torch.cuda.current_stream(self._where).synchronize()
        return block

    def copy_in(self, stream: Any, target: Span, source: NDArray[Any]) -> None:
        """Copy page-locked bytes to the device."""
        given = self._torch.from_numpy(source.reshape(-1).view(np.uint8))
        with self._on(stream):
            _bytes(target).copy_(given, non_blocking=True)

    def copy(self, stream: Any, target: Span, source: Span) -> None:
        """Copy within the device."""
        with self._on(stream):
            _bytes(target).copy_(_bytes(source), non_blocking=True)

    def copy_out(self, stream: Any, target: NDArray[Any], source: Span) -> None:
        """Copy to page-locked bytes."""
        taken = self._torch.from_numpy(target.reshape(-1).view(np.uint8))
        with self._on(stream):
            taken.copy_(_bytes(source), non_blocking=True)

    def record(self, stream: Any, event: Any) -> None:
        """Let ``event`` come when all that ``stream`` holds is done."""
        if self._cuda:
            event.record(stream)

    def wait(self, stream: Any, event: Any) -> None:
        """Let what follows on ``stream`` begin after ``event``."""
        if self._cuda:
            stream.wait_event(event)

    def compute(self, stream: Any, inputs: Mapping[str, Span]) -> Mapping[str, Span]:
        """Run the module; its outputs may be dropped once what reads them is enqueued on ``stream``."""
        # The caching allocator hands memory that was taken under a stream only to that stream again.
        with self._on(stream):
            return self._spans(self._forward(inputs))

    def capture(self, stream: Any, inputs: Mapping[str, Span]) -> Graph | None:
        """Record the module; ``None`` on the CPU, and where the module does what cannot be recorded."""
        if not self._cuda:
            return None
        torch = self._torch
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        recorded = torch.cuda.CUDAGraph()
        # thread_local: recording must not make the allocations of the host's other threads fail
        recording = torch.cuda.graph(
            recorded, pool=self._pool, stream=stream, capture_error_mode="thread_local"
        )
        with torch.cuda.device(self._where), recording:
            outputs = self._spans(self._forward(inputs))
        return Graph(dict(inputs), outputs, recorded)

    def replay(self, stream: Any, graph: Graph) -> None:
        """Run what was recorded."""
        with self._on(stream):
            graph.handle.replay()

    def synchronise(self, event: Any) -> None:
        """Wait for ``event``; torch gives the interpreter's lock back meanwhile."""
        if self._cuda:
            event.synchronize()

    def drain(self) -> None:
        """Wait for all that the device does for this process."""
        if self._cuda:
            self._torch.cuda.synchronize(self._where)

    def memory(self) -> tuple[int, int]:
        """Return bytes free and bytes in all; on the CPU as if there were no end of it."""
        if not self._cuda:
            return 1, 1
        free, whole = self._torch.cuda.mem_get_info(self._where)
        return int(free), int(whole)

    def release(self) -> None:
        """Give the caching allocator's free memory back to the device."""
        if self._cuda:
            with self._torch.cuda.device(self._where):
                self._torch.cuda.empty_cache()

    def trouble(self, error: BaseException) -> Trouble:
        """Sort what torch raised: by type, by CUDA's number where it comes along, by its words."""
        if isinstance(error, self._torch.OutOfMemoryError):
            return Trouble.MEMORY
        code = getattr(error, "error_code", None)
        if isinstance(code, int):
            return by_code(code)
        return by_text(str(error)) if isinstance(error, RuntimeError) else Trouble.ORDINARY

    def mark(self, batch: int) -> None:
        """Nothing: this device keeps no trace of its own."""

    def close(self) -> None:
        """Free the module."""
        self._module = None
        self._pool = None

    # -- inside

    def _on(self, stream: Any) -> Any:
        return self._torch.cuda.stream(stream) if self._cuda else contextlib.nullcontext()

    def _forward(self, inputs: Mapping[str, Span]) -> list[Any]:
        torch, module = self._torch, self._module
        if module is None:
            raise BackendFailed("the torch backend is closed; open a new one")
        tensors = [self._tensor(inputs[name]) for name in self.inputs]
        with torch.inference_mode(), self._precise():
            answers = module(*tensors)
        given = [answers] if len(self.outputs) == 1 else list(answers)
        for answer in given:
            if not isinstance(answer, torch.Tensor):
                raise BackendFailed(
                    f"the torch module returned {type(answer).__name__}, not one tensor per output "
                    f"({', '.join(self.outputs)}); wrap it in a module that returns the tensors to serve"
                )
        with torch.inference_mode():
            # numpy has no bfloat16, and callers get what the module gives at full precision
            halves = {torch.bfloat16} if self._precision == "fp32" else {torch.bfloat16, torch.float16}
            return [answer.float() if answer.dtype in halves else answer for answer in given]

    def _tensor(self, span: Span) -> Any:
        kind = getattr(self._torch, span.dtype.name)  # both call them float32, int64, bool
        tensor = _bytes(span).view(kind).reshape(span.shape)
        if self._channels_last and tensor.dim() == 4:
            return tensor.contiguous(memory_format=self._torch.channels_last)
        return tensor

    def _spans(self, answers: list[Any]) -> dict[str, Span]:
        if len(answers) != len(self.outputs):
            raise BackendFailed(
                f"the torch module returned {len(answers)} tensors; "
                f"{len(self.outputs)} are named ({', '.join(self.outputs)})"
            )
        spans = {}
        for name, answer in zip(self.outputs, answers, strict=True):
            flat = answer.contiguous().reshape(-1)
            dtype = np.dtype(str(flat.dtype).rpartition(".")[2])  # "torch.float32"
            spans[name] = Span(flat.view(self._torch.uint8), 0, tuple(answer.shape), dtype)
        return spans

    @contextlib.contextmanager
    def _precise(self) -> Iterator[None]:
        if self._precision in _AUTOCAST:
            kind = getattr(self._torch, _AUTOCAST[self._precision])
            with self._torch.autocast(self._where.type, dtype=kind, cache_enabled=False):
                yield
            return
        if not self._cuda:
            yield
            return
        cudnn = self._torch.backends.cudnn
        switches = (self._torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)
        before = [switch.fp32_precision for switch in switches]
        legacy = None
        with contextlib.suppress(RuntimeError):  # the host has mixed the two ways itself
            legacy = cudnn.allow_tf32
        # The old switch too: where it says otherwise than the new ones, torch raises for who reads it, and
        # ``cudnn.flags`` in a module's forward does.
        cudnn.allow_tf32 = self._precision == "tf32"
        for switch in switches:
            switch.fp32_precision = "tf32" if self._precision == "tf32" else "ieee"
        try:
            yield
        finally:
            if legacy is not None:
                cudnn.allow_tf32 = legacy
            for switch, was in zip(switches, before, strict=True):
                switch.fp32_precision = was


def _bytes(span: Span) -> Any:
    """The bytes of a span, as a tensor of uint8."""
    return span.block[span.offset : span.offset + span.size]
