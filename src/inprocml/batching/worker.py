"""The thread that drains the queue under load: it forms batches, computes them and wakes their callers.

A backend computes a batch while the worker waits, or, if it is ``Pipelined``, holds several: then the next
one is gathered and copied while one computes. Both are driven by the same loop: start batches until the
backend holds as many as it can, then wait for the oldest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from inprocml.batching.calls import Call, tell, wake
from inprocml.batching.compute import compute, failed, join, receive
from inprocml.batching.ticket import State, Take
from inprocml.errors import BackendFailed, DeviceLost
from inprocml.native import current_thread
from inprocml.protocols import Flight, Pipelined
from inprocml.values import Tensors

if TYPE_CHECKING:
    from inprocml.batching.core import Core

__all__ = ["work"]


class _Batch:
    """A batch on its way: its calls, when it began, and what brings its outputs."""

    __slots__ = ("began", "calls", "inputs", "land", "number", "rows")

    def __init__(self, calls: list[Call], began: float) -> None:
        self.calls = calls
        self.rows = sum(call.rows for call in calls)
        self.began = began
        self.number = 0
        self.inputs: Tensors | None = None
        self.land: Callable[[], Tensors] | None = None


def work(core: Core, claimed: threading.Lock) -> None:
    """Be the worker of ``core`` until it stops; ``claimed`` is released once it is decided who is."""
    with core.lock:
        second = core.thread is not None  # an interrupted start and the next one both made a thread
        if not second:
            core.thread = current_thread()
    claimed.release()
    if second:
        return
    try:
        worker = _Worker(core)
        while worker.step():
            pass
    except BaseException as error:  # noqa: BLE001  the last resort: whatever it is, no caller may hang
        what = f"lost its worker to {type(error).__name__}"
        core.collapse(failed(core.backend, core.queue.name, what))


class _Worker:
    """The loop's own state: what is in flight."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pipeline = core.backend if isinstance(core.backend, Pipelined) else None
        self._depth = max(1, self._pipeline.depth) if self._pipeline is not None else 1
        self._flying: deque[_Batch] = deque()
        self._landed = 0.0  # when the device was last known to be done

    def step(self) -> bool:
        """Start a batch, end one, or wait for a reason to look again; False: the thread may end.

        A method of its own, so that a parked worker keeps no reference to the last batch.
        """
        core = self._core
        with core.lock:
            now = core.clock()
            if self._pipeline is not None:
                core.queue.sizes = self._pipeline.sizes
            step = core.queue.take(now)
            if not core.queue.busy:
                core.announce_idle()
            ending = core.ending and not core.queue.busy and not self._flying
            if ending:
                core.thread = None  # inside the lock: whoever needs a worker from now on starts a new one
        core.refuse(step.expired)
        if step.batch:
            self._start(cast("list[Call]", step.batch), now)
        elif self._flying and step.ready_at is None:
            self._land()
        elif not ending:
            self._park(step, now)
        if len(self._flying) >= self._depth:
            self._land()
        return not ending

    def _park(self, step: Take, now: float) -> None:
        core = self._core
        core.park(None if step.ready_at is None else step.ready_at - now)

    def _start(self, calls: list[Call], now: float) -> None:
        batch = _Batch(calls, now)
        if self._pipeline is not None:
            self._take_turn(batch)
            batch.land = self._launch(self._pipeline, batch)
        for call in calls:
            call.started = batch.began
        self._flying.append(batch)

    def _take_turn(self, batch: _Batch) -> None:
        """Wait for the device, where it is shared, and hold none of it meanwhile.

        Two models that each kept one flight up and waited for room for another would wait for one another.
        """
        core = self._core
        if core.turn is not None and not core.turn.claim(batch):
            while self._flying:
                self._land()
            core.take_turn(batch)
            batch.began = core.queue.began  # a wait for others is no cost of this model's

    def _launch(self, pipeline: Pipelined, batch: _Batch) -> Callable[[], Tensors]:
        """Give a batch to the device; what goes wrong is told when it lands, as all else that goes wrong."""
        try:
            parts = self._core.shapes.level([call.inputs for call in batch.calls])
            flight: Flight = pipeline.start(parts, batch.rows)
        except Exception as error:  # noqa: BLE001  told when it lands
            return _Failed(error)
        now = self._core.clock()
        self._core.queue.lead = 0.8 * self._core.queue.lead + 0.2 * (now - batch.began)
        return flight.wait

    def _land(self) -> None:
        """Bring in the oldest batch; if it failed, compute caller by caller, once."""
        batch = self._flying.popleft()
        if self._attempt(batch, last=len(batch.calls) == 1):
            return
        while self._flying:  # a device that is to compute one by one is to do nothing else
            self._land()
        core = self._core
        for call in batch.calls:
            with core.lock:
                late = core.queue.expire(core.clock())
                wanted = call.state is State.RUNNING
                if not wanted:
                    core.queue.settle([call])
            core.refuse(late)
            if wanted:
                alone = _Batch([call], core.clock())
                if self._pipeline is not None:
                    core.take_turn(alone)
                    core.queue.began = alone.began = core.clock()
                    alone.land = self._launch(self._pipeline, alone)
                self._attempt(alone, last=True)

    def _attempt(self, batch: _Batch, *, last: bool) -> bool:
        core = self._core
        error: BackendFailed | None = None
        outputs: Tensors = {}
        if self._pipeline is None:
            core.take_turn(batch)
            core.queue.began = batch.began = core.clock()
        try:
            outputs = self._outputs(batch)
        except BackendFailed as raised:
            error = raised
        except BaseException as raised:  # noqa: BLE001  a model may raise SystemExit: its callers still get an answer
            error = failed(core.backend, core.queue.name, f"raised {type(raised).__name__}")
            error.__cause__ = raised
        ended = core.clock()
        seconds = ended - max(batch.began, self._landed)
        self._landed = ended
        core.give_turn(batch, seconds)
        batch.number = core.number()
        final = error is None or last or isinstance(error, DeviceLost)
        if final:
            self._answer(batch, outputs, error, seconds, ended)
        if core.observers:
            core.observe(
                self._seen(batch), batch.rows, seconds, error, calls=batch.calls, number=batch.number
            )
        if isinstance(error, DeviceLost):
            core.lose(error)
        error = None  # its traceback leads back here: a cycle, which would keep the inputs alive
        return final

    def _outputs(self, batch: _Batch) -> Tensors:
        core, calls = self._core, batch.calls
        if batch.land is None:
            inputs = calls[0].inputs
            if len(calls) > 1:
                inputs = join([call.inputs for call in calls], core.shapes)
            batch.inputs = inputs
            return compute(core.backend, inputs, batch.rows, model=core.queue.name)
        return receive(core.backend, batch.land, batch.rows, model=core.queue.name)

    def _seen(self, batch: _Batch) -> Tensors:
        """Return a batch's inputs for the observers: where the device gathered them, only now."""
        if batch.inputs is not None:
            return batch.inputs
        try:
            return join([call.inputs for call in batch.calls], self._core.shapes)
        except (TypeError, ValueError):  # the very reason why the batch failed
            return batch.calls[0].inputs

    def _answer(
        self, batch: _Batch, outputs: Tensors, error: BackendFailed | None, seconds: float, now: float
    ) -> None:
        core = self._core
        start = 0
        for call in batch.calls:
            call.start = start
            start += call.rows
        with core.lock:
            if error is None:
                core.queue.ran(batch.calls[0].shape, batch.rows, seconds, now)
            staying = cast("list[Call]", core.queue.settle(batch.calls, now))
        if error is not None and len(staying) > 1:
            tell(staying, error)
        for call in staying:  # the others were refused meanwhile, and their error must stand
            call.outputs, call.batch_rows, call.batch = outputs, batch.rows, batch.number
            if call.error is None:
                call.error = error
        wake(staying)


class _Failed:
    """A flight that never took off."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self) -> Tensors:
        raise self._error
