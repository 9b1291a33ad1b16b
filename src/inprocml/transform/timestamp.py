"""Points in time: one feature per value of each calendar part, one for missing if declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Field, Kind
from inprocml.schema.once import once
from inprocml.transform.specs import Timestamp
from inprocml.transform.step import Sink, Writer

__all__ = ["TimestampStep"]

# part -> how to read it, its first value, how many values it has
_READ: dict[str, tuple[Callable[[datetime], int], int, int]] = {
    "hour": (attrgetter("hour"), 0, 24),
    "weekday": (datetime.weekday, 0, 7),
    "month": (attrgetter("month"), 1, 12),
    "day": (attrgetter("day"), 1, 31),
    "minute": (attrgetter("minute"), 0, 60),
}


@dataclass(frozen=True)
class TimestampStep:
    """The parts one after the other, then missing if declared."""

    name: str
    spec: Timestamp
    unseen = None

    @once
    def field(self) -> Field:
        """The field of the row that this step reads."""
        kind: Kind = "wallclock" if self.spec.timezone is None else "instant"
        return Field(self.name, kind, required=self.spec.missing is None, timezone=self.spec.timezone)

    @property
    def width(self) -> int:
        """The number of features."""
        return sum(_READ[part][2] for part in self.spec.parts) + (self.spec.missing is not None)

    def names(self) -> list[str]:
        """Return the name of each feature."""
        names = []
        for part in self.spec.parts:
            _, first, count = _READ[part]
            names += [f"{self.name}.{part}={value}" for value in range(first, first + count)]
        return names if self.spec.missing is None else [*names, f"{self.name}=?missing"]

    def writer(self, start: int) -> Writer:
        """Return the row path, bound to the position of the first feature."""
        check, readers = self.field.judge, self._readers(start)
        missing = start + self.width - 1

        def write(value: object, out: Sink) -> None:
            moment = check(value)
            if moment is None:
                out[missing] = 1.0
                return
            for read, base in readers:
                out[base + read(moment)] = 1.0

        return write

    def write(self, column: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write a canonical column; ``out`` is zeros of shape ``(rows, width)``."""
        moments = column.tolist()
        there = [row for row, moment in enumerate(moments) if moment is not None]
        if len(there) < len(moments):
            out[[row for row, moment in enumerate(moments) if moment is None], -1] = 1.0
        for read, base in self._readers(0):
            out[there, [base + read(moments[row]) for row in there]] = 1.0

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this step, as JSON holds it."""
        return {
            "kind": "timestamp@1",
            "name": self.name,
            "parts": list(self.spec.parts),
            "timezone": self.spec.timezone,
            "missing": self.spec.missing,
        }

    def _readers(self, start: int) -> list[tuple[Callable[[datetime], int], int]]:
        """Pair each part's reader with the place where its value zero would be."""
        readers = []
        for part in self.spec.parts:
            read, first, count = _READ[part]
            readers.append((read, start - first))
            start += count
        return readers
