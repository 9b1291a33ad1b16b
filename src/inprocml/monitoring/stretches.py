"""How far stretches of training lie apart, all columns together: what a day of now may show without a change.

One day of training is not like all of it, so a classifier can tell it from all of it. What is measured when a
model is packed (``watching.apart``) travels in the baseline: a few numbers for each of a few lengths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from inprocml.schema.sound import Strict

__all__ = [
    "CALM",
    "FEWEST_ROWS",
    "MOST_LENGTHS",
    "NOISE",
    "Stretch",
    "StretchDocument",
    "reach",
    "read",
    "spread",
]

MOST_LENGTHS = 4
FEWEST_ROWS = 100
CALM = 0.5
"""The AUC where stretches differ by no more than chance explains."""
NOISE = 2.5
"""Sigma: half a year of flights, looked at each hour, stays below (docs/explanation/drift.md)."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Of ``rows`` training rows that follow one another: the largest AUC by which they were told apart.

    ``train``: from the other training rows. ``live``: from as many rows just before them. 0.5 where chance
    explains it; otherwise up to 1.
    """

    rows: int
    train: float
    live: float


class StretchDocument(Strict):
    rows: Annotated[int, Field(ge=FEWEST_ROWS, lt=2**63)]
    train: Annotated[float, Field(ge=CALM, le=1)]
    live: Annotated[float, Field(ge=CALM, le=1)]


def read(documents: Sequence[StretchDocument], rows: int) -> tuple[Stretch, ...]:
    """Return the stretches of a table of ``rows`` rows; ``ValueError`` for such as it cannot have."""
    found = tuple(Stretch(each.rows, each.train, each.live) for each in documents)
    lengths = [each.rows for each in found]
    if lengths != sorted(set(lengths)) or any(length > rows // 2 for length in lengths):
        raise ValueError("stretches must be ever longer, and the longest half of the rows at most")
    if found and found[0].train == found[0].live == CALM:
        raise ValueError("the shortest stretches must show something")
    return found


def reach(stretches: Sequence[Stretch], rows: int) -> tuple[float, float]:
    """Return how far stretches as long as a day of ``rows`` rows get, or longer ones: (train, live).

    For a day that is shorter than all of them, all; for one that is longer, the longest.
    """
    shorter = [place for place, each in enumerate(stretches) if each.rows <= rows]
    asked = stretches[shorter[-1] if shorter else 0 :]
    return (
        max((each.train for each in asked), default=CALM),
        max((each.live for each in asked), default=CALM),
    )


def spread(rows: int, compared: int) -> float:
    """Return a standard deviation of the AUC of so many rows against so many, where nothing can be told.

    The AUC is a mean over two halves. Were they independent of one another it would be smaller by the root of
    2; simulated it is 6 to 15 % smaller. Source: Hanley and McNeil, Radiology 143 (1982), 29-36.
    """
    return math.sqrt((rows + compared + 2) / (6 * max(rows * compared, 1)))
