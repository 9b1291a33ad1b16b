"""All that is counted of a model's quality; it adds up over workers and hosts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.quality.pending import Feedback
from inprocml.monitoring.quality.tally import Tally, added, empty, from_document
from inprocml.schema.strict_json import dump, parse

__all__ = ["DELAYS", "KEPT", "LOSSES", "Counters", "whole"]

KEPT = 96
"""Cohorts that are counted apart; older ones are one sum."""

DELAYS = (60, 600, 3600, 6 * 3600, 86400, 2 * 86400, 4 * 86400, 7 * 86400, 14 * 86400, 30 * 86400)
"""Upper bounds, in seconds, of the bins in which delays of labels are counted; the last bin is open."""

LOSSES = ("evicted", "expired", "unusable", "store_failures", "failures")

_KIND = "quality-counters@1"


@dataclass(eq=False)
class Counters:
    """What was counted: additive, bounded, for ever.

    ``classes`` is 0 for a regression. ``outcomes``: labels by what became of them. ``lost``: predictions
    evicted or expired before their label came, predictions that were no numbers, calls of the store that
    failed, and failures of our own. ``delays``: matched labels by how long they took, ``delay_seconds`` their
    sum. ``cohorts``: a tally by the number of the hour or day in which predictions were made, ``earlier`` the
    sum of those that are no longer kept apart. ``slices``: a tally of labels by slice and value.
    """

    classes: int
    slice_names: tuple[tuple[str, int], ...] = ()
    outcomes: dict[str, int] = field(default_factory=lambda: {each.value: 0 for each in Feedback})
    lost: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LOSSES, 0))
    delays: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(DELAYS) + 1, np.int64))
    delay_seconds: int = 0
    earlier: Tally = field(init=False)
    cohorts: dict[int, Tally] = field(default_factory=dict)
    slices: list[list[Tally]] = field(init=False)

    def __post_init__(self) -> None:
        self.earlier = empty(self.classes)
        self.slices = [[empty(self.classes) for _ in range(size)] for _, size in self.slice_names]

    def cohort(self, number: int) -> Tally:
        """Return the tally of a cohort, to count into; of one too old that of all earlier ones."""
        found = self.cohorts.get(number)
        if found is not None:
            return found
        if len(self.cohorts) >= KEPT and number < min(self.cohorts):
            return self.earlier
        self.cohorts[number] = empty(self.classes)
        self._trim()
        return self.cohorts[number]

    def total(self) -> Tally:
        """Return the sum over all cohorts."""
        result = self.earlier.copy()
        for tally in self.cohorts.values():
            result = added(result, tally)
        return result

    def waited(self, seconds: float) -> None:
        """Count how long a matched label took."""
        self.delays[bisect_left(DELAYS, seconds)] += 1
        self.delay_seconds += int(max(0.0, seconds))

    def __eq__(self, other: object) -> bool:
        """Whether the counts are the same."""
        if not isinstance(other, Counters):
            return NotImplemented
        same = (self.classes, self.slice_names) == (other.classes, other.slice_names)
        return same and self.document() == other.document()

    __hash__ = None  # type: ignore[assignment]  # it counts on

    def __add__(self, other: Self) -> Self:
        if (self.classes, self.slice_names) != (other.classes, other.slice_names):
            raise ValueError("counters of different models do not add up: classes or slices differ")
        result = type(self)(self.classes, self.slice_names)
        result.outcomes = {name: count + other.outcomes[name] for name, count in self.outcomes.items()}
        result.lost = {name: count + other.lost[name] for name, count in self.lost.items()}
        result.delays = self.delays + other.delays
        result.delay_seconds = self.delay_seconds + other.delay_seconds
        result.earlier = added(self.earlier, other.earlier)
        for cohorts in (self.cohorts, other.cohorts):
            for number, tally in cohorts.items():
                known = result.cohorts.get(number)
                result.cohorts[number] = tally.copy() if known is None else added(known, tally)
        result._trim()
        pairs = zip(self.slices, other.slices, strict=True)
        result.slices = [[added(*pair) for pair in zip(*both, strict=True)] for both in pairs]
        return result

    def copy(self) -> Self:
        """Return one that shares nothing with this."""
        result = replace(
            self, outcomes=dict(self.outcomes), lost=dict(self.lost), delays=self.delays.copy(), cohorts={}
        )
        result.earlier = self.earlier.copy()
        result.cohorts = {number: tally.copy() for number, tally in self.cohorts.items()}
        result.slices = [[tally.copy() for tally in tallies] for tallies in self.slices]
        return result

    def _trim(self) -> None:
        while len(self.cohorts) > KEPT:
            self.earlier = added(self.earlier, self.cohorts.pop(min(self.cohorts)))

    def to_json(self) -> str:
        """Return canonical JSON, at most some megabytes."""
        return dump(self.document())

    def document(self) -> dict[str, Any]:
        """Return what ``to_json`` writes."""
        return {
            "kind": _KIND,
            "outcomes": self.outcomes,
            "lost": self.lost,
            "delays": self.delays.tolist(),
            "delay_seconds": self.delay_seconds,
            "earlier": self.earlier.document(),
            "cohorts": [
                {"number": number, "tally": tally.document()}
                for number, tally in sorted(self.cohorts.items())
            ],
            "slices": [[tally.document() for tally in tallies] for tallies in self.slices],
        }

    @classmethod
    def from_json(
        cls, text: str | bytes, *, classes: int, slice_names: tuple[tuple[str, int], ...] = ()
    ) -> Self:
        """Return what ``to_json`` wrote for the same classes and slices.

        ``Corrupt`` for what is no strict JSON, ``ValueError`` for anything else that is not such counters.
        """
        return cls.from_document(parse(text, what="the counters of quality"), classes, slice_names)

    @classmethod
    def from_document(cls, document: object, classes: int, slice_names: tuple[tuple[str, int], ...]) -> Self:
        """Return what ``document`` gave; ``ValueError`` for anything else."""
        if not isinstance(document, dict) or document.get("kind") != _KIND:
            raise ValueError(f"counters of kind {_KIND} were expected")
        result = cls(classes, slice_names)
        try:
            result._read(document)
        except (KeyError, TypeError, OverflowError, AttributeError) as error:
            raise ValueError("the counters are damaged: a member is missing, or of another type") from error
        return result

    def _read(self, document: Mapping[str, Any]) -> None:
        self.outcomes = {name: whole(document["outcomes"][name]) for name in self.outcomes}
        self.lost = {name: whole(document["lost"][name]) for name in self.lost}
        self.delays = np.array([whole(each) for each in document["delays"]], np.int64)
        self.delay_seconds = whole(document["delay_seconds"])
        self.earlier = from_document(document["earlier"], self.classes)
        if len(self.delays) != len(DELAYS) + 1 or len(document["cohorts"]) > KEPT:
            raise ValueError("the counters are damaged: a list has another length")
        for each in document["cohorts"]:
            self.cohorts[whole(each["number"])] = from_document(each["tally"], self.classes)
        read = [[from_document(each, self.classes) for each in tallies] for tallies in document["slices"]]
        if [len(each) for each in read] != [size for _, size in self.slice_names]:
            raise ValueError("the counters are of other slices")
        self.slices = read


def whole(value: object) -> int:
    """Return the count; ``ValueError`` for anything else."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("a count is an integer, not negative, below 2^63")
    return value
