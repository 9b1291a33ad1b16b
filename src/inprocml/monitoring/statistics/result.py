"""What statistics return when it is more than a number; and ``Undefined``, which is no number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Interval", "Outcome", "Psi", "Undefined"]


@dataclass(frozen=True, slots=True)
class Undefined:
    """There is no value, and ``reason`` says why: a side without rows, a reference that does not vary.

    It is neither NaN nor an exception: NaN passes every ``>`` in silence, and no rows are no error.

    >>> Undefined("the current side holds no rows").statistic is None
    True
    """

    reason: str

    @property
    def statistic(self) -> None:
        """None."""
        return

    @property
    def p_value(self) -> None:
        """None."""
        return

    @property
    def dof(self) -> None:
        """None."""
        return

    def __str__(self) -> str:
        return f"undefined: {self.reason}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A test statistic, the chance of one at least as large without drift, its degrees of freedom."""

    statistic: float
    p_value: float
    dof: int

    def __float__(self) -> float:
        return self.statistic


@dataclass(frozen=True, slots=True)
class Psi:
    """A population stability index: ``statistic`` as asked for, raw or debiased.

    ``p_value`` and ``dof`` belong to the raw value. ``debiased`` is without what sampling alone adds on
    average, and may be negative; ``low`` and ``high`` are its 95 % interval, to be shown, not decided on
    (it covers 89 to 95 % from 1000 rows on).
    """

    statistic: float
    p_value: float
    dof: int
    debiased: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.statistic


class Interval(NamedTuple):
    """From ``low`` to ``high``, both included."""

    low: float
    high: float
