"""The most frequent values of a stream, in bounded memory: for the names of what training never saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Frequent"]


class Frequent:
    """Misra-Gries counters: at most ``most`` values; each count is at most ``rows / (most + 1)`` too low.

    Values that make up more than that share of the stream are always among them; up to ``most`` different
    values are counted exactly. Two summaries merge into one with the same guarantee (Misra and Gries 1982;
    Agarwal et al., Mergeable Summaries, PODS 2012). Where nothing is left of a count its name stays while
    there is room, so that there are examples whatever comes; such a value came once at least.
    """

    __slots__ = ("_counts", "most")

    def __init__(self, most: int = 32, counts: Mapping[str, int] | None = None) -> None:
        self.most = most
        self._counts: dict[str, int] = {}
        for value, times in (counts or {}).items():
            self._counts[value] = times
        self._shrink()

    def add(self, values: Iterable[tuple[str, int]]) -> None:
        """Count values, each with how often it came."""
        for value, times in values:
            self._counts[value] = self._counts.get(value, 0) + times
            if len(self._counts) > 2 * self.most:  # memory is bounded, for one sort in many values
                self._shrink()
        self._shrink()

    def merge(self, other: Frequent) -> None:
        """Add the counts of another summary."""
        self.add(other.counters.items())

    @property
    def counts(self) -> dict[str, int]:
        """The values, the most frequent first, ties by name; counts are at least 1 and never too high."""
        return {value: max(count, 1) for value, count in self.counters.items()}

    @property
    def counters(self) -> dict[str, int]:
        """What another summary goes on from, in the same order: 0 of a value that has but its name left."""
        return dict(sorted(self._counts.items(), key=_foremost))

    def _shrink(self) -> None:
        if len(self._counts) <= self.most:
            return
        foremost = sorted(self._counts.items(), key=_foremost)
        cut = foremost[self.most][1]  # a counter of 0 is a free one: a 1 in it would break the guarantee
        self._counts = {value: count - cut for value, count in foremost[: self.most]}


def _foremost(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]
