"""Whether the labels of a cohort have come: early labels are not like late ones, and prove nothing alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["ENOUGH", "Cohort", "judged", "latest", "to_come"]

ENOUGH = 0.8
"""The part of the usual coverage that must have arrived."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """The predictions of one hour or day, ``start`` to ``until`` in seconds since 1970.

    ``coverage`` is the share of the ``predicted`` rows that has a label; ``mature``: it may be judged.
    """

    number: int
    start: float
    until: float
    predicted: int
    labelled: int
    coverage: float
    mature: bool


def judged(
    counted: Mapping[int, tuple[int, int]],
    now: float,
    *,
    length: float,
    within: float,
    usual: float | None = None,
) -> tuple[tuple[Cohort, ...], float | None]:
    """Return the cohorts, oldest first, and the usual coverage.

    ``counted`` maps a cohort's number (its start over ``length`` seconds) to predictions and labels. A label
    takes at most ``within`` seconds, so a cohort that ended so long ago has all it will get; the usual
    coverage is the median of those, unless it is given, and None before there is one. A cohort is mature
    when it has ended and has at least 80 % of the usual coverage.
    """
    # labels joined elsewhere may outnumber the predictions that this process made
    covered = {number: min(1.0, came / made) if made else 0.0 for number, (made, came) in counted.items()}
    closed = [
        covered[number]
        for number, (made, _) in counted.items()
        if made and (number + 1) * length + within <= now
    ]
    if usual is None and closed:
        usual = float(np.median(closed))
    needed = ENOUGH * usual if usual else None
    found = []
    for number, (made, came) in sorted(counted.items()):
        start, until = number * length, (number + 1) * length
        mature = needed is not None and until <= now and came > 0 and covered[number] >= needed
        found.append(Cohort(number, start, until, made, came, covered[number], mature))
    return tuple(found), usual


def latest(cohorts: Sequence[Cohort], most: int) -> list[Cohort]:
    """Return the last ones that are mature, ``most`` of them: those that figures are of."""
    return [each for each in cohorts if each.mature][-most:]


def to_come(cohorts: Sequence[Cohort]) -> list[Cohort]:
    """Return those after the last one that is mature: most of their labels are not there yet."""
    after = max((each.number for each in cohorts if each.mature), default=-1)
    return [each for each in cohorts if each.number > after]
