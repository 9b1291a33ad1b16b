"""Whether the callers who were just answered are about to ask again, and whether to wait for them.

Callers in a closed loop (a pool of threads, a crawler, a page that asks ten times) split into two groups
that take turns: while one is computed, the other waits, and every batch is half of what it could be. Holding
the device until the first group is back joins them. It pays when they return sooner than the fixed cost ``a``
of the batch that it saves; arrivals that come by chance do not, for as many of them as were answered
take about a batch's time to come. So returns are timed, and the device is held only where they are reliably
quick. Pure: times go in, a time comes out.
"""

from __future__ import annotations

import math

__all__ = ["Pace"]

_MOST = 0.9  # of those who were answered are back: the rest can join the next batch
_PAYS = 0.5  # of the fixed cost, the longest that a hold may last
_MEMORY = 0.8  # weight of the past in the averages
_BUSY = 8  # batches without a pause: utilisation is 1 as far as can be seen
_RELIABLE = 0.8  # of the batches' callers came back in time


class Pace:
    """Learns how soon callers return. All times are seconds on the driver's clock."""

    __slots__ = ("_back", "_delay", "_fixed", "_goal", "_in_time", "_since", "_streak")

    def __init__(self) -> None:
        self._goal = 0  # callers whose return ends the wait; 0: nobody is awaited
        self._back = 0
        self._since = 0.0
        self._fixed = 0.0
        self._delay = math.inf  # average time until most were back
        self._in_time = 0.0  # average share of the batches whose callers were back within the hold that pays
        self._streak = 0

    def answered(self, callers: int, now: float, fixed: float) -> None:
        """Take note that a batch of ``callers`` was answered; ``fixed`` is what each batch costs at least."""
        if self._goal and now - self._since > _PAYS * self._fixed:  # the last ones were not back in time
            self._in_time *= _MEMORY
        self._fixed = fixed
        self._streak += 1
        self._goal = math.ceil(callers * _MOST) if callers > 1 else 0
        self._back = 0
        self._since = now

    def arrived(self, now: float) -> bool:
        """Count a caller who came; True: all who were awaited are back, and a hold may end."""
        if not self._goal:
            return False
        self._back += 1
        if self._back < self._goal:
            return False
        delay = now - self._since
        self._goal = 0
        if delay < 0:  # a clock that was set back tells nothing
            return True
        self._delay = delay if self._delay == math.inf else _MEMORY * self._delay + (1 - _MEMORY) * delay
        self._in_time = _MEMORY * self._in_time + (1 - _MEMORY) * (delay <= _PAYS * self._fixed)
        return True

    def hold_until(self) -> float:
        """Return until when to wait for those who are about to return; minus infinity: do not wait."""
        if not self._goal or self._streak < _BUSY or self._in_time < _RELIABLE:
            return -math.inf
        longest = _PAYS * self._fixed
        return self._since + min(longest, 2 * self._delay) if self._delay <= longest else -math.inf

    def paused(self) -> None:
        """Take note that the device had nothing to do: it is not short of anything."""
        self._streak = 0
        self._goal = 0
