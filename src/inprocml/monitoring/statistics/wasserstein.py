"""Wasserstein distance: how far values moved on average, in sigma of the reference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from inprocml.monitoring.statistics.compat import Product, sigma_of, supported
from inprocml.monitoring.statistics.pair import Floats, paired
from inprocml.monitoring.statistics.result import Undefined

__all__ = ["bin_centres", "wasserstein"]


def bin_centres(edges: ArrayLike, bins: int) -> Floats:
    """Return a value for each of ``bins`` bins between ``edges``, shape ``(bins,)``.

    Inner bins: the midpoint. The open outer bins: the edge that they begin at, so what lies outside the
    reference is taken to be just outside. With ``len(edges) + 2`` bins the last is for missing values and has
    NaN. Raises ``ValueError`` for any other number of bins, and for edges that do not rise.

    >>> bin_centres([0.0, 1.0, 3.0], 5).tolist()
    [0.0, 0.5, 2.0, 3.0, nan]
    """
    given = np.asarray(edges, dtype=np.float64)
    if given.ndim != 1 or not np.isfinite(given).all() or (given[1:] <= given[:-1]).any():
        raise ValueError("edges must be one list of finite numbers that rise.")
    if bins - len(given) not in (1, 2) or not len(given):
        raise ValueError(
            f"{len(given)} edges make {len(given) + 1} bins, or {len(given) + 2} with one for missing "
            f"values; there are {bins}."
        )
    low, high = given[:-1], given[1:]
    # The bin of a single value is one step wide: its centre is that value, not a rounded half step more.
    middle = np.where(np.nextafter(low, np.inf) == high, low, low / 2 + high / 2)
    return np.concatenate([given[:1], middle, given[-1:], [math.nan] * (bins - len(given) - 1)])


def wasserstein(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    edges: ArrayLike | None = None,
    centres: ArrayLike | None = None,
    sigma: float | None = None,
    compat: Product | None = None,
) -> float | Undefined:
    """Return the area between the two distribution functions, divided by sigma; 0 and more.

    All rows of a bin stand at its centre: ``centres``, shape ``(bins,)``, NaN for bins to leave out, or
    ``edges`` from which ``bin_centres`` makes them (missing values are left out). ``sigma`` is that of the
    reference at these centres where none is given. ``compat``: "evidently" takes 0.001 at least, "nannyml" 1.
    Undefined where a side has no rows with a value, and where sigma is 0. Raises ``ValueError`` for what are
    no counts, centres that do not fit, or a sigma that is no positive number.

    Source: Vallender 1974 (one dimension); error: at most the mean width of the bins that rows lie in.

    >>> round(wasserstein([1, 1, 0], [0, 1, 1], centres=[0.0, 1.0, 2.0]), 6)
    2.0
    """
    supported("wasserstein", compat, "evidently", "nannyml")
    pair = paired(reference, current)
    places = _places(edges, centres, np.asarray(reference).size)
    if sigma is not None and not 0 < sigma < math.inf:
        raise ValueError(f"sigma must be a positive number, not {sigma!r}.")
    if isinstance(pair, Undefined):
        return pair
    kept = np.flatnonzero(~np.isnan(places))
    order = kept[np.argsort(places[kept], kind="stable")]
    old, new, at = pair.reference[order], pair.current[order], places[order]
    for side, name in ((old, "reference"), (new, "current")):
        if not side.sum():
            return Undefined(f"{name} holds no rows with a value")
    scale = float(np.max(np.abs(at))) or 1.0  # keeps differences and squares within float64
    at = at / scale
    gaps = np.abs(np.cumsum(old) / old.sum() - np.cumsum(new) / new.sum())[:-1]
    area = float(np.sum(gaps * np.diff(at)))
    shares = old / old.sum()
    spread = math.sqrt(float(np.sum(shares * (at - np.sum(shares * at)) ** 2)))
    unit = spread if sigma is None else sigma / scale
    if compat is not None:
        unit = sigma_of(compat, unit * scale) / scale
    return area / unit if unit else Undefined("the reference does not vary; pass sigma")


def _places(edges: ArrayLike | None, centres: ArrayLike | None, bins: int) -> Floats:
    if (edges is None) == (centres is None):
        raise ValueError("say where the bins lie: pass edges or centres, and not both.")
    if edges is not None:
        return bin_centres(edges, bins)
    places = np.asarray(centres, dtype=np.float64)
    if places.shape != (bins,) or np.isinf(places).any():
        raise ValueError(f"centres must hold a finite number, or NaN, for each of the {bins} bins.")
    return places
