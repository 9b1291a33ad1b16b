"""All distances between two sets of counts, at once."""

from __future__ import annotations

from collections.abc import Sequence

from inprocml.monitoring.bins import Bins
from inprocml.monitoring.report.shares import rates
from inprocml.monitoring.verdict import Measures

__all__ = ["measures"]


def measures(reference: Sequence[int], current: Sequence[int], bins: Bins | Sequence[str]) -> Measures:
    """Return the distances of ``current`` from ``reference``: counts on ``bins``, or on bins of these names."""
    labels = bins if isinstance(bins, Sequence) else bins.labels()
    missing, unseen, outside = rates(labels, current)
    return Measures(missing=missing, unseen=unseen, out_of_range=outside)
