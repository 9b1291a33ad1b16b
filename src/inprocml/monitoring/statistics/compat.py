"""How named products define the statistics that they share a name with: ``compat="evidently"`` and so on.

Read from their code: Evidently 0.7.23, TensorFlow Data Validation 1.21, NannyML 0.13.1. The definition is
theirs, the bins are yours: products also differ in how they bin, and Evidently and NannyML leave missing
values out (leave the last bin out to do the same).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from inprocml.monitoring.statistics.pair import Floats, Pair

__all__ = ["Product", "evidently_shares", "jensen_shannon_of", "sigma_of", "supported", "table_of", "yates"]

Product = Literal["evidently", "tfdv", "nannyml"]


class Divergence(NamedTuple):
    """The base of the logarithm, and whether the square root is left out."""

    base: float
    divergence: bool


def supported(statistic: str, product: str | None, *products: str) -> None:
    """Raise ``ValueError`` where ``product`` has no definition of its own of ``statistic``."""
    if product is not None and product not in products:
        raise ValueError(
            f"compat={product!r} is not known for {statistic}: pass {' or '.join(products)}, or nothing."
        )


def evidently_shares(pair: Pair) -> tuple[Floats, Floats]:
    """Return the shares as Evidently's PSI has them: none is 0, and they no longer add up to 1.

    A side's zeros become 1e-4, or a millionth of its smallest share where that is 1e-4 or less
    (``stattests/utils.py``, ``get_binned_data``).

    >>> evidently_shares(Pair(np.array([1.0, 0.0]), np.array([3.0, 1.0]), 1.0, 4.0))[0].tolist()
    [1.0, 0.0001]
    """
    p, q = pair.shares()
    return _filled(p), _filled(q)


def jensen_shannon_of(product: Product) -> Divergence:
    """Return base, and distance or divergence.

    Evidently: SciPy's distance, base e (``stattests/jensenshannon.py``). NannyML: the distance, base 2
    (``drift/univariate/methods.py``, ``JensenShannonDistance``). TFDV: the divergence, base 2
    (``anomalies/metrics.cc``, ``JensenShannonDivergence``).

    >>> jensen_shannon_of("tfdv")
    Divergence(base=2.0, divergence=True)
    """
    return {
        "evidently": Divergence(math.e, divergence=False),
        "nannyml": Divergence(2.0, divergence=False),
        "tfdv": Divergence(2.0, divergence=True),
    }[product]


def sigma_of(product: Product, sigma: float) -> float:
    """Return what the Wasserstein distance is divided by, ``sigma`` being the reference's.

    Evidently: sigma, at least 0.001 (``stattests/wasserstein_distance_norm.py``). NannyML: nothing
    (``WassersteinDistance``).

    >>> sigma_of("evidently", 0.0), sigma_of("nannyml", 3.0)
    (0.001, 1.0)
    """
    return {"evidently": max(sigma, 0.001), "nannyml": 1.0}[product]


def table_of(product: Product | None, pair: Pair) -> tuple[Floats, Floats]:
    """Return what was observed and what was expected, for chi-square and G, of a pair without empty bins.

    By default the 2 x bins table of both sides. Evidently: now alone, against the reference's shares taken
    as exact (``stattests/chisquare_stattest.py`` and ``g_stattest.py``): a category that is new makes the
    statistic infinite.
    """
    if product == "evidently":
        return pair.current, pair.reference * (pair.n / pair.m)
    observed = np.stack([pair.reference, pair.current])
    rows = np.array([[pair.m], [pair.n]])
    return observed, rows * (observed.sum(axis=0) / (pair.m + pair.n))


def yates(observed: Floats, expected: Floats) -> Floats:
    """Return the table moved towards what was expected by half a row at most: Yates' correction.

    NannyML calls ``scipy.stats.chi2_contingency``, which corrects tables of two columns unless told not to
    (``Chi2Statistic``).
    """
    away = expected - observed
    moved: Floats = observed + np.minimum(0.5, np.abs(away)) * np.sign(away)
    return moved


def _filled(shares: Floats) -> Floats:
    smallest = float(shares[shares > 0].min())
    return np.where(shares == 0, smallest / 1e6 if smallest <= 1e-4 else 1e-4, shares)
