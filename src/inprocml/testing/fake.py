"""A backend in plain Python that fails, waits and counts as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from inprocml.testing.clock import ManualClock
from inprocml.values import Tensors

__all__ = ["FakeBackend", "poisoned"]


class FakeBackend:
    """A backend in plain Python that does as it is told.

    ``fn`` maps inputs to outputs; by default every input comes back under its own name, so that an answer
    identifies its question. ``fault`` may return an exception to raise instead (see ``poisoned``); it may be
    changed at any time. With ``clock`` and ``seconds``, every run takes that long on a ``ManualClock``.

    ``batches`` lists the rows of each run, ``threads`` the names of the threads that ran them,
    ``most_at_once`` the largest number of runs in progress together: more than 1 breaks the protocol.
    """

    def __init__(
        self,
        fn: Callable[[Tensors], Tensors] | None = None,
        *,
        fault: Callable[[Tensors], BaseException | None] | None = None,
        clock: ManualClock | None = None,
        seconds: float = 0.0,
        name: str = "fake",
        device: str = "cpu",
    ) -> None:
        self.fault = fault
        self.batches: list[int] = []
        self.threads: list[str] = []
        self.most_at_once = 0
        self.closed = False
        self._fn = fn or _echo
        self._clock = clock
        self._seconds = seconds
        self._name, self._device = name, device
        self._at_once = 0
        self._changed = threading.Condition()
        self._held = False

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self._name

    @property
    def device(self) -> str:
        """Where it says it runs."""
        return self._device

    def run(self, inputs: Tensors) -> Tensors:
        """Answer, fail or wait, as told."""
        with self._changed:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.batches.append(len(next(iter(inputs.values()), ())))
            self.threads.append(threading.current_thread().name)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._held)
        try:
            return self._run(inputs)
        finally:
            with self._changed:
                self._at_once -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Refuse to run from now on."""
        self.closed = True

    @contextmanager
    def hold(self) -> Iterator[FakeBackend]:
        """Keep every run from ending until the block is left."""
        with self._changed:
            self._held = True
        try:
            yield self
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    def wait_running(self, timeout: float = 10.0) -> None:
        """Return once a run is in progress; ``TimeoutError`` after ``timeout`` real seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._at_once > 0, timeout):
                raise TimeoutError(f"no run began within {timeout} s")

    def _run(self, inputs: Tensors) -> Tensors:
        if self.closed:
            raise RuntimeError("the fake backend is closed")
        if not inputs:
            raise ValueError("the fake backend got no input")
        if self._clock is not None:
            self._clock.advance(self._seconds)
        error = None if self.fault is None else self.fault(inputs)
        if error is not None:
            raise error
        return self._fn(inputs)


def _echo(inputs: Tensors) -> Tensors:
    return {name: array.copy() for name, array in inputs.items()}


def poisoned(
    value: float, error: type[BaseException] = RuntimeError
) -> Callable[[Tensors], BaseException | None]:
    """Return a ``fault`` that raises ``error`` for every batch holding ``value`` in any of its numbers."""

    def fault(inputs: Tensors) -> BaseException | None:
        if any((array == value).any() for array in inputs.values()):
            return error("a row of this batch is poisoned")
        return None

    return fault
