"""All distances between two sets of counts, at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from inprocml.monitoring.bins import Bins, NumberBins
from inprocml.monitoring.report.shares import ends, is_numeric, rates, unseen
from inprocml.monitoring.statistics import (
    Undefined,
    bin_centres,
    binned_ks,
    hellinger,
    jensen_shannon,
    l_infinity,
    location,
    psi,
    scale,
    total_variation,
    wasserstein,
)
from inprocml.monitoring.verdict import Finding, Measures, Reference

__all__ = ["measured", "measures"]


def measures(
    reference: Sequence[int],
    current: Sequence[int],
    bins: Bins | Sequence[str],
    *,
    expected: bool = False,
) -> Measures:
    """Return the distances of ``current`` from ``reference``: counts on ``bins``, or on bins of these names.

    ``None`` where a distance is undefined. Those that need an order (Kolmogorov-Smirnov, Wasserstein,
    location, scale) are of numbers alone and leave missing values out. Names of bins tell their ends to six
    digits: Wasserstein is not more exact then. ``expected``: ``reference`` holds what is expected of values
    never seen (``BinCounts.left_out``), so these are one with other rare values in all distances: the
    training rows themselves have none that are new. Raises ``ValueError`` for what are no counts on these
    bins.
    """
    labels = bins if isinstance(bins, Sequence) else bins.labels()
    missing, unseen, outside = rates(labels, current)
    if expected:
        reference, current = _together(labels, reference, current)
    index = psi(reference, current, debias=True)
    told = Measures(
        jensen_shannon=_value(jensen_shannon(reference, current)),
        hellinger=_value(hellinger(reference, current)),
        total_variation=_value(total_variation(reference, current)),
        l_infinity=_value(l_infinity(reference, current)),
        missing=missing,
        unseen=unseen,
        out_of_range=outside,
    )
    if not isinstance(index, Undefined):
        told = replace(told, psi=index.debiased, psi_low=index.low, psi_high=index.high)
    return _ordered(told, reference, current, bins) if is_numeric(labels) else told


def measured(found: Finding, bins: Bins | None = None, reference: Reference = Reference.TRAIN) -> Finding:
    """Return a finding with all measures of its counts; ``bins`` where these are the bins of its column.

    What it measured and these counts do not tell stays, as the location of a category's ranks.
    """
    fits = bins is not None and bins.size == len(found.labels)
    again = measures(
        found.reference,
        found.current,
        bins if fits and bins is not None else found.labels,
        expected=reference is Reference.TRAIN,
    )
    kept = {
        name: getattr(found.measures, name)
        for name in Measures.__dataclass_fields__
        if getattr(again, name) is None
    }
    return replace(found, measures=replace(again, **kept))


def _together(
    labels: Sequence[str], reference: Sequence[int], current: Sequence[int]
) -> tuple[Sequence[int], Sequence[int]]:
    """Count values never seen with others, and with those that came once, where some are expected."""
    new = unseen(labels)
    if not new or len(reference) != len(labels) or len(current) != len(labels) or not reference[new]:
        return reference, current
    rare = {place for place, count in enumerate(reference[: new - 1]) if not count} | {new - 1, new}
    kept = [place for place in range(len(labels)) if place not in rare]
    sides = [
        [*(side[place] for place in kept), sum(side[place] for place in rare)]
        for side in (reference, current)
    ]
    return sides[0], sides[1]


def _ordered(
    told: Measures, reference: Sequence[int], current: Sequence[int], bins: Bins | Sequence[str]
) -> Measures:
    before, now = reference[:-1], current[:-1]
    if not before:
        return told
    centres = _centres(bins)
    moved = None if centres is None else _value(wasserstein(reference, current, centres=centres))
    return replace(
        told,
        binned_ks=_value(binned_ks(before, now)),
        wasserstein=moved,
        location=_value(location(before, now)),
        scale=_value(scale(before, now)),
    )


def _centres(bins: Bins | Sequence[str]) -> Sequence[float] | None:
    """Return a value for each bin, NaN for missing; ``None`` where the bins do not tell."""
    if isinstance(bins, NumberBins):
        return list(bin_centres(bins.edges, bins.size)) if bins.edges else None
    spans = [ends(label) for label in (bins if isinstance(bins, Sequence) else bins.labels())[:-1]]
    centres = [_centre(*span) for span in spans if span is not None]
    known = len(centres) == len(spans) and bool(np.isfinite(centres).all())
    return [*centres, math.nan] if known else None


def _centre(low: float, high: float) -> float:
    if math.isinf(low):
        return high
    return low if math.isinf(high) else low / 2 + high / 2


def _value(found: float | Undefined) -> float | None:
    return None if isinstance(found, Undefined) else found
