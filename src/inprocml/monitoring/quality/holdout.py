"""Counts of labelled rows that came with a model, checked before a live label is compared with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inprocml.monitoring.quality.tally import UNIT, ClassTally, Tally, from_document

__all__ = ["held_out"]

_MOST_ROWS = 2**31  # so that no sum of what is counted leaves 64 bits
_MOST_SUM = 1e150


def held_out(document: Mapping[str, Any], classes: int) -> Tally:
    """Return the tally of ``document``, of so many classes, or of a regression for 0.

    ``ValueError`` for another kind, for no rows, and for counts that no rows can have.
    """
    tally = from_document(document, classes)
    if not isinstance(tally, ClassTally):
        if not 1 <= tally.counts[0] <= _MOST_ROWS or (np.abs(tally.counts) > _MOST_SUM).any():
            raise ValueError("the sums of held-out rows are beyond what rows can have")
        return tally
    rows, sums = tally.rows.tolist(), tally.sums.tolist()
    total = sum(rows)
    if not 1 <= total <= _MOST_ROWS or any(s > n * UNIT for n, s in zip(rows, sums, strict=True)):
        raise ValueError("the counts of held-out rows are beyond what rows can have")
    confusion = sum(tally.confusion.reshape(-1).tolist())
    if sum(tally.seen_rows.reshape(-1).tolist()) != total or (len(tally.confusion) and confusion != total):
        raise ValueError("the counts of held-out rows are not of the same rows")
    return tally
