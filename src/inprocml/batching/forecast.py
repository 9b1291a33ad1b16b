"""When a batch will be ready, from what batches like it have cost: one ``Cost`` for each shape.

What is said here decides whom to refuse, so it is said only on fresh and sufficient evidence: an estimate
that kept everybody out could never be corrected.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from inprocml.batching.cost import Cost

__all__ = ["Forecast"]

_SHAPES = 64  # most costs remembered
_FRESH_SECONDS = 1.0  # how long an estimate refuses callers without a run that confirms it
_FRESH_RUNS = 20.0  # the same, in runs
_COMPANY = 1.25  # times what a row takes alone, a batch may take in any case


class Forecast:
    """Costs by shape. All times are seconds on the driver's clock."""

    __slots__ = ("_costs", "_learnt", "_only")

    def __init__(self) -> None:
        self._only = Cost()  # of the shape None, where nothing varies
        self._costs: OrderedDict[Hashable, Cost] = OrderedDict()
        self._learnt: dict[Hashable, float] = {}

    def cost(self, shape: Hashable) -> Cost:
        """Return the cost of batches of ``shape``; of a new shape nothing is known; asking keeps none."""
        if shape is None:
            return self._only
        return self._costs.get(shape) or Cost()

    def observe(self, shape: Hashable, rows: int, seconds: float, now: float) -> None:
        """Learn that ``rows`` rows of ``shape`` took ``seconds``, up to ``now``."""
        cost = self.cost(shape)
        cost.observe(rows, seconds)
        self._learnt[shape] = now
        if shape is None:
            return
        self._costs[shape] = cost
        self._costs.move_to_end(shape)
        if len(self._costs) > _SHAPES:
            forgotten, _ = self._costs.popitem(last=False)
            del self._learnt[forgotten]

    def sure(self, shape: Hashable, now: float) -> bool:
        """Whether enough is known, and lately enough, to refuse a caller on its account."""
        cost = self.cost(shape)
        if not cost.settled:
            return False
        age = now - self._learnt[shape]
        return 0 <= age < max(_FRESH_SECONDS, _FRESH_RUNS * cost.seconds(1))

    def soonest(self, shape: Hashable, rows: int, now: float) -> float:
        """Return when ``rows`` rows are ready if they start now and are lucky; ``now`` while unsure."""
        if not self.sure(shape, now):
            return now
        cost = self.cost(shape)
        return now + max(0.0, cost.seconds(rows) - cost.sigma)

    def surely(self, shape: Hashable, rows: int) -> float:
        """Return the seconds in which ``rows`` rows are ready, with two sigma to spare."""
        cost = self.cost(shape)
        return cost.seconds(rows) + 2 * cost.sigma

    def largest(self, shape: Hashable, seconds: float, most: int) -> int:
        """Return the rows, from 1 to ``most``, that are ready in ``seconds``.

        Where a row alone takes longer, as many as take little longer than that: to keep them apart would make
        all but the first wait for longer still.
        """
        cost = self.cost(shape)
        seconds = max(seconds, _COMPANY * cost.seconds(1))
        if cost.seconds(most) <= seconds:
            return most
        return max(1, min(most, int((seconds - cost.a) / cost.c))) if cost.c > 0 else 1
