"""Whether the callers who were just answered are about to ask again, and what to make of it.

Callers in a closed loop (a pool of threads, a crawler, a page that asks ten times) come back together, and
two things can go wrong. If others wait meanwhile, two groups take turns, and every batch is half of what it
could be: holding the device until the first group is back joins them. That pays when they return sooner than
the fixed cost of the batch that it saves. If nobody waits, the device idles until they are back, and the
first of them computes one row alone: taking half of those who wait makes two groups that take turns, and
keeps the device busy. That pays when they return later than the fixed cost of the batch that it adds.

Arrivals by chance look different. At the rate at which n of them come in the time of a batch of n, a ninth
of that time brings a ninth of them, and a batch that nobody joined while it ran is rare. So returns are
timed, and nothing is done unless they are reliably quick, or reliably leave the device idle. Pure: times go
in, a time or a size comes out.
"""

from __future__ import annotations

import math

__all__ = ["Pace"]

_MOST = 0.9  # of those who were answered are back: the rest can join the next batch
_PAYS = 0.5  # of a batch's fixed cost, the longest hold that makes one batch of two
_BUSY = 0.9  # share of the time that the device computes, at least, in spite of such holds
_FEW = 4  # callers: fewer in a batch say nothing of idleness
_MEMORY = 0.8  # weight of the past in the averages
_RELIABLE = 0.6  # of late, the share of the batches after which it was so


class Pace:
    """Learns how soon callers return. All times are seconds on the driver's clock."""

    __slots__ = ("_back", "_callers", "_delay", "_fixed", "_goal", "_idle", "_in_time", "_limit", "_since")

    def __init__(self) -> None:
        self._callers = 0  # in the last batch; 0: nobody is awaited
        self._back = 0  # of them, as far as can be told
        self._since = 0.0
        self._limit = 0.0  # seconds after which they are too late to be waited for
        self._fixed = 0.0
        self._goal = 0  # callers whose return ends the hold that is on
        self._delay = 0.0  # average time until most were back, of those who were in time
        self._in_time = 0.0  # average share of the batches after which they were
        self._idle = 0.0  # share of the batches after which the device idled for long

    def answered(self, callers: int, now: float, *, fixed: float, seconds: float) -> None:
        """Take note that a batch of ``seconds``, at least ``fixed``, has answered ``callers``."""
        if self._back < math.ceil(self._callers * _MOST) and now - self._since > self._limit:
            self._in_time *= _MEMORY  # of the batch before, most have not come back in time
        self._callers = callers if callers > 1 else 0
        self._back = self._goal = 0
        self._since = now
        self._fixed = fixed
        self._limit = min(_PAYS * fixed, (1 - _BUSY) / _BUSY * seconds)

    def arrived(self, now: float) -> bool:
        """Count a caller who came; True: those who were awaited are back, and the hold may end."""
        if not self._callers:
            return False
        self._back += 1
        if self._back == math.ceil(self._callers * _MOST):
            delay = now - self._since
            came = 0 <= delay <= self._limit
            if came:
                self._delay = _MEMORY * self._delay + (1 - _MEMORY) * delay if self._delay else delay
            self._in_time = _MEMORY * self._in_time + (1 - _MEMORY) * came
        return self._back >= self._goal > 0

    def hold_until(self) -> float:
        """Return until when to wait for those about to return; minus infinity: do not wait."""
        goal = math.ceil(self._callers * _MOST)
        if self._back >= goal or self._in_time < _RELIABLE or self._delay > self._limit:
            return -math.inf
        self._goal = goal
        return self._since + min(self._limit, 2 * self._delay)

    def formed(self, now: float, *, waited: bool) -> None:
        """Take note that the next batch starts; ``waited``: there were rows for it when the last ended."""
        if self._callers >= _FEW:
            idled = not waited and now - self._since > self._fixed
            self._idle = _MEMORY * self._idle + (1 - _MEMORY) * idled

    def share(self, rows: int, most: int) -> int:
        """Return how many rows to take, at most ``most``, so that the device does not idle after them."""
        if _FEW <= rows <= most and self._idle >= _RELIABLE:
            return (rows + 1) // 2
        return most
