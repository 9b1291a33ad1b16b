"""Whether the callers who were just answered are about to ask again, and what to make of it.

Callers in a closed loop (a pool of threads, a crawler, a page that asks ten times) come back together, and
two things can go wrong. If others wait meanwhile, two groups take turns, and every batch is half of what it
could be: holding the device until the first group is back joins them. That pays when they return sooner than
the fixed cost of the batch that it saves. If nobody waits, the device idles until they are back, and the
first of them compute their rows one by one: then the device is held until some are back, and the worker takes
half of those who wait, which makes two groups that take turns and keep it busy. That pays when the device
would idle for longer than the fixed cost of the batch that it adds.

Arrivals by chance look different. At the rate at which n of them come in the time of a batch of n, a ninth
of that time brings a ninth of them, and a batch that nobody joined while it ran is rare. So returns are
timed, and nothing is done unless they are reliably quick, or reliably leave the device idle. Pure: times go
in, a time or a size comes out.
"""

from __future__ import annotations

import math

__all__ = ["Pace"]

_MOST = 0.95  # of those who were answered are back: the rest can join the next batch
_PAYS = 0.8  # of a batch's fixed cost, the longest hold that makes one batch of two
_BUSY = 0.85  # share of the time that the device computes, at least, in spite of such holds
_SOME = 0.25  # of those who were answered are back: enough for a batch where the device idles
_WHILE = 0.25  # of the last batch's time, the longest hold for some
_FEW = 4  # callers: fewer in a batch say nothing of idleness
_MEMORY = 0.8  # weight of the past in the averages
_RELIABLE = 0.6  # of late, the share of the batches after which it was so


class _Returns:
    """How soon a part of the callers is back, and how often in time."""

    __slots__ = ("delay", "goal", "in_time", "limit", "part")

    def __init__(self, part: float) -> None:
        self.part = part
        self.goal = 0  # so many of the last batch's callers
        self.limit = 0.0  # seconds after which they are too late to be waited for
        self.delay = 0.0  # average until they were back, of those who were in time
        self.in_time = 0.0  # average share of the batches after which they were

    def begin(self, callers: int, limit: float) -> None:
        self.goal, self.limit = math.ceil(callers * self.part), limit

    def came(self, delay: float) -> None:
        in_time = 0 <= delay <= self.limit
        if in_time:
            self.delay = _MEMORY * self.delay + (1 - _MEMORY) * delay if self.delay else delay
        self.in_time = _MEMORY * self.in_time + (1 - _MEMORY) * in_time

    def missed(self, back: int, delay: float) -> None:
        if back < self.goal and delay > self.limit:
            self.in_time *= _MEMORY

    @property
    def reliable(self) -> bool:
        return self.in_time >= _RELIABLE and self.delay <= self.limit


class Pace:
    """Learns how soon callers return. All times are seconds on the driver's clock."""

    __slots__ = ("_back", "_callers", "_fixed", "_goal", "_idle", "_most", "_since", "_some")

    def __init__(self) -> None:
        self._callers = 0  # in the last batch; 0: nobody is awaited
        self._back = 0  # of them, as far as can be told
        self._since = 0.0
        self._fixed = 0.0
        self._goal = 0  # callers whose return ends the hold that is on
        self._most, self._some = _Returns(_MOST), _Returns(_SOME)
        self._idle = 0.0  # average share of the batches after which the device idled for long

    def answered(self, callers: int, now: float, *, fixed: float, seconds: float) -> None:
        """Take note that a batch of ``seconds``, at least ``fixed``, has answered ``callers``."""
        for returns in (self._most, self._some):
            returns.missed(self._back, now - self._since)
        self._callers = callers if callers > 1 else 0
        self._back = self._goal = 0
        self._since = now
        self._fixed = fixed
        self._most.begin(self._callers, min(_PAYS * fixed, (1 - _BUSY) / _BUSY * seconds))
        self._some.begin(self._callers, _WHILE * seconds)

    def arrived(self, now: float) -> bool:
        """Count a caller who came; True: those who were awaited are back, and the hold may end."""
        if not self._callers:
            return False
        self._back += 1
        back = self._back
        if back == self._most.goal:
            self._most.came(now - self._since)
        if back == self._some.goal:
            self._some.came(now - self._since)
        return back >= self._goal > 0

    def hold_until(self, waiting: int, now: float) -> float:
        """Return until when to wait for those about to return; minus infinity: go on with the ``waiting``."""
        if now < self._since:  # the clock was set back
            return -math.inf
        if self._most.reliable:
            returns = self._most
        elif not waiting and self._callers >= _FEW and self._idle >= _RELIABLE and self._some.reliable:
            returns = self._some
        else:
            return -math.inf
        if self._back >= returns.goal:
            return -math.inf
        self._goal = returns.goal
        return self._since + min(returns.limit, 2 * returns.delay)

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
