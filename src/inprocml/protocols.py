"""Every plug point, and nothing else: what a backend, a source, an observer must do.

Objects are handed in and called; nothing is subclassed. Each protocol fits in a few lines so that a third
party can implement it, and ``inprocml.testing`` has ``check_backend``, ``check_source``, ``check_observer``
and ``check_prediction_store``, which say whether it did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from inprocml.values import BatchRecord, Remembered, Tensors, Version

__all__ = ["Backend", "Clock", "Flight", "Observer", "Pipelined", "PredictionStore", "Source", "Watchable"]


@runtime_checkable
class Backend(Protocol):
    """A runtime that computes one model.

    ``run`` maps named arrays (first axis: rows) to named arrays with the same first axis; it may be
    called from any thread, one call at a time. It raises whatever its runtime raises: the caller turns
    that into ``BackendFailed``. ``close`` frees what the runtime holds and may be called twice.
    """

    @property
    def name(self) -> str: ...  # "onnx", "torch", "numpy": for telemetry and messages

    @property
    def device(self) -> str: ...  # "cpu", "cuda:0"

    def run(self, inputs: Tensors) -> Tensors: ...

    def close(self) -> None: ...


class Flight(Protocol):
    """One batch on its way through a device.

    ``wait`` blocks, without the interpreter's lock, until its outputs are on the host, and raises what its
    run raised. Its arrays belong to the caller: nobody writes to them again.
    """

    def wait(self) -> Tensors: ...


@runtime_checkable
class Pipelined(Protocol):
    """A backend that holds several batches at once: the next is copied in while one computes.

    Besides what ``Backend`` asks: at most ``depth`` batches are in flight, each from ``start`` to the end of
    its ``wait``, which come in the same order, on one thread at a time. ``start`` gathers the tensors of
    several callers, one after the other, and returns before they are computed. ``sizes`` are the numbers of
    rows that the backend has prepared, ascending; a batch is filled up to one of them and holds no more than
    the last. ``()``: any number. They may become fewer, when memory runs short.
    """

    @property
    def depth(self) -> int: ...

    @property
    def sizes(self) -> tuple[int, ...]: ...

    def start(self, parts: Sequence[Tensors], rows: int) -> Flight: ...


@runtime_checkable
class Source(Protocol):
    """Where versions come from.

    ``versions`` lists what can be loaded, oldest first, and ``aliases`` what each alias means now, both
    cheaply enough to be polled every few seconds; ``fetch`` returns the version with a local path. All raise
    ``BundleError`` or ``UnknownVersion``.
    """

    def versions(self) -> Sequence[Version]: ...

    def aliases(self) -> Mapping[str, Version]: ...

    def fetch(self, name: str) -> Version: ...


@runtime_checkable
class Watchable(Protocol):
    """A source that can tell of changes sooner than the next poll.

    ``watch`` returns what waits: called with seconds and an event, on a thread of its own, it returns when
    something may have changed, when the event is set, or after so many seconds. What it needs is imported by
    ``watch``: a process that forks while another thread imports leaves the child with a lock that nobody
    frees.
    """

    def watch(self) -> Callable[[float, threading.Event], None]: ...


@runtime_checkable
class Observer(Protocol):
    """Sees executed batches; must be quick, may drop, never blocks.

    A batch's observers run on the worker, after its callers have their answers; those of an inline run on
    its caller's thread, before the call returns. Observers of several threads may run at once. What they
    raise is counted and logged once, never raised into a view.
    """

    def observe(self, record: BatchRecord) -> None: ...


@runtime_checkable
class PredictionStore(Protocol):
    """Keeps predictions until the truth comes, for all processes that share it, and beyond their lives.

    Called from any thread, and after a fork. It may raise whatever its database raises: that is counted and
    logged once, and predictions are kept in the process's memory meanwhile. Ids are at most 81 characters of
    ASCII; their first 17 tell versions and settings apart.
    """

    def remember(self, predictions: Sequence[Remembered]) -> None:
        """Keep all of them, or raise and keep none; an id that is kept already stays as it is."""

    def join(self, id: str, at: float) -> Remembered | None:  # noqa: A002
        """Return the prediction and mark it as joined at ``at``; None for an id that is not kept.

        Of all callers in all processes exactly one is told ``joined=False``.
        """

    def sweep(self, before: float) -> int:
        """Forget predictions made before this moment, a bounded number a call; return how many."""


class Clock(Protocol):
    """Monotonic seconds; ``time.monotonic`` in production, ``testing.ManualClock`` in tests."""

    def __call__(self) -> float: ...
