"""A clock that is moved by hand."""

from __future__ import annotations

import weakref
from collections.abc import Callable

__all__ = ["ManualClock"]


class ManualClock:
    """Monotonic seconds that stand still until ``advance`` is called.

    Whoever waits on this clock subscribes, so that a jump is acted upon at once and no test has to sleep.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._callbacks: list[weakref.WeakMethod[Callable[[], None]]] = []

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds`` (0 or more), then tell everybody who waits."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-seconds} s")
        self._now += seconds
        for reference in list(self._callbacks):
            callback = reference()
            if callback is None:
                self._callbacks.remove(reference)
            else:
                callback()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call a bound method after every jump, for as long as its object lives."""
        self._callbacks.append(weakref.WeakMethod(callback))
