"""Wilson's interval for a share."""

from __future__ import annotations

import math

from inprocml.monitoring.statistics.result import Interval, Undefined
from inprocml.monitoring.statistics.tails import normal_isf

__all__ = ["wilson"]


def wilson(successes: int, rows: int, confidence: float = 0.95) -> Interval | Undefined:
    """Return the interval for the share behind ``successes`` out of ``rows``, within 0 and 1.

    Without continuity correction; right also for 0 and for all. Undefined for no rows. Raises ``ValueError``
    for counts that cannot be, and for a confidence that is not between 0 and 1.

    Source: Wilson, Probable inference, 1927.

    >>> tuple(round(end, 6) for end in wilson(2, 100))
    (0.005502, 0.070012)
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence!r}.")
    if not 0 <= successes <= rows or successes != int(successes) or rows != int(rows):
        raise ValueError(
            f"{successes!r} out of {rows!r} cannot be: pass whole counts, successes at most rows."
        )
    if not rows:
        return Undefined("there are no rows")
    z2 = float(normal_isf((1 - confidence) / 2)) ** 2
    share = successes / rows
    centre = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    reach = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * rows)) / rows) / (1 + z2 / rows)
    return Interval(
        0.0 if successes == 0 else max(centre - reach, 0.0),
        1.0 if successes == rows else min(centre + reach, 1.0),
    )
