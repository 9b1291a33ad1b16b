"""A device in virtual time: for everything about a GPU that is order, and nothing that is speed.

It computes real answers with numpy, takes the time it is told to, runs out of memory, fails and stalls on
demand, and refuses work whose order nothing ensures. A faster or a slower device would run the same
operations; whether they overlap and whether they race is decided here.
"""

from __future__ import annotations

import math
import threading
import weakref
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.backends.accelerator import Graph, Span, Trouble
from inprocml.testing.clock import ManualClock
from inprocml.testing.ordering import Access, Event, Order, Step, Stream
from inprocml.testing.storage import (
    GARBAGE,
    Block,
    SimulatedError,
    Storage,
    access,
    array_of,
    bytes_of,
    flat,
    rows_of,
)
from inprocml.testing.trace import Operation, chrome_trace
from inprocml.values import Tensors

__all__ = ["SimulatedDevice", "SimulatedError"]


class SimulatedDevice:
    """An ``Accelerator`` in virtual time, with one unit for each direction of copying and one that computes.

    ``fn`` maps named arrays (first axis: rows) to named arrays: what the model computes; by default every
    input comes back. A batch of b rows takes ``a + c * b`` seconds, a copy ``size / bandwidth``. A run
    needs ``workspace`` bytes a row besides its blocks; beyond ``memory`` bytes in all, less what ``others``
    hold (settable at any time), it is out of memory. ``clock`` stands still but for ``synchronise``, which
    moves it to the end of what was waited for. ``graphs=False``: this model cannot be recorded.

    Operations that touch the same bytes without an order, a page-locked array that is written before its
    copy has ended, memory freed under an operation: ``AssertionError``, which names both sides.
    """

    def __init__(
        self,
        fn: Callable[[Tensors], Tensors] | None = None,
        *,
        inputs: tuple[str, ...] = ("features",),
        outputs: tuple[str, ...] = ("features",),
        a: float = 1e-3,
        c: float = 1e-5,
        bandwidth: float = 25e9,
        memory: int = 1 << 30,
        workspace: int = 0,
        graphs: bool = True,
        clock: ManualClock | None = None,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.a, self.c, self.bandwidth = a, c, bandwidth
        self.workspace = workspace
        self.clock = clock or ManualClock()
        self.poison: float | None = None
        self.runs: list[int] = []
        self.closed = False
        self._fn = fn or dict
        self._graphs = graphs
        self._order = Order()
        self._batch = 0
        self._storage = Storage(memory, self._order)
        self._pool: weakref.ref[Block] | None = None  # of the graphs, and held by them
        self._unsent: dict[Step, tuple[NDArray[np.uint8], int]] = {}
        self._unread: dict[Step, tuple[NDArray[np.uint8], bytes]] = {}
        self._failures: dict[int, Exception] = {}
        self._lost_at: int | None = None
        self._stalled_at: int | None = None
        self._copies = 0
        self._resumed = threading.Event()

    @property
    def name(self) -> str:
        """What it calls itself."""
        return "simulated"

    @property
    def device(self) -> str:
        """Where it says it runs."""
        return "simulated:0"

    # -- faults, on demand

    def fail(self, run: int = 1, error: Exception | None = None) -> None:
        """Let the run that comes as number ``run`` from now raise ``error``; the next ones succeed."""
        self._failures[len(self.runs) + run] = error or SimulatedError("this run fails", Trouble.ORDINARY)

    def lose(self, run: int = 1) -> None:
        """Let the device break in run number ``run`` from now: every call after it raises a sticky error."""
        self._lost_at = len(self.runs) + run

    def stall(self, copy: int = 1) -> None:
        """Let copy in number ``copy`` from now never end, until ``resume``."""
        self._stalled_at = self._copies + copy
        self._resumed.clear()

    def resume(self) -> None:
        """End what stalls."""
        self._stalled_at = None
        self._order.resume(self.clock())
        self._resumed.set()

    @property
    def others(self) -> int:
        """Bytes that other processes hold; may be set."""
        return self._storage.others

    @others.setter
    def others(self, size: int) -> None:
        self._storage.others = size

    # -- what it did

    @property
    def trace(self) -> list[Operation]:
        """All operations, in the order in which they were enqueued."""
        return [
            Operation(step.stream.name, step.name, step.batch, step.begin, step.end)
            for step in self._order.steps
        ]

    def chrome_trace(self) -> dict[str, Any]:
        """Return the trace as JSON for Perfetto; see ``inprocml.testing.chrome_trace``."""
        return chrome_trace(self.trace, device=self.device)

    def check(self) -> None:
        """Raise ``AssertionError`` for what was freed too early; any later call would tell as well."""
        if self._order.faults:
            raise AssertionError("hazard: " + "; ".join(self._order.faults))

    # -- the accelerator

    def stream(self, name: str) -> Stream:
        """Return a new stream."""
        self._enter()
        return self._order.stream(name)

    def event(self) -> Event:
        """Return a new event."""
        self._enter()
        return Event()

    def host(self, size: int) -> NDArray[np.uint8]:
        """Return page-locked bytes of the host, which only ``host`` gives."""
        self._enter()
        return self._storage.host(size)

    def block(self, size: int) -> Any:
        """Return bytes on the device; out of memory if there are not so many."""
        self._enter()
        return self._storage.block(size, None)

    def copy_in(self, stream: Stream, target: Span, source: NDArray[Any]) -> None:
        """Copy page-locked bytes to the device; they must not change until the host knows that it is done."""
        self._enter()
        self._copies += 1
        stalls = self._copies == self._stalled_at
        given = flat(source)
        seconds = math.inf if stalls else given.size / self.bandwidth
        step = self._enqueue(
            stream, "copy_in", "in", seconds, reads=[self._storage.pinned(given)], writes=[access(target)]
        )
        self._unsent[step] = (given, zlib.crc32(given.tobytes()))
        bytes_of(target)[:] = given

    def copy(self, stream: Stream, target: Span, source: Span) -> None:
        """Copy within the device."""
        self._enter()
        seconds = target.size / (20 * self.bandwidth)
        self._enqueue(stream, "copy", "compute", seconds, reads=[access(source)], writes=[access(target)])
        bytes_of(target)[:] = bytes_of(source)

    def copy_out(self, stream: Stream, target: NDArray[Any], source: Span) -> None:
        """Copy to page-locked bytes, which hold nothing until the host knows that it is done."""
        self._enter()
        taken = flat(target)
        seconds = taken.size / self.bandwidth
        step = self._enqueue(
            stream, "copy_out", "out", seconds, reads=[access(source)], writes=[self._storage.pinned(taken)]
        )
        taken[:] = GARBAGE
        self._unread[step] = (taken, bytes_of(source).tobytes())

    def record(self, stream: Stream, event: Event) -> None:
        """Let ``event`` come when all that ``stream`` holds is done."""
        self._enter()
        self._order.record(stream, event)

    def wait(self, stream: Stream, event: Event) -> None:
        """Let what follows on ``stream`` begin after ``event``."""
        self._enter()
        self._order.wait(stream, event)

    def compute(self, stream: Stream, inputs: Mapping[str, Span]) -> Mapping[str, Span]:
        """Run the model; its outputs lie in memory that may be freed in the order of ``stream``."""
        self._enter()
        rows = self._begin_run(inputs)
        answers = self._answers(inputs)
        outputs = self._placed(answers, rows, stream)
        self._enqueue_run(stream, "compute", inputs, outputs)
        for name, span in outputs.items():
            bytes_of(span)[:] = flat(answers[name])
        return outputs

    def capture(self, stream: Stream, inputs: Mapping[str, Span]) -> Graph | None:
        """Record the model for the memory that ``inputs`` lie in; nothing is computed."""
        self._enter()
        if not self._graphs:
            return None
        rows = rows_of(inputs)
        answers = self._answers(inputs)
        pool = self._pool() if self._pool is not None else None
        if pool is None or pool.bytes.size < rows * self.workspace:
            pool = self._storage.block(rows * self.workspace, None)
            self._pool = weakref.ref(pool)
        outputs = self._placed(answers, 0, None)
        self._enqueue_run(stream, "capture", inputs, outputs, pool)
        return Graph(dict(inputs), outputs, pool)

    def replay(self, stream: Stream, graph: Graph) -> None:
        """Run the recorded model on what its inputs hold now."""
        self._enter()
        self._begin_run(graph.inputs)
        answers = self._answers(graph.inputs)
        self._enqueue_run(stream, "replay", graph.inputs, graph.outputs, graph.handle)
        for name, span in graph.outputs.items():
            bytes_of(span)[:] = flat(answers[name])

    def synchronise(self, event: Event) -> None:
        """Wait: the clock moves to when ``event`` comes. What stalls is waited for in real time."""
        while event.step is not None and event.step.end == math.inf:
            self._resumed.wait()
        self._reach(0.0 if event.step is None else event.step.end, event.ticks)
        self._alive()

    def drain(self) -> None:
        """Wait for all that is enqueued."""
        while self._order.end() == math.inf:
            self._resumed.wait()
        self._reach(self._order.end(), self._order.everything())
        self._alive()

    def memory(self) -> tuple[int, int]:
        """Return bytes free and bytes in all; what is cached is not free."""
        self._enter()
        return self._storage.free(), self._storage.limit

    def release(self) -> None:
        """Give cached memory back."""
        self._storage.cached = 0

    def trouble(self, error: BaseException) -> Trouble:
        """Sort what was raised."""
        return error.trouble if isinstance(error, SimulatedError) else Trouble.ORDINARY

    def mark(self, batch: int) -> None:
        """Let what follows belong to ``batch``."""
        self._batch = batch

    def close(self) -> None:
        """Refuse everything from now on."""
        self.closed = True

    # -- inside

    def _enter(self) -> None:
        if self.closed:
            raise SimulatedError("the simulated device is closed", Trouble.ORDINARY)
        self._alive()

    def _alive(self) -> None:
        self.check()
        if self._lost_at is not None and len(self.runs) >= self._lost_at:
            raise SimulatedError("an illegal memory access was encountered", Trouble.STICKY)

    def _begin_run(self, inputs: Mapping[str, Span]) -> int:
        rows = rows_of(inputs)
        self.runs.append(rows)
        failure = self._failures.pop(len(self.runs), None)
        if failure is not None:
            raise failure
        if self.poison is not None:
            for span in inputs.values():
                if (array_of(span) == self.poison).any():
                    raise SimulatedError("a row of this batch is poisoned", Trouble.ORDINARY)
        return rows

    def _answers(self, inputs: Mapping[str, Span]) -> Tensors:
        given = {name: array_of(span).copy() for name, span in inputs.items()}
        return {name: np.ascontiguousarray(array) for name, array in self._fn(given).items()}

    def _placed(self, answers: Tensors, rows: int, stream: Stream | None) -> dict[str, Span]:
        """Make room for answers, and for what ``rows`` rows need meanwhile."""
        self._storage.room_for(rows * self.workspace + sum(array.nbytes for array in answers.values()))
        self._storage.cached = max(self._storage.cached, rows * self.workspace)
        return {
            name: Span(self._storage.block(array.nbytes, stream), 0, array.shape, array.dtype)
            for name, array in answers.items()
        }

    def _enqueue_run(
        self,
        stream: Stream,
        name: str,
        inputs: Mapping[str, Span],
        outputs: Mapping[str, Span],
        pool: Block | None = None,
    ) -> None:
        reads = [access(span) for span in inputs.values()]
        writes = [access(span) for span in outputs.values()]
        if pool is not None:
            writes.append((pool.memory, 0, 1))
        seconds = self.a + self.c * rows_of(inputs)
        self._enqueue(stream, name, "compute", seconds, reads=reads, writes=writes)

    def _enqueue(
        self,
        stream: Stream,
        name: str,
        unit: str,
        seconds: float,
        *,
        reads: list[Access],
        writes: list[Access],
    ) -> Step:
        return self._order.enqueue(
            stream,
            name,
            unit=unit,
            seconds=seconds,
            now=self.clock(),
            batch=self._batch,
            reads=reads,
            writes=writes,
        )

    def _reach(self, moment: float, ticks: dict[int, int]) -> None:
        self.clock.advance(max(0.0, moment - self.clock()))
        self._order.observe(ticks, self._ended)

    def _ended(self, step: Step) -> None:
        """The host learns that ``step`` has ended: was it let alone so long? Here is what it brought."""
        sent = self._unsent.pop(step, None)
        if sent is not None and zlib.crc32(sent[0].tobytes()) != sent[1]:
            raise AssertionError(f"hazard: the host wrote to a page-locked array before {step} had ended")
        brought = self._unread.pop(step, None)
        if brought is not None:
            brought[0][:] = np.frombuffer(brought[1], np.uint8)
