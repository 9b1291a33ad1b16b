"""What a run of so many rows takes, as measured, and what Python adds to it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inprocml.batching.cost import Cost

__all__ = ["Overhead", "Timing"]

_NEAR_BEST = 0.95  # of the most rows/s: what a larger batch adds beyond it is not worth waiting for


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """Seconds that one request costs beside the model; all but ``wake`` are spent holding the interpreter.

    ``before`` and ``after`` are the transform and the decoder, ``call`` what the runner adds to a lone
    caller, ``hand`` what it costs to put a row into a batch and its answer into the hands of a caller who
    waits, and ``wake`` what passes until a thread that was woken runs.
    """

    before: float = 0.0
    after: float = 0.0
    call: float = 0.0
    hand: float = 0.0
    wake: float = 0.0

    @property
    def waiting(self) -> float:
        """Interpreter's seconds for a request that shares a batch: no more than one over it are served."""
        return self.before + self.hand + self.after


class Timing:
    """Seconds of runs by batch size: ``samples`` maps rows to measured seconds, at least one each.

    Between two sizes that were measured, times are taken to lie on a straight line; beyond the last one, to
    grow as t(b) = a + c*b does. Raises ``ValueError`` for sizes or seconds that are none.
    """

    __slots__ = ("_samples", "cost", "sizes")

    def __init__(self, samples: Mapping[int, Sequence[float]]) -> None:
        if not samples or min(samples) < 1 or not all(samples.values()):
            raise ValueError("samples must map numbers of rows, at least 1, to one measured time or more")
        if not all(0 <= seconds < math.inf for taken in samples.values() for seconds in taken):
            raise ValueError("samples must hold seconds, 0 or more and finite")
        self.sizes = tuple(sorted(samples))
        self._samples = [sorted(samples[size]) for size in self.sizes]
        self.cost = _fitted(samples)

    @classmethod
    def linear(cls, a: float, c: float = 0.0, *, most: int = 1024) -> Timing:
        """Return the times of a device that always takes ``a + c * rows`` seconds."""
        return cls({1: [a + c], most: [a + c * most]})

    def at(self, rows: int, quantile: float = 0.5) -> float:
        """Return the seconds that ``rows`` rows take, at a quantile from 0 to 1 of what was measured."""
        sizes = self.sizes
        right = bisect_left(sizes, rows)
        if right == len(sizes):
            last = _quantile(self._samples[-1], quantile)
            known = self.cost.seconds(sizes[-1])
            return last * self.cost.seconds(rows) / known if known else last
        found = _quantile(self._samples[right], quantile)
        if right == 0 or sizes[right] == rows:
            return found
        left = _quantile(self._samples[right - 1], quantile)
        share = (rows - sizes[right - 1]) / (sizes[right] - sizes[right - 1])
        return left + share * (found - left)

    def rate(self, rows: int) -> float:
        """Return the rows a second of a loop that runs nothing but batches of ``rows``."""
        seconds = self.at(rows)
        return rows / seconds if seconds else math.inf

    def best(self, most: int | None = None) -> int:
        """Return the smallest measured size, up to ``most``, within 5 % of the most rows a second."""
        sizes = [size for size in self.sizes if most is None or size <= most] or [self.sizes[0]]
        enough = _NEAR_BEST * max(map(self.rate, sizes))
        return next(size for size in sizes if self.rate(size) >= enough)

    def to_dict(self) -> dict[str, Any]:
        """Return what was measured as JSON can hold it; seconds, and rows a second."""
        return {
            "a": self.cost.a,
            "c": self.cost.c,
            "sigma": self.cost.sigma,
            "best_batch": self.best(),
            "sizes": [
                {"rows": rows, "median": self.at(rows), "p90": self.at(rows, 0.9), "runs": len(taken)}
                for rows, taken in zip(self.sizes, self._samples, strict=True)
            ],
        }


def _quantile(ordered: Sequence[float], quantile: float) -> float:
    place = quantile * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _fitted(samples: Mapping[int, Sequence[float]]) -> Cost:
    """Fit t(b) = a + c*b as the queue does, from runs of all sizes in turn."""
    cost = Cost(forgetting=1.0)
    for place in range(max(map(len, samples.values()))):
        for rows, taken in sorted(samples.items()):
            if place < len(taken):
                cost.observe(rows, taken[place])
    return cost
