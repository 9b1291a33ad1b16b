"""Two batches on the way through a device: the next is gathered and copied in while one computes.

Three streams, ordered by events alone: in, compute, out. A batch has a slot of its own for as long as it is
in flight, so that the streams of two batches never touch the same bytes; the model's own memory is touched
on the compute stream only. Everything about this that can be wrong is tested on
``testing.SimulatedDevice``.

Source: CUDA C++ Best Practices Guide, "Asynchronous and Overlapping Transfers with Computation".
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from numpy.typing import NDArray

from inprocml.backends.accelerator import Accelerator, Graph, Span, Trouble
from inprocml.backends.flight import StagedFlight, chunks
from inprocml.backends.slots import Layout, Slot, form_of, gather, layout_of
from inprocml.backends.warmup import largest_that_fits, record
from inprocml.errors import BackendFailed, DeviceLost
from inprocml.protocols import Clock, Flight
from inprocml.values import Tensors

__all__ = ["Staged"]

_log = logging.getLogger(__name__)

_REGROW_SECONDS: Final = 600.0

# ONNX Runtime records graphs in the mode in which another thread's allocation fails (onnxruntime#18806):
# while one of this process's models is recorded, none of them is launched.
_locks: dict[int, threading.Lock] = {}


class Staged:
    """A backend on an accelerator that holds ``depth`` batches at once.

    Fulfils ``protocols.Backend`` and ``protocols.Pipelined``. ``sizes`` are the batch sizes to fill up to,
    ascending, () for any; ``prepare`` finds them and records the model for each. Out of memory, a batch is
    cut into halves until they fit, and ``sizes`` ends below what did not; every ten minutes by ``clock`` it
    grows by one again. A batch whose rows fail even alone raises ``BackendFailed``. A broken device raises
    ``DeviceLost`` from then on, and ``healthy`` is false. Callers leave their arrays alone until ``wait``
    has returned.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        *,
        sizes: Sequence[int] = (),
        depth: int = 2,
        clock: Clock = time.monotonic,
    ) -> None:
        self._accelerator = accelerator
        self._depth = depth
        self._clock = clock
        self._prepared = tuple(sorted(sizes))
        self._limit: int | None = None  # rows that fit, when memory has run short
        self._short_of = 0  # rows that did not
        self._shrunk_at = 0.0
        self._lost: str | None = None
        self._closed = False
        self._batches = 0
        self._streams = {name: accelerator.stream(name) for name in ("in", "compute", "out")}
        self.slots = tuple(Slot(accelerator) for _ in range(depth))
        self._free = deque(self.slots)
        self._graphs: dict[tuple[Layout, int], Graph] = {}

    @property
    def name(self) -> str:
        """The runtime's name."""
        return self._accelerator.name

    @property
    def device(self) -> str:
        """Where it runs."""
        return self._accelerator.device

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the model's inputs, in its order."""
        return self._accelerator.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs, in its order."""
        return self._accelerator.outputs

    @property
    def mixes(self) -> bool:
        """Whether an operator takes one scale from a whole batch: see ``OnnxBackend``."""
        return bool(getattr(self._accelerator, "mixes", False))

    @property
    def depth(self) -> int:
        """Batches in flight at most."""
        return self._depth

    @property
    def healthy(self) -> bool:
        """Whether the device still answers in this process."""
        return self._lost is None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Batch sizes that are prepared, ascending; () for any number of rows."""
        if self._limit is None:
            return self._prepared
        return tuple(size for size in self._prepared if size <= self._limit) or _doubled(self._limit)

    @property
    def recorded(self) -> tuple[int, ...]:
        """Batch sizes for which the model is recorded as a graph, ascending."""
        return tuple(sorted({size for _, size in self._graphs}))

    def prepare(self, rows: Tensors, largest: int = 256) -> tuple[int, ...]:
        """Find the batch sizes that leave a tenth of the memory free, and record the model for each.

        ``rows`` are rows that the model can take, at least one; ``largest`` is the most to try. Runs the
        model some dozen times and is called before the first ``start``. Returns ``sizes``. Raises
        ``BackendFailed`` if not even one row fits.
        """
        self._refuse()
        self._graphs.clear()
        self._prepared, self._limit = (), None
        self._prepared = largest_that_fits(self, rows, largest)
        record(self, rows, self._prepared)
        return self._prepared

    def run(self, inputs: Tensors) -> Tensors:
        """Compute one batch of any number of rows."""
        rows = len(next(iter(inputs.values()), ()))
        return self.start([inputs], rows).wait()

    def start(self, parts: Sequence[Tensors], rows: int) -> Flight:
        """Gather the tensors of all callers and set them on their way; what fails, ``wait`` raises."""
        self._refuse()
        if rows < 1:
            raise ValueError(f"rows is {rows} and must be at least 1")
        layout = layout_of(parts[0], self.inputs)
        if not self._free:
            raise BackendFailed(
                f"{self._depth} batches are in flight; wait for the oldest, then start another"
            )
        self._regrow()
        self._batches += 1
        most = self.sizes[-1] if self.sizes else rows
        flight = StagedFlight(self, self._free.popleft(), layout, parts, rows, self._batches)
        flight.pieces.extend(chunks(0, rows, most))
        try:
            flight.error = self.attempt(flight.launch)
        except BaseException:  # a signal: nobody will wait for this flight
            flight.abandon()
            raise
        return flight

    def close(self) -> None:
        """Wait for what is in flight, then free the model. What was started may still be waited for."""
        if self._closed:
            return
        self._closed = True
        self.settle()
        self._graphs.clear()
        self._accelerator.close()

    # -- for flights and the warm-up, which run the same way

    @property
    def accelerator(self) -> Accelerator:
        """The device and its model."""
        return self._accelerator

    def attempt(self, step: Callable[[], object]) -> Exception | None:
        """Return what ``step`` raised, without what its frames hold: they would keep the device's memory."""
        try:
            step()
        except Exception as error:  # noqa: BLE001  sorted by the caller, outside of this block
            traceback.clear_frames(error.__traceback__)
            return error
        return None

    def launch(self, slot: Slot, layout: Layout, parts: Sequence[Tensors], low: int, high: int) -> int:
        """Enqueue rows ``low`` to ``high`` of a batch; returns the size that they are filled up to."""
        size = self.fitting(high - low)
        with _launching():
            spans, views = slot.into.arrange(form_of(layout, size))
        gather(parts, low, high, views)
        with _launching():
            self._enqueue(slot, layout, size, spans, views)
        return size

    def record_graph(self, slot: Slot, layout: Layout, size: int, static: dict[str, Span]) -> bool:
        """Record the model for ``size`` rows in ``static``, now those of ``slot``; False: it cannot be."""
        device, stream = self._accelerator, self._streams["compute"]
        with _launching():
            spans, _ = slot.into.arrange(form_of(layout, size))
            for name, span in static.items():
                device.copy(stream, span, spans[name])
            graph = device.capture(stream, static)
        if graph is None:
            return False
        self._graphs[layout, size] = graph
        return True

    def forget_graph(self, layout: Layout, size: int) -> None:
        """Run this size without a graph from now on."""
        self._graphs.pop((layout, size), None)

    def sort(self, error: Exception) -> Trouble:
        """Say what ``error`` means. Nothing is in flight afterwards, or the device is lost."""
        trouble = self._accelerator.trouble(error)
        if trouble is not Trouble.STICKY and self._drained() is None:
            return Trouble.ORDINARY if trouble is Trouble.RECORDING else trouble
        # Whatever was raised first: a device on which nobody can wait any more is lost.
        self._lose(error)
        return Trouble.STICKY

    def synchronise(self, slot: Slot) -> Exception | None:
        """Wait for the batch in ``slot``; returns what was raised. Nothing is lost to another's recording."""
        error = self.attempt(lambda: self._accelerator.synchronise(slot.done))
        if error is not None and self._accelerator.trouble(error) is Trouble.RECORDING:
            error = self.attempt(self.drain)
        return error

    def settle(self) -> None:
        """Let nothing be in flight any more; a device that cannot be waited for is lost."""
        error = self._drained() if self.healthy else None
        if error is not None:
            self._lose(error)

    def drain(self) -> None:
        """Wait for the device while none of this process's models is recorded: CUDA refuses it meanwhile."""
        with _launching():
            self._accelerator.drain()

    def release(self) -> None:
        """Give cached memory back to the device; not either while a model is recorded."""
        with _launching():
            self._accelerator.release()

    def block(self, size: int) -> Any:
        """Return bytes on the device; not either while a model is recorded."""
        with _launching():
            return self._accelerator.block(size)

    def lost(self) -> DeviceLost:
        """Return the error that everything raises from now on."""
        return DeviceLost(
            f"device {self.device} answers no more in this process ({self._lost}); restart the process, "
            "and look at `nvidia-smi` and the kernel's log (Xid) if it happens again"
        )

    def too_large(self) -> BackendFailed:
        """Return the error for a row that does not fit even alone."""
        return BackendFailed(
            f"one row alone does not fit into the memory of {self.device}; "
            "free some (`nvidia-smi` shows who holds it), or serve a smaller model"
        )

    def shrink(self, size: int) -> None:
        """Prepare for less than ``size`` rows from now on, and forget the graphs of what is more."""
        self._limit = max(1, max((s for s in self._prepared if s < size), default=size // 2))
        self._short_of, self._shrunk_at = max(size, self._short_of), self._clock()
        for layout, recorded in [key for key in self._graphs if key[1] > self._limit]:
            del self._graphs[layout, recorded]
        self.release()
        _log.warning(
            "device %s ran out of memory at %d rows: batches hold %d from now on",
            self.device,
            size,
            self._limit,
        )

    def give_back(self, slot: Slot) -> None:
        """Let another batch have ``slot``."""
        slot.answers = {}
        self._free.append(slot)

    def fitting(self, rows: int) -> int:
        """Return the size that ``rows`` rows are filled up to."""
        return next((size for size in self.sizes if size >= rows), rows)

    # -- inside

    def _drained(self) -> Exception | None:
        """Wait for the device; returns why that cannot be done.

        At first without the lock, under which a device that hangs would hold up all others. What is refused
        may be refused because another model is recorded: then once more, when it is not.
        """
        error = self.attempt(self._accelerator.drain)
        if error is None or self._accelerator.trouble(error) is Trouble.STICKY:
            return error
        return self.attempt(self.drain)

    def _lose(self, error: Exception) -> None:
        if self._lost is None:
            self._lost = f"{type(error).__name__}: {error}"
            _log.error("device %s is lost for this process: %s", self.device, self._lost)

    def _refuse(self) -> None:
        if self._lost is not None:
            raise self.lost()
        if self._closed:
            raise BackendFailed(f"the {self.name} backend is closed; open a new one")

    def _enqueue(
        self,
        slot: Slot,
        layout: Layout,
        size: int,
        spans: dict[str, Span],
        views: dict[str, NDArray[Any]],
    ) -> None:
        device, streams = self._accelerator, self._streams
        for name, span in spans.items():
            device.copy_in(streams["in"], span, views[name])
        device.record(streams["in"], slot.copied)
        device.wait(streams["compute"], slot.copied)
        outputs = self._computed(layout, size, spans)
        targets, slot.answers = slot.out.arrange({n: (span.shape, span.dtype) for n, span in outputs.items()})
        for (
            name,
            span,
        ) in outputs.items():  # on this stream: then the model's memory is free for the next batch
            device.copy(streams["compute"], targets[name], span)
        device.record(streams["compute"], slot.computed)
        device.wait(streams["out"], slot.computed)
        for name, span in targets.items():
            device.copy_out(streams["out"], slot.answers[name], span)
        device.record(streams["out"], slot.done)

    def _computed(self, layout: Layout, size: int, spans: dict[str, Span]) -> dict[str, Span]:
        device, stream = self._accelerator, self._streams["compute"]
        graph = self._graphs.get((layout, size))
        if graph is None:
            outputs = dict(device.compute(stream, spans))
        else:
            for name, span in graph.inputs.items():
                device.copy(stream, span, spans[name])
            device.replay(stream, graph)
            outputs = dict(graph.outputs)
        for name, span in outputs.items():
            if span.shape[:1] != (size,):
                raise BackendFailed(
                    f"the model gave output {name!r} shape {span.shape} for {size} rows; "
                    "its first axis must be the rows"
                )
        return outputs

    def _regrow(self) -> None:
        """Ten minutes after memory ran short, try one size more."""
        if self._limit is None or self._clock() - self._shrunk_at < _REGROW_SECONDS:
            return
        self._shrunk_at = self._clock()
        more = next((size for size in self._prepared if size > self._limit), 2 * self._limit)
        whole = self._prepared[-1] if self._prepared else self._short_of
        self._limit = None if more >= whole else more


def _launching() -> threading.Lock:
    """Return this process's lock: a parent's may be held for ever. Bare, no signal can leave it held."""
    return _locks.setdefault(os.getpid(), threading.Lock())


def _doubled(largest: int) -> tuple[int, ...]:
    """1, 2, 4, ... and ``largest`` itself."""
    return (*(1 << power for power in range((largest - 1).bit_length())), largest)
