"""Between the request and the counting: a bounded line of rows that were answered."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from inprocml.values import Row, Tensors

__all__ = ["MOST_BYTES", "Buffer", "Seen"]

MOST_BYTES = 64 * 2**20
"""Bytes that the files, vectors and long texts of waiting rows may take."""

_MOST_DROPS = 1 << 20  # that are counted between two looks
_UNIT = 4 * 2**10  # bytes, in which that is counted
_GLIMPSE = 4 * 2**10  # bytes of one at most
_ROW = 512  # bytes of all that is small, roughly
_NUMBER = 32  # bytes of a number in a list


class Seen(NamedTuple):
    """One answered row: a copy of it, the model's outputs for it (one row), and the prediction's id.

    ``glimpse`` is what was kept of its tensors; ``units`` is how many times 4 KiB of the bound it takes.
    """

    row: Row
    outputs: Tensors
    id: str
    glimpse: tuple[Any, ...] = ()
    units: int = 0


_seen = partial(tuple.__new__, Seen)  # ``Seen._make`` takes three times as long


class Buffer:
    """Holds at most ``most`` rows; what comes when it is full is dropped and counted. Nobody ever waits.

    ``heavy`` names the fields of which a value may be large: where there are any, no row is taken while those
    that wait hold ``most_bytes`` in them. Threads may put at once. A bound may be exceeded by a row for each
    thread that races for the last place.
    """

    __slots__ = ("_drops", "_failures", "_heavy", "_load", "_most_units", "_rows", "most", "taken")

    def __init__(
        self, most: int = 16_384, *, heavy: Sequence[str] = (), most_bytes: int = MOST_BYTES
    ) -> None:
        self.most = most
        self._heavy, self._most_units = tuple(heavy), most_bytes // _UNIT
        self._load: deque[None] = deque()  # one a unit: ``extend`` is atomic, as no addition is
        self.taken = 0  # rows that were taken out, by the one who counts
        self._rows: deque[tuple[Row, Tensors, str, tuple[Any, ...], int]] = deque()
        self._drops: deque[None] = deque(maxlen=_MOST_DROPS)  # ``append`` is atomic, as no addition is
        self._failures: deque[None] = deque(maxlen=_MOST_DROPS)

    def put(self, row: Row, outputs: Tensors, prediction_id: str, glimpse: tuple[Any, ...] = ()) -> None:
        """Leave a row to be counted; the row is copied, for its owner may use the mapping again.

        What the row's own ``Mapping`` raises passes through, and is counted.
        """
        rows = self._rows
        if len(rows) >= self.most or (self._heavy and len(self._load) >= self._most_units):
            self._drops.append(None)
            return
        try:
            copy = row.copy() if type(row) is dict else dict(row.items())
            units = self._lifted(copy, len(glimpse)) if self._heavy else 0
        except BaseException:
            self._failures.append(None)
            raise
        # a plain tuple: a named one takes as long to make as all the rest
        rows.append((copy, outputs, prediction_id, glimpse, units))

    def _lifted(self, row: Row, glimpses: int) -> int:
        weight = _ROW + _GLIMPSE * glimpses + sum([_weight(row.get(name)) for name in self._heavy])
        units = 1 + weight // _UNIT
        self._load.extend(repeat(None, units))
        return units

    def ahead(self, prediction_id: object) -> int:
        """Return how many rows there are up to that of a prediction, with it; 0 where it is not here."""
        if not isinstance(prediction_id, str):  # what is no text may compare oddly
            return 0
        waiting = enumerate(list(self._rows), 1)
        return next((place for place, row in waiting if prediction_id == row[2]), 0)

    def take(self, most: int, *, hold: bool = False) -> list[Seen]:
        """Take out at most ``most`` rows, the oldest first; one thread at a time.

        ``hold``: their bytes count against the bound until they are given to ``free``.
        """
        rows = self._rows
        taken = [_seen(rows.popleft()) for _ in range(min(most, len(rows)))]
        self.taken += len(taken)
        if not hold:
            self.free(taken)
        return taken

    def free(self, taken: Sequence[Seen]) -> None:
        """Make room for as many bytes as these rows take."""
        for _ in range(sum([seen.units for seen in taken])):
            self._load.popleft()

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


def _weight(value: object) -> int:
    """Return about how many bytes a value takes: a file, an array, a list of numbers."""
    if isinstance(value, list | tuple):
        return _NUMBER * len(value)
    return int(getattr(value, "nbytes", 0)) or sys.getsizeof(value)
