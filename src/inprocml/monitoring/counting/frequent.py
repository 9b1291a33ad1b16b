"""The most frequent values of a stream, in bounded memory: for the names of what training never saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Frequent"]


class Frequent:
    """Misra-Gries counters: at most ``most`` values; each count is at most ``rows / (most + 1)`` too low.

    Values that make up more than that share of the stream are always among them. Two summaries merge into one
    with the same guarantee (Misra and Gries 1982; Agarwal et al., Mergeable Summaries, PODS 2012).
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
        self.add(other.counts.items())

    @property
    def counts(self) -> dict[str, int]:
        """The values, the most frequent first, ties by name; counts are never too high."""
        return dict(sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def _shrink(self) -> None:
        if len(self._counts) <= self.most:
            return
        cut = sorted(self._counts.values(), reverse=True)[self.most]
        self._counts = {value: count - cut for value, count in self._counts.items() if count > cut}
