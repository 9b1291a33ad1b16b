"""Population stability index: how far shares moved, each weighed by the logarithm of its ratio."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.compat import Product, evidently_shares, supported
from inprocml.monitoring.statistics.pair import Floats, Pair, paired
from inprocml.monitoring.statistics.result import Psi, Undefined
from inprocml.monitoring.statistics.tails import chi_square_sf

__all__ = ["psi"]

_TWO_SIDED = 1.959963984540054  # 95 %


def psi(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    smoothing: Literal["jeffreys"] | float = "jeffreys",
    debias: bool = False,
    occupied: bool = True,
    compat: Product | None = None,
) -> Psi | Undefined:
    """Return sum (q - p) ln(q / p), p and q the shares of ``reference`` (m rows) and ``current`` (n rows).

    ``smoothing``: "jeffreys" adds half a row to each bin, so p = (c + 0.5) / (m + 0.5 B); a number replaces
    shares of 0 and nothing else. ``occupied``: only over the B bins that are not empty on both sides.
    ``debias``: ``statistic`` is less (B - 1)(1/n + 1/m), its mean without drift. The p-value is that of
    PSI / (1/n + 1/m) as chi-square with B - 1 degrees of freedom. ``compat="evidently"`` sets the smoothing.
    Counts have shape ``(bins,)``. Raises ``ValueError`` for what are no counts, and for other smoothing.

    Source: Yurdakul and Naranjo, Statistical properties of the population stability index, 2020. Interval:
    k sqrt(2 (B - 1) + 4 PSI / k), k = 1/n + 1/m, the spread of a chi-square that is not central.

    >>> found = psi([500, 500], [400, 600])
    >>> round(found.statistic, 6), found.dof, round(found.debiased, 6)
    (0.040464, 1, 0.038464)
    >>> print(psi([500, 500], [0, 0]))
    undefined: current holds no rows
    """
    supported("psi", compat, "evidently")
    pair = paired(reference, current)
    if isinstance(pair, Undefined):
        return pair
    if occupied:
        pair = pair.occupied()
    p, q = evidently_shares(pair) if compat else _smoothed(pair, smoothing)
    raw = float(np.sum((q - p) * np.log(q / p)))
    noise, dof = pair.noise, len(p) - 1
    debiased = raw - dof * noise
    reach = _TWO_SIDED * noise * math.sqrt(2 * dof + 4 * max(debiased, 0.0) / noise)
    return Psi(
        statistic=debiased if debias else raw,
        p_value=float(chi_square_sf(raw / noise, dof)),
        dof=dof,
        debiased=debiased,
        low=debiased - reach,
        high=debiased + reach,
    )


def _smoothed(pair: Pair, smoothing: str | float) -> tuple[Floats, Floats]:
    if smoothing == "jeffreys":
        added = 0.5 * len(pair.reference)
        return (pair.reference + 0.5) / (pair.m + added), (pair.current + 0.5) / (pair.n + added)
    if isinstance(smoothing, str) or not 0 < smoothing < 1:
        raise ValueError(f'smoothing must be "jeffreys" or a share between 0 and 1, not {smoothing!r}.')
    p, q = pair.shares()
    return np.where(p == 0, smoothing, p), np.where(q == 0, smoothing, q)
