"""From which cohort on answers are worse: the change point among cohorts, as for drift of columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inprocml.monitoring.quality.calibration import Calibration
from inprocml.monitoring.quality.residual import LEAST, Residual, sums
from inprocml.monitoring.quality.tally import ClassTally, NumberTally, Tally

__all__ = ["worse_from"]


def worse_from(
    tallies: Sequence[Tally],
    residual: Residual,
    promised: Calibration | NumberTally | None,
    *,
    dependence: float = 1.0,
) -> int:
    """Return the place of the first cohort that is worse in the way that ``residual`` says.

    The window of ``residual`` is as long as suits its test, and changes from look to look. Of all splits into
    before and after, the one with the largest likelihood ratio: of means that nobody knows, what was before
    being as promised to within ``LEAST`` rows (Hinkley, Biometrika 57 (1970), 1-17).
    """
    found = np.array([_worse(each, residual.test, promised) for each in tallies], np.float64)
    worse, variance, rows = found.T
    after, spread = np.cumsum(worse[::-1])[::-1], np.cumsum(variance[::-1])[::-1]
    before, usual = after[0] - after, spread[0] - spread
    known = LEAST * dependence * spread[0] / max(rows.sum(), 1)
    told = np.where(spread > 0, after**2 / np.maximum(spread, 1e-12), 0) + before**2 / (usual + known)
    worsened = (after > 0) & (after * (usual + known) > before * spread)
    return int(np.where(worsened, told, -1.0).argmax())


def _worse(tally: Tally, test: str, promised: Calibration | NumberTally | None) -> tuple[float, float, float]:
    """Return how much worse all rows of a cohort are, the variance of that but for a factor, and its rows."""
    if isinstance(tally, ClassTally):
        calibration = promised if isinstance(promised, Calibration) else None
        named = (each for each in sums(tally, calibration) if each[0] == test)
        _, worse, variance, _, rows = next(named)
        return worse, variance, rows
    assert isinstance(promised, NumberTally)
    rows, errors = float(tally.counts[0]), float(tally.counts[1])
    return errors - rows * float(promised.counts[1] / promised.counts[0]), rows, rows
