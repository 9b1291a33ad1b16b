"""An ONNX model on a CUDA device as an ``Accelerator``: bound memory, the session's stream, its graphs.

ONNX Runtime computes on the stream it is given, on inputs that lie where they were copied to, and returns
before they are computed. Page-locked memory, the other streams and the copies are the driver's. With
``HostDriver`` and a session on the CPU the same code binds addresses of the host, which is what machines
without a GPU can check of it; ``tests/backends/test_gpu.py`` checks the rest where there is one.

Sources: ONNX Runtime, "CUDA Execution Provider" (``user_compute_stream``, "Using CUDA Graphs"); issues
18806 and 28539, pull requests 19636 (several graphs in a session) and 28686 (a replay that does not wait,
from 1.28 on; before it only the overlap is lost).
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from inprocml.backends.accelerator import Graph, Span, Trouble, size_of
from inprocml.backends.checks import split_device
from inprocml.backends.cuda_driver import Bytes, CudaDriver, CudaError
from inprocml.backends.cuda_errors import by_code, by_text
from inprocml.backends.onnx import OnnxBackend, import_runtime
from inprocml.backends.onnx_providers import CUDA, Wish
from inprocml.backends.staged import Staged
from inprocml.errors import BackendError, BackendFailed, BackendMissing, BundleError, Unsupported
from inprocml.protocols import Backend

__all__ = ["Driver", "OnnxAccelerator", "open_onnx"]

_KINDS: Final = {
    "float": "float32",
    "double": "float64",
    **{kind: kind for kind in ("float16", "bool")},
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
_NO_GRAPH: Final = "-1"
_FAILURE: Final = re.compile(r"CUDA failure (\d+)")


def open_onnx(model: bytes, *, wish: Wish, threads: int | None = None, allow_loops: bool = False) -> Backend:
    """Open an ONNX model: on an NVIDIA GPU as ``Staged``, two batches in flight, else as ``OnnxBackend``.

    Where the driver cannot be reached past ONNX Runtime, and for TensorRT, the plain session serves. Raises
    what ``OnnxBackend`` does.
    """
    if wish.precision in {"bf16", "fp16"} and not wish.device.startswith("tensorrt"):
        raise Unsupported(
            f"ONNX Runtime computes a model on {wish.device} in the precision that is written in it; "
            f"precision {wish.precision!r} needs device='tensorrt', or the runtime torch"
        )
    open_plain = partial(OnnxBackend, model, threads=threads, allow_loops=allow_loops)
    kind, number = split_device(wish.device)
    if kind not in {"cuda", "auto"}:
        return open_plain(wish=wish)
    runtime = import_runtime()
    if CUDA not in runtime.get_available_providers():
        return open_plain(wish=wish)
    try:
        driver = CudaDriver(number)
        stream = driver.stream()
    except (BackendMissing, CudaError):
        return open_plain(wish=wish)  # says what is missing, if something is
    wish = replace(wish, stream=stream.handle)
    backend: OnnxBackend | None = None
    with contextlib.suppress(BackendError, BundleError):  # not all of it runs on the GPU, or it has branches
        backend = open_plain(wish=replace(wish, graphs=True))
    graphs = backend is not None
    backend = backend or open_plain(wish=wish)
    if not backend.device.startswith("cuda"):
        return backend
    return Staged(OnnxAccelerator(runtime, backend, driver, stream, number=number, graphs=graphs))


class Driver(Protocol):
    """Memory and streams of one device; see ``cuda_driver``."""

    kind: str

    def stream(self) -> Any: ...

    def event(self) -> Any: ...

    def host(self, size: int) -> NDArray[np.uint8]: ...

    def block(self, size: int) -> Bytes: ...

    def copy_in(self, stream: Any, target: int, source: NDArray[np.uint8], /) -> None: ...

    def copy_out(self, stream: Any, target: NDArray[np.uint8], source: int, /) -> None: ...

    def copy(self, stream: Any, target: int, source: int, size: int, /) -> None: ...

    def record(self, stream: Any, event: Any, /) -> None: ...

    def wait(self, stream: Any, event: Any, /) -> None: ...

    def synchronise(self, event: Any, /) -> None: ...

    def drain(self) -> None: ...

    def memory(self) -> tuple[int, int]: ...


class OnnxAccelerator:
    """The session of ``backend``, which computes on ``stream`` of device ``number``.

    ``graphs``: the session was made with ``enable_cuda_graph``. ``runtime`` is the module onnxruntime.
    """

    name = "onnx"

    def __init__(
        self,
        runtime: Any,
        backend: Any,
        driver: Driver,
        stream: Any,
        *,
        number: int = 0,
        graphs: bool = False,
    ) -> None:
        self.device: str = backend.device
        self.inputs: tuple[str, ...] = backend.inputs
        self.outputs: tuple[str, ...] = backend.outputs
        self.mixes: bool = getattr(backend, "mixes", False)
        self._runtime, self._backend, self._driver = runtime, backend, driver
        self._stream, self._number, self._graphs = stream, number, graphs
        self._recorded = itertools.count(1)
        self._shrinking = self._any_recorded = False
        self._plain = self._options()
        # ONNX Runtime keeps what it recorded by thread: one thread runs all, or each would record again.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inprocml-graphs") if graphs else None

    def stream(self, name: str) -> Any:
        """Return the session's stream for "compute", else a new one."""
        return self._stream if name == "compute" else self._driver.stream()

    def event(self) -> Any:
        """Return an event."""
        return self._driver.event()

    def host(self, size: int) -> NDArray[np.uint8]:
        """Return page-locked bytes."""
        return self._driver.host(size)

    def block(self, size: int) -> Bytes:
        """Return bytes on the device."""
        return self._driver.block(size)

    def copy_in(self, stream: Any, target: Span, source: NDArray[Any]) -> None:
        """Copy page-locked bytes to the device."""
        self._driver.copy_in(stream, _address(target), source.reshape(-1).view(np.uint8))

    def copy(self, stream: Any, target: Span, source: Span) -> None:
        """Copy within the device."""
        self._driver.copy(stream, _address(target), _address(source), target.size)

    def copy_out(self, stream: Any, target: NDArray[Any], source: Span) -> None:
        """Copy to page-locked bytes."""
        self._driver.copy_out(stream, target.reshape(-1).view(np.uint8), _address(source))

    def record(self, stream: Any, event: Any) -> None:
        """Let ``event`` come when all that ``stream`` holds is done."""
        self._driver.record(stream, event)

    def wait(self, stream: Any, event: Any) -> None:
        """Let what follows on ``stream`` begin after ``event``."""
        self._driver.wait(stream, event)

    def compute(self, stream: Any, inputs: Mapping[str, Span]) -> Mapping[str, Span]:  # noqa: ARG002
        """Run the session; its outputs lie in its own memory, which the next run may use again."""
        binding = self._bound(inputs)
        for name in self.outputs:
            binding.bind_output(name, self._driver.kind, self._number)
        options = self._options(shrink=True) if self._shrinking else self._plain
        self._shrinking = False
        self._run(binding, options)
        values = zip(self.outputs, binding.get_outputs(), strict=True)
        return {
            name: Span(
                Bytes(value.data_ptr(), value), 0, tuple(value.shape()), _dtype(name, value.data_type())
            )
            for name, value in values
        }

    def capture(self, stream: Any, inputs: Mapping[str, Span]) -> Graph | None:
        """Record the session for memory that stays: its inputs', and its outputs', which are made here."""
        if not self._graphs:
            return None
        outputs = {}
        for name, span in self.compute(stream, inputs).items():  # tells what the outputs look like
            block = self._driver.block(max(1, size_of(span.shape, span.dtype)))
            outputs[name] = Span(block, 0, span.shape, span.dtype)
        binding = self._bound(inputs)
        for name, span in outputs.items():
            binding.bind_output(
                name, self._driver.kind, self._number, span.dtype.type, list(span.shape), _address(span)
            )
        number = str(next(self._recorded))
        self._any_recorded = True
        # Runs it as often as it needs to be recorded, and waits.
        self._run(binding, self._options(graph=number, waits=True))
        return Graph(dict(inputs), outputs, (binding, self._options(graph=number)))

    def replay(self, stream: Any, graph: Graph) -> None:  # noqa: ARG002
        """Run what was recorded."""
        self._run(*graph.handle)

    def synchronise(self, event: Any) -> None:
        """Wait for ``event``."""
        self._driver.synchronise(event)

    def drain(self) -> None:
        """Wait for all that the device does for this process."""
        self._driver.drain()

    def memory(self) -> tuple[int, int]:
        """Return bytes free and bytes in all."""
        return self._driver.memory()

    def release(self) -> None:
        """Let the next run give back what it does not need.

        Not once something is recorded: recorded runs use memory that the session takes for free.
        """
        self._shrinking = self._driver.kind == "cuda" and not self._any_recorded

    def trouble(self, error: BaseException) -> Trouble:
        """Sort what the driver or ONNX Runtime raised."""
        if isinstance(error, CudaError):
            return by_code(error.code)
        if isinstance(error, BackendFailed):
            return Trouble.ORDINARY
        told = _FAILURE.search(str(error))
        sorted_by_number = by_code(int(told[1])) if told else Trouble.ORDINARY
        return by_text(str(error)) if sorted_by_number is Trouble.ORDINARY else sorted_by_number

    def mark(self, batch: int) -> None:
        """Nothing: this device keeps no trace of its own."""

    def close(self) -> None:
        """Free the session."""
        if self._thread is not None:
            self._thread.shutdown()
        self._backend.close()

    # -- inside

    def _session(self) -> Any:
        session = self._backend.session
        if session is None:
            raise BackendFailed("the onnx backend is closed; open a new one")
        return session

    def _run(self, binding: Any, options: Any) -> None:
        run = self._session().run_with_iobinding
        if self._thread is None:
            run(binding, options)
        else:
            self._thread.submit(run, binding, options).result()

    def _bound(self, inputs: Mapping[str, Span]) -> Any:
        binding = self._session().io_binding()
        for name in self.inputs:
            span = inputs[name]
            binding.bind_input(
                name, self._driver.kind, self._number, span.dtype.type, list(span.shape), _address(span)
            )
        return binding

    def _options(self, *, graph: str = _NO_GRAPH, waits: bool = False, shrink: bool = False) -> Any:
        options = self._runtime.RunOptions()
        if self._graphs:
            options.add_run_config_entry("gpu_graph_id", graph)
        if self._driver.kind == "cuda" and not waits:
            options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        if shrink:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", f"gpu:{self._number}")
        return options


def _address(span: Span) -> int:
    address: int = span.block.address
    return address + span.offset


def _dtype(name: str, kind: str) -> np.dtype[Any]:
    known = _KINDS.get(kind.removeprefix("tensor(").removesuffix(")"))
    if known is None:
        raise Unsupported(
            f"output {name!r} of the ONNX model is {kind}, which numpy does not know; "
            "add a Cast to float to the model and pack it again"
        )
    return np.dtype(known)
