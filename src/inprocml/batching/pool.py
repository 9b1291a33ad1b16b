"""Several instances of one model: each call goes to the one that is expected to have it done first.

Every instance has a queue of its own, so that what was said about one device (``queue``) holds for each.
"""

from __future__ import annotations

from collections.abc import Sequence

from inprocml.batching.refusals import drained
from inprocml.batching.runner import Result, Runner
from inprocml.batching.ticket import Drained
from inprocml.errors import BackendFailed, DeviceLost
from inprocml.values import Tensors

__all__ = ["Pool"]


class Pool:
    """Runners of one model that share its callers; used as one ``Runner`` is.

    They may compute on the same device, side by side, or on several, of unlike speed. An instance whose
    device is lost gets no more calls; the last one takes the pool with it. A run that does not return ends
    the whole pool, for that can be loaded anew: callers get ``Drained``.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        if not runners:
            raise ValueError("a pool needs at least one runner")
        self._runners = tuple(runners)
        self.name = runners[0].name
        self.max_batch_size = runners[0].max_batch_size

    @property
    def depth(self) -> int:
        """Rows waiting now, at all instances."""
        return sum(runner.depth for runner in self._runners)

    @property
    def active(self) -> int:
        """Rows waiting or being computed now, at all instances."""
        return sum(runner.active for runner in self._runners)

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits anywhere."""
        return all(runner.idle for runner in self._runners)

    @property
    def lost(self) -> BackendFailed | None:
        """Why this pool shall be asked no more: all devices are lost, or one run has not returned."""
        errors = [runner.lost for runner in self._runners]
        hangs = [error for error in errors if error is not None and not isinstance(error, DeviceLost)]
        return next(iter(hangs), errors[0] if all(errors) else None)

    @property
    def observer_failures(self) -> int:
        """How often an observer raised, which no caller ever sees."""
        return sum(runner.observer_failures for runner in self._runners)

    def expected(self, rows: int = 1, inputs: Tensors | None = None) -> float:
        """Return the seconds until ``rows`` more rows would be ready at the best instance, as ``Runner``."""
        return min(runner.expected(rows, inputs) for runner in self._able())

    def run(
        self,
        inputs: Tensors,
        *,
        rows: int = 1,
        deadline: float | None = None,
        patient: bool = False,
        priority: int = 0,
    ) -> Result:
        """Compute ``rows`` rows at the instance that is expected to be done first; as ``Runner.run``."""
        while True:
            runner = self._choose(rows, inputs)
            try:
                return runner.run(inputs, rows=rows, deadline=deadline, patient=patient, priority=priority)
            except Drained as error:
                self._go_on(runner, error)

    async def arun(
        self,
        inputs: Tensors,
        *,
        rows: int = 1,
        deadline: float | None = None,
        patient: bool = False,
        priority: int = 0,
    ) -> Result:
        """Compute ``rows`` rows from a coroutine; as ``run``."""
        while True:
            runner = self._choose(rows, inputs)
            try:
                return await runner.arun(
                    inputs, rows=rows, deadline=deadline, patient=patient, priority=priority
                )
            except Drained as error:
                self._go_on(runner, error)

    def drain(self) -> None:
        """Refuse new callers with ``Drained`` from now on; serve those that wait. Returns at once."""
        for runner in self._runners:
            runner.drain()

    def close(self, timeout: float | None = None) -> bool:
        """Drain and end all instances, each within ``timeout`` seconds; whether all ended."""
        self.drain()
        return all([runner.close(timeout) for runner in self._runners])  # noqa: C419 - every one of them

    def _able(self) -> list[Runner]:
        return [runner for runner in self._runners if runner.lost is None] or list(self._runners)

    def _choose(self, rows: int, inputs: Tensors) -> Runner:
        """Return the idle instance that is quickest, or a busy one that is known to be done before it."""
        able = self._able()
        if len(able) < len(self._runners) and self.lost is not None:
            raise drained(self.name)
        idle = [runner for runner in able if runner.idle]
        busy = [runner for runner in able if runner not in idle]
        first = min(idle, key=lambda runner: runner.expected(rows, inputs), default=None)
        other = min(busy, key=lambda runner: (runner.expected(rows, inputs), runner.depth), default=None)
        if first is None or other is None:
            chosen = first or other
            assert chosen is not None
            return chosen
        return other if 0 < other.expected(rows, inputs) < first.expected(rows, inputs) else first

    def _go_on(self, runner: Runner, error: Drained) -> None:
        """Raise ``error``, unless only this instance was lost and another can answer."""
        if runner.lost is None or self.lost is not None:
            raise error
