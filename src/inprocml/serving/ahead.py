"""Long work in two steps, one item ahead: while one item computes, the next is prepared.

A runtime computes without the interpreter's lock, so a thread beside lets both happen at once. Where
computing takes hardly any time, the thread would only be in the way (measured: 40 % slower), and is not used.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

from inprocml.protocols import Clock

__all__ = ["Ahead"]

T = TypeVar("T")
R = TypeVar("R")

PAYS = 0.5  # seconds of computing per second of preparing, from which on the thread pays


class Ahead(Generic[T, R]):
    """Results of ``items``, in order; iterating takes the next item only when its predecessor is computing.

    ``items`` are prepared on the thread that iterates. ``compute(item, wanted)`` returns early, with
    anything, once ``wanted()`` is false: nobody waits any more. ``urgent(item)`` says that its result should
    be given before the next item is asked for. ``took(item, seconds)`` learns what an item cost to compute.
    """

    def __init__(
        self,
        items: Iterator[T],
        compute: Callable[[T, Callable[[], bool]], R],
        *,
        urgent: Callable[[T], bool],
        took: Callable[[T, float], None],
        clock: Clock,
    ) -> None:
        self._items = items
        self._compute = compute
        self._urgent = urgent
        self._took = took
        self._clock = clock
        self._stopped = threading.Event()
        self._pays = False
        self._prepared = 0.0
        self._failure: Exception | None = None
        self._beside: ThreadPoolExecutor | None = None

    def __iter__(self) -> Iterator[tuple[T, R]]:
        """Yield each item with its result; what ``items`` raises comes after the results before it."""
        waits = True
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="inprocml-bulk")
        try:
            yield from self._results(self._beside)
        except GeneratorExit:
            waits = False  # the collector may run under the very lock that the computation waits for
            raise
        finally:
            self._stopped.set()
            self._beside.shutdown(waits)
        if self._failure is not None:
            raise self._failure

    def join(self) -> None:
        """Wait until nothing computes any more; to be called after an iterator that was closed early."""
        if self._beside is not None:
            self._beside.shutdown()

    def _results(self, beside: ThreadPoolExecutor) -> Iterator[tuple[T, R]]:
        last: _Coming[T, R] | None = None
        while (item := self._prepare()) is not None:
            coming = self._begin(beside, item)
            if last is not None:
                yield last.item, last.result()
            last = coming
            if not self._pays or self._urgent(item):
                last = None
                yield item, coming.result()
        if last is not None:
            yield last.item, last.result()

    def _prepare(self) -> T | None:
        began = self._clock()
        try:
            item = next(self._items, None)
        except Exception as error:  # noqa: BLE001 - raised at the end, behind the results before it
            self._failure = error
            return None
        self._prepared = self._clock() - began
        return item

    def _begin(self, beside: ThreadPoolExecutor, item: T) -> _Coming[T, R]:
        """Start computing beside; or, where that does not pay, leave it to whoever asks for the result."""
        compute = functools.partial(self._timed, item, self._prepared)
        return _Coming(item, beside.submit(compute).result if self._pays else compute)

    def _timed(self, item: T, prepared: float) -> R:
        began = self._clock()
        result = self._compute(item, lambda: not self._stopped.is_set())
        seconds = self._clock() - began
        self._pays = seconds > PAYS * prepared
        self._took(item, seconds)
        return result


class _Coming(NamedTuple, Generic[T, R]):
    """An item, and the way to its result."""

    item: T
    result: Callable[[], R]
