"""Between the request and the counting: a bounded line of rows that were answered."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from inprocml.values import Row, Tensors

__all__ = ["Buffer", "Seen"]

_MOST_DROPS = 1 << 20  # that are counted between two looks


class Seen(NamedTuple):
    """One answered row: a copy of it, the model's outputs for it (one row), and the prediction's id."""

    row: Row
    outputs: Tensors
    id: str


class Buffer:
    """Holds at most ``most`` rows; what comes when it is full is dropped and counted. Nobody ever waits.

    Threads may put at once. The bound may be exceeded by a row for each thread that races for the last place.
    """

    __slots__ = ("_drops", "_failures", "_rows", "most", "taken")

    def __init__(self, most: int = 16_384) -> None:
        self.most = most
        self.taken = 0  # rows that were taken out, by the one who counts
        self._rows: deque[tuple[Row, Tensors, str]] = deque()
        self._drops: deque[None] = deque(maxlen=_MOST_DROPS)  # ``append`` is atomic, as no addition is
        self._failures: deque[None] = deque(maxlen=_MOST_DROPS)

    def put(self, row: Row, outputs: Tensors, prediction_id: str) -> None:
        """Leave a row to be counted; the row is copied, for its owner may use the mapping again.

        What the row's own ``Mapping`` raises passes through, and is counted.
        """
        rows = self._rows
        if len(rows) >= self.most:
            self._drops.append(None)
            return
        try:
            copied = row.copy() if type(row) is dict else dict(row.items())
        except BaseException:
            self._failures.append(None)
            raise
        rows.append((copied, outputs, prediction_id))  # a named tuple takes as long to make as all the rest

    def holds(self, prediction_id: object) -> bool:
        """Whether the row of a prediction is still here."""
        return any(prediction_id == waiting[2] for waiting in list(self._rows))

    def take(self, most: int) -> list[Seen]:
        """Take out at most ``most`` rows, the oldest first; one thread at a time."""
        rows = self._rows
        taken = [Seen._make(rows.popleft()) for _ in range(min(most, len(rows)))]
        self.taken += len(taken)
        return taken

    def drops(self) -> int:
        """Return how many rows were dropped since the last call."""
        return _emptied(self._drops)

    def failures(self) -> int:
        """Return how many rows could not be copied since the last call."""
        return _emptied(self._failures)

    def __len__(self) -> int:
        return len(self._rows)


def _emptied(marks: deque[None]) -> int:
    count = len(marks)
    for _ in range(count):
        marks.popleft()
    return count
