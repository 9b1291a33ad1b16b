"""How far out a value must lie: so far that chance gives no more alerts than were asked for."""

from __future__ import annotations

from statistics import NormalDist

__all__ = ["DAYS", "threshold"]

DAYS = 90
_SCALES, _SIDES = 10, 2


def threshold(columns: int, budget: float, blocks: float) -> float:
    """Return z such that chance gives ``budget`` false alerts in ``blocks`` blocks of ``columns`` columns.

    ``isf(A / (20 F Nb))``: ten scales and two sides; that the tests of a column and its overlapping windows
    cost no more than this was measured (``benchmarks/drift_study.py``). ``ValueError`` unless all are
    positive. At least 4, whatever the budget.
    """
    if budget <= 0 or blocks <= 0:
        raise ValueError(f"a budget of {budget} alerts in {blocks} blocks: both must be positive")
    share = budget / (_SCALES * _SIDES * max(columns, 1) * blocks)
    return max(4.0, -NormalDist().inv_cdf(min(share, 0.4)))
