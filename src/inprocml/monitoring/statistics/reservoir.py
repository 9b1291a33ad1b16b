"""A sample of rows of fixed size, the same in whatever order and on whatever workers the rows were seen."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.monitoring.statistics.pair import Floats

__all__ = ["Reservoir"]

Hashes = NDArray[np.uint64]

_HEAD = struct.Struct("<8sIIQI")  # mark, columns, size, seed, rows; then hashes, rows, and a checksum of all
_MARK = b"bottomk1"
_CHECK = struct.Struct("<I")


class Reservoir:
    """The ``size`` rows whose ids have the lowest hashes: a uniform sample without replacement.

    Each row has an id of its own, a whole number below 2**64; a row that is added twice is kept once. So the
    sample of the union is the union's lowest ``size``: merging is exact, in any order. Ids that an attacker
    chooses can be hashed ahead; number rows yourself. Memory: ``size * (columns + 1)`` * 8 bytes. Not
    thread-safe. Raises ``ValueError`` for a size or a number of columns below 1, and for a seed that is not
    from 0 to 2**64 - 1.

    Source: Cohen and Kaplan, Summarizing data using bottom-k sketches, 2007; the hash is the finaliser of
    splitmix64 (Steele, Lea and Flood 2014), a bijection.

    >>> one, two = Reservoir(1, size=2), Reservoir(1, size=2)
    >>> one.add([1, 2, 3], [[10.0], [20.0], [30.0]])
    >>> two.add([3, 4], [[30.0], [40.0]])
    >>> one.merge(two)
    >>> len(one)
    2
    """

    def __init__(self, columns: int, *, size: int = 2000, seed: int = 0) -> None:
        if columns < 1 or size < 1:
            raise ValueError(f"a reservoir needs at least 1 column and 1 row, not {columns} and {size}.")
        if not 0 <= seed < 2**64:
            raise ValueError(f"the seed must lie between 0 and 2**64 - 1, not be {seed}.")
        self.columns = columns
        self.size = size
        self.seed = seed
        self._hashes: Hashes = np.empty(0, np.uint64)
        self._rows: Floats = np.empty((0, columns))

    def __len__(self) -> int:
        return len(self._hashes)

    @property
    def rows(self) -> Floats:
        """The sample: float64, shape ``(rows, columns)``, in the order of the hashes. A copy."""
        return self._rows.copy()

    def add(self, ids: ArrayLike, rows: ArrayLike) -> None:
        """Add rows, shape ``(rows, columns)``, with their ids, shape ``(rows,)``.

        Raises ``ValueError`` for other shapes, and for ids that are no whole numbers from 0 on.
        """
        names, values = np.asarray(ids), np.asarray(rows, dtype=np.float64)
        if names.ndim != 1 or values.shape != (len(names), self.columns):
            raise ValueError(
                f"there must be one id a row and {self.columns} columns: ids have shape {names.shape}, rows "
                f"{values.shape}."
            )
        if len(names) and (names.dtype.kind not in "iu" or names.min() < 0):
            raise ValueError("ids must be whole numbers from 0 on, below 2**64.")
        self._keep(_mixed(names.astype(np.uint64), self.seed), values)

    def merge(self, other: Reservoir) -> None:
        """Add another's rows. Raises ``ValueError`` where columns, size or seed differ."""
        mine, theirs = (self.columns, self.size, self.seed), (other.columns, other.size, other.seed)
        if mine != theirs:
            raise ValueError(f"reservoirs merge with equal columns, size and seed: {mine} is not {theirs}.")
        self._keep(other._hashes, other._rows)

    def dump(self) -> bytes:
        """Return the sample as bytes, for another process to ``load`` and merge."""
        head = _HEAD.pack(_MARK, self.columns, self.size, self.seed, len(self))
        body = head + self._hashes.astype("<u8").tobytes() + self._rows.astype("<f8").tobytes()
        return body + _CHECK.pack(zlib.crc32(body))

    @classmethod
    def load(cls, dumped: bytes) -> Self:
        """Return what was dumped. Raises ``ValueError`` for bytes that are damaged or something else."""
        body = dumped[: -_CHECK.size]
        if len(body) < _HEAD.size or _CHECK.pack(zlib.crc32(body)) != dumped[-_CHECK.size :]:
            raise ValueError("these bytes are no reservoir, or were damaged: sample again.")
        mark, columns, size, seed, rows = _HEAD.unpack_from(body)
        if mark != _MARK or rows > size or len(body) != _HEAD.size + 8 * rows * (columns + 1):
            raise ValueError("these bytes are no reservoir of this format: dump it with the same inprocml.")
        made = cls(columns, size=size, seed=seed)
        made._hashes = np.frombuffer(body, "<u8", rows, _HEAD.size).astype(np.uint64)
        if (made._hashes[1:] <= made._hashes[:-1]).any():
            raise ValueError("these bytes are no reservoir: its hashes do not rise.")
        found = np.frombuffer(body, "<f8", rows * columns, _HEAD.size + 8 * rows)
        made._rows = found.astype(np.float64).reshape(rows, columns)
        return made

    def _keep(self, hashes: Hashes, rows: Floats) -> None:
        if len(self) == self.size:  # most rows of a long stream end here
            low = hashes < self._hashes[-1]
            hashes, rows = hashes[low], rows[low]
        if not len(hashes):
            return
        found, first = np.unique(np.concatenate([self._hashes, hashes]), return_index=True)
        self._hashes = found[: self.size]
        self._rows = np.concatenate([self._rows, rows])[first[: self.size]]

    def __eq__(self, other: object) -> bool:
        """Compare by sample, size and seed; NaN equals NaN."""
        if not isinstance(other, Reservoir):
            return NotImplemented
        return (self.columns, self.size, self.seed) == (other.columns, other.size, other.seed) and (
            np.array_equal(self._hashes, other._hashes)
            and np.array_equal(self._rows, other._rows, equal_nan=True)
        )

    __hash__: Any = None


def _mixed(ids: Hashes, seed: int) -> Hashes:
    """Return splitmix64 of each: wraps around at 2**64 by intention."""
    step, one, two = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
    start = np.uint64((seed + 1) * int(step) % 2**64)
    mixed = ids + np.full_like(ids, start)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.full_like(ids, one)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.full_like(ids, two)
    found: Hashes = mixed ^ (mixed >> np.uint64(31))
    return found
