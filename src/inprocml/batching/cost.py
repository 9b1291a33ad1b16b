"""What a batch costs, learnt from the batches that ran: t(b) = a + c*b.

Least squares with forgetting, one point for each size of batch that was seen. Plain recursive least squares
(Haykin, "Adaptive Filter Theory", ch. 10) forgets by age: under steady load all batches are alike, the others
are forgotten, and what ``a`` and ``c`` are apart becomes noise (estimator wind-up). Here a size is forgotten
only when it runs again, and what the machine does to all of them, such as being busy elsewhere, moves all.
Pure: durations go in, nothing is timed here.
"""

from __future__ import annotations

import math

__all__ = ["Cost"]

_FORGETTING = 0.9
_TOGETHER = 0.02  # part of a surprise at one size that is laid to the machine, and so to all sizes
_OUTLIER = 8.0  # a run that took so many times what was expected counts as one that took that
_DOUBT = 0.1  # the least that the past weighs after a run that was much quicker than expected
_SETTLED = 8  # samples, from which on the estimate is trusted
_SIZES = 256  # most sizes remembered
_LEAST = 1e-9  # of the common scale, before it is worked into the points


class Cost:
    """The seconds that ``rows`` rows take together.

    ``a`` seconds are paid by every batch and ``c`` by every row; both are 0 or more. Before two sizes of
    batches were seen, company is taken to cost nothing (``c`` is 0): the first larger batch tells. ``sigma``
    is the standard deviation of what runs took about what was expected, 0 until that was tried. Of one size,
    each observation weighs ``forgetting`` times as much as the next; less, where a run takes less than half
    of what was expected: an estimate that is too high keeps callers out, and few are left to correct it.
    """

    __slots__ = (
        "_b",
        "_bb",
        "_bt",
        "_errors",
        "_forgetting",
        "_points",
        "_scale",
        "_spread",
        "_t",
        "a",
        "c",
        "samples",
    )

    def __init__(self, forgetting: float = _FORGETTING) -> None:
        if not 0 < forgetting <= 1:
            raise ValueError(f"forgetting is {forgetting!r} and must be above 0 and at most 1")
        self._forgetting = forgetting
        self._points: dict[int, tuple[float, int]] = {}  # size -> mean seconds over ``_scale``, observations
        self._scale = 1.0
        self._b = self._bb = 0  # sums over the points: sizes, and their squares,
        self._t = self._bt = 0.0  # seconds, and seconds times sizes
        self._spread = self._errors = 0.0  # sums of squared errors, and of their weights
        self.a = self.c = 0.0
        self.samples = 0

    @property
    def settled(self) -> bool:
        """Whether enough was seen to refuse somebody on this account."""
        return self.samples >= _SETTLED

    @property
    def sigma(self) -> float:
        """Seconds, 0 or more."""
        return math.sqrt(self._spread / self._errors) if self._errors else 0.0

    def seconds(self, rows: int) -> float:
        """Return the expected duration of a batch of ``rows``; 0 before the first observation."""
        return self.a + self.c * rows

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a batch of ``rows`` that took ``seconds``; what no clock measures is ignored."""
        if not 0 <= seconds < math.inf:  # a clock that was set back, or is broken
            return
        expected = self.seconds(rows)
        keep = self._forgetting
        if keep == 1:  # nothing changes: to fit a line to a measurement
            pass
        elif self.settled and seconds < expected / 2:  # no run is that quick by chance: so it is now
            keep = max(_DOUBT, seconds / expected)
            self._spread, self._errors = keep * self._spread, keep * self._errors
            self._rescale(keep)
        elif self.settled and expected > 0:
            seconds = min(seconds, _OUTLIER * expected)  # the machine slept, or was busy elsewhere
            self._spread = keep * self._spread + (seconds - expected) ** 2
            self._errors = keep * self._errors + 1
            self._rescale(1 + _TOGETHER * (min(seconds / expected, 2.0) - 1))
        self.samples += 1
        self._point(rows, seconds, 1 - keep)
        self._solve()

    def _point(self, rows: int, seconds: float, weight: float) -> None:
        """Move the point of one size, and the sums with it."""
        if rows in self._points:
            mean, count = self._points.pop(rows)
        else:
            mean, count = 0.0, 0
            if len(self._points) >= _SIZES:
                self._forget(next(iter(self._points)))
            self._b, self._bb = self._b + rows, self._bb + rows * rows
        old = mean * self._scale
        new = old + max(weight, 1 / (count + 1)) * (seconds - old)
        self._points[rows] = new / self._scale, count + 1  # at the end: the first is the longest unseen
        self._t, self._bt = self._t + new - old, self._bt + rows * (new - old)

    def _forget(self, rows: int) -> None:
        seconds = self._points.pop(rows)[0] * self._scale
        self._b, self._bb = self._b - rows, self._bb - rows * rows
        self._t, self._bt = self._t - seconds, self._bt - rows * seconds

    def _rescale(self, factor: float) -> None:
        """Multiply what every size took."""
        self._scale, self._t, self._bt = self._scale * factor, self._t * factor, self._bt * factor
        if not _LEAST < self._scale < 1 / _LEAST:
            points = {rows: (mean * self._scale, count) for rows, (mean, count) in self._points.items()}
            self._points, self._scale = points, 1.0

    def _solve(self) -> None:
        """Least squares with both unknowns 0 or more: where the free solution is not, on the nearer axis."""
        n = len(self._points)
        spread = n * self._bb - self._b * self._b
        if spread <= 0:
            self.a, self.c = max(0.0, self._t / n), 0.0
            return
        c = (n * self._bt - self._b * self._t) / spread
        a = (self._t - c * self._b) / n
        if c < 0:
            a, c = self._t / n, 0.0
        elif a < 0:
            a, c = 0.0, self._bt / self._bb
        self.a, self.c = max(0.0, a), max(0.0, c)
