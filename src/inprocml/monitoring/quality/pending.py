"""Predictions that await their labels, in bounded memory: a ring of 24 bytes each; the oldest leave first."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.native import lock_maker
from inprocml.values import Remembered

__all__ = ["LONGEST_ID", "Feedback", "Pending"]

LONGEST_ID = 64
"""Characters of an id."""

_PRIME = 0x94A67F00F335C357  # of 64 bits, drawn by chance: what an id is as a number, modulo this, is its key
_FIELDS = {
    "keys": np.uint64,
    "times": np.uint32,  # seconds since 1970, until 2106
    "scores": np.float32,
    "slices": np.uint32,
    "choices": np.uint16,
    "joined": np.uint16,
}


class Feedback(StrEnum):
    """What became of one label.

    ``unmatched``: no prediction of this id is remembered, be it too old, unknown or made elsewhere.
    ``duplicate``: a label came before; the first one counts. ``invalid``: the id or the label cannot be one.
    ``failed``: the store could not be reached, or something else failed; send the label again later.
    """

    MATCHED = "matched"
    UNMATCHED = "unmatched"
    DUPLICATE = "duplicate"
    INVALID = "invalid"
    FAILED = "failed"


class Pending:
    """The last ``capacity`` predictions of the last ``ttl`` seconds; thread-safe.

    A label is found by one pass over the keys: some 20 us of 100,000. Where a clock stepped back, some stay
    longer than ``ttl``, but are not found. An id is remembered once: of two of them one counts.
    """

    def __init__(self, *, capacity: int = 100_000, ttl: float = 7 * 86400.0) -> None:
        if capacity < 1 or not ttl > 0:
            raise ValueError("capacity is at least 1, and ttl more than 0 seconds")
        self.capacity = capacity
        self.ttl = ttl
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros(capacity, kind) for name, kind in _FIELDS.items()
        }
        self._start = 0  # the oldest
        self._rows = 0
        self._lock = lock_maker()()
        self.evicted = 0
        """Predictions that left for want of room before a label came."""
        self.expired = 0
        """Predictions that left after ``ttl`` seconds without a label."""

    def __len__(self) -> int:
        return self._rows

    @property
    def nbytes(self) -> int:
        """Bytes held, the same for ever: 24 times the capacity."""
        return sum(column.nbytes for column in self._columns.values())

    def remember(
        self,
        ids: Sequence[str],
        scores: NDArray[np.float64],
        choices: NDArray[np.int64],
        slices: NDArray[np.int64],
        at: float,
    ) -> None:
        """Keep predictions made at ``at`` (seconds since 1970); arrays of shape ``(rows,)``."""
        with self._lock:
            self._advance(at)
            surplus = max(0, len(ids) - self.capacity)
            self.evicted += surplus
            kept = ids[surplus:]
            self._drop_oldest(self._rows + len(kept) - self.capacity, "evicted")
            keys = np.fromiter((_key(each) for each in kept), np.uint64, len(kept))
            places = (self._start + self._rows + np.arange(len(kept))) % self.capacity
            values = (keys, _seconds(at), scores[surplus:], slices[surplus:], choices[surplus:], 0)
            for column, value in zip(self._columns.values(), values, strict=True):
                column[places] = value
            self._rows += len(kept)

    def join(self, id: str, at: float) -> Remembered | None:  # noqa: A002 - as the protocol says
        """Return the prediction, marked as joined from now on; None where it is not remembered."""
        with self._lock:
            self._advance(at)
            if not self._rows:
                return None
            here = self._columns["keys"] == _key(id)
            place = int(here.argmax())
            if not here[place]:
                return None
            made, score, slices, choice, joined = (
                column[place].item() for column in list(self._columns.values())[1:]
            )
            if made < at - self.ttl:
                return None
            self._columns["joined"][place] = 1
            return Remembered(id, float(made), score, choice, slices, bool(joined))

    def _advance(self, at: float) -> None:
        """Let what is too old leave; arrival is in the order of time, so that is a beginning of the ring."""
        oldest = at - self.ttl
        if not self._rows or self._columns["times"][self._start] >= oldest:
            return
        places = (self._start + np.arange(self._rows)) % self.capacity
        young = self._columns["times"][places] >= oldest
        self._drop_oldest(int(young.argmax()) if young.any() else self._rows, "expired")

    def _drop_oldest(self, rows: int, why: str) -> None:
        if rows <= 0:
            return
        places = (self._start + np.arange(rows)) % self.capacity
        lost = rows - int(np.count_nonzero(self._columns["joined"][places]))
        if why == "expired":
            self.expired += lost
        else:
            self.evicted += lost
        self._columns["keys"][places] = 0  # of no id
        self._start = (self._start + rows) % self.capacity
        self._rows -= rows

    def dump(self) -> bytes:
        """Return all that is pending, oldest first, column by column, in 24 bytes each."""
        with self._lock:
            places = (self._start + np.arange(self._rows)) % self.capacity
            columns = (column[places] for column in self._columns.values())
            return b"".join(
                column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes() for column in columns
            )

    def load(self, content: bytes) -> None:
        """Take what ``dump`` returned in place of all that is pending; ``ValueError`` for anything else.

        Where the capacity is smaller now, the newest stay.
        """
        rows, rest = divmod(len(content), 24)
        columns, start = {}, 0
        for name, kind in _FIELDS.items():
            stored = np.dtype(kind).newbyteorder("<")
            columns[name] = np.frombuffer(content, stored, rows, start)
            start += rows * stored.itemsize
        if rest:
            raise ValueError("pending predictions are 24 bytes each")
        if not np.isfinite(columns["scores"]).all() or (columns["joined"] > 1).any():
            raise ValueError("pending predictions have finite scores")
        with self._lock:
            self._start, self._rows = 0, min(rows, self.capacity)
            for name, column in columns.items():
                self._columns[name][:] = 0
                self._columns[name][: self._rows] = column[rows - self._rows :]


def _seconds(at: float) -> int:
    return min(max(0, int(at)), 2**32 - 1)


def _key(id: str) -> int:  # noqa: A002
    return int.from_bytes(id.encode()) % _PRIME or 1
