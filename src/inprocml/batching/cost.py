"""What a batch costs, learnt from the batches that ran: t(b) = a + c*b.

Recursive least squares with forgetting (Haykin, "Adaptive Filter Theory", ch. 10), kept as the sums of the
normal equations: with two unknowns that is simpler than the matrix form, cannot lose its symmetry, and
costs seven multiplications. Pure: durations go in, nothing is timed here.
"""

from __future__ import annotations

import math

__all__ = ["Cost"]

_FORGETTING = 0.98
_OUTLIER = 8.0  # a run that took so many times what was expected counts as one that took that
_DOUBT = 0.1  # the least that the past weighs after a run that was much quicker than expected
_SETTLED = 8  # samples, from which on the estimate is trusted
_SPREAD = 1e-9  # relative: below it the sizes seen so far are one size


class Cost:
    """The seconds that ``rows`` rows take together.

    ``a`` seconds are paid by every batch and ``c`` by every row; both are 0 or more. Before two sizes of
    batches were seen, company is taken to cost nothing (``c`` is 0): the first larger batch tells. ``sigma``
    is the standard deviation of what runs took about what was expected, 0 until that was tried. Each
    observation weighs ``forgetting`` times as much as the next; less, where a run takes less than half of
    what was expected: an estimate that is too high keeps callers out, and few runs are left to correct it.
    """

    __slots__ = ("_b", "_bb", "_bt", "_errors", "_forgetting", "_n", "_spread", "_t", "a", "c", "samples")

    def __init__(self, forgetting: float = _FORGETTING) -> None:
        if not 0 < forgetting <= 1:
            raise ValueError(f"forgetting is {forgetting!r} and must be above 0 and at most 1")
        self._forgetting = forgetting
        self._n = self._b = self._bb = self._t = self._bt = 0.0
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
        if self.samples:
            expected = self.seconds(rows)
            keep = self._forgetting
            if seconds < expected / 2:  # no run is that quick by chance: what was expected is no more
                keep = max(_DOUBT, seconds / expected)
                self._spread, self._errors = keep * self._spread, keep * self._errors
            elif self.settled and expected > 0:
                seconds = min(seconds, _OUTLIER * expected)  # the machine slept, or was busy elsewhere
                self._spread = keep * self._spread + (seconds - expected) ** 2
                self._errors = keep * self._errors + 1
        else:
            keep = 1.0
        self._n = keep * self._n + 1
        self._b = keep * self._b + rows
        self._bb = keep * self._bb + rows * rows
        self._t = keep * self._t + seconds
        self._bt = keep * self._bt + rows * seconds
        self.samples += 1
        self._solve()

    def _solve(self) -> None:
        """Least squares with both unknowns 0 or more: where the free solution is not, on the nearer axis."""
        spread = self._n * self._bb - self._b * self._b
        if spread <= _SPREAD * self._bb * self._n:
            self.a, self.c = self._t / self._n, 0.0
            return
        c = (self._n * self._bt - self._b * self._t) / spread
        a = (self._t - c * self._b) / self._n
        if c < 0:
            a, c = self._t / self._n, 0.0
        elif a < 0:
            a, c = 0.0, self._bt / self._bb
        self.a, self.c = a, c
