"""Points in time: the parts of the calendar, in the declared zone, and the days since another time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Canonical, Field, Kind
from inprocml.schema.moment import moment_check
from inprocml.schema.once import once
from inprocml.schema.zones import local, microseconds
from inprocml.transform.rowcode import RowCode, block_of, blocks_of
from inprocml.transform.specs import CYCLES, Timestamp
from inprocml.transform.turns import table

__all__ = ["TimestampStep"]

_DAY = 86_400 * 10**6  # microseconds; counts of them become float64 before they are divided
_MINUTE = 60 * 10**6
_MONDAY = 3  # 1970 began on a Thursday
# 2013-01-31T05:00:00 with Z or an offset: every third letter from the fourth on
_AWARE = frozenset({"--T::Z", "--T::+:", "--T::-:"})
_NAIVE = "--T::"


@dataclass(frozen=True)
class TimestampStep:
    """The parts one after the other, the elapsed days, then missing, each only where declared."""

    name: str
    spec: Timestamp
    unseen = None

    def __post_init__(self) -> None:
        _ = self.since  # refuses what is no time

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        return (self.field,)

    @once
    def field(self) -> Field:
        """The field of the row that it reads."""
        kind: Kind = "wallclock" if self.spec.timezone is None else "instant"
        required = self.spec.missing is None
        return Field(self.spec.field or self.name, kind, required=required, timezone=self.spec.timezone)

    @once
    def since(self) -> int | None:
        """The time to count days from, in microseconds since 1970."""
        if self.spec.since is None:
            return None
        moment = moment_check(self.field.zone, required=True)(self.spec.since)
        assert moment is not None  # required
        return microseconds(moment)

    @once
    def tables(self) -> tuple[tuple[str, tuple[bytes, ...], NDArray[np.float32]], ...]:
        """For each part its name, the features of each of its values as bytes, and the same as rows."""
        return tuple((part, *_blocks(part, encoding)) for part, encoding in self.spec.encodings)

    @property
    def width(self) -> int:
        """The number of features."""
        parts: int = sum(rows.shape[1] for _, _, rows in self.tables)
        return parts + (self.since is not None) + (self.spec.missing is not None)

    def names(self) -> list[str]:
        """Return the name of each feature."""
        names = []
        for part, encoding in self.spec.encodings:
            head = f"{self.name}.{part}"
            if encoding == "onehot":
                first, count = CYCLES.get(part, (0, 2))
                names += [f"{head}={value}" for value in range(first, first + count)]
            else:
                names += [head] if encoding == "ordinal" else [f"{head}=sin", f"{head}=cos"]
        names += [] if self.since is None else [f"{self.name}.since"]
        return names if self.spec.missing is None else [*names, f"{self.name}=?missing"]

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32."""
        moment: Any = values[0]
        if moment is None:
            return block_of(self.width - 1, self.width)
        known = b"".join(blocks[_VALUE[part](moment)] for part, blocks, _ in self.tables)
        if self.since is not None:
            known += struct.pack("=f", float(microseconds(moment) - self.since) / _DAY)
        return known if self.spec.missing is None else known + bytes(4)

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``."""
        absent = np.isnat(columns[0])
        there: Any = ~absent if absent.any() else slice(None)
        ticks = columns[0].view(np.int64)[there]
        wall = ticks if self.field.zone is None else local(ticks, self.field.zone)
        days = wall // _DAY
        place = 0
        for part, _, rows in self.tables:
            out[there, place : place + rows.shape[1]] = rows[_column(part, wall, days)]
            place += rows.shape[1]
        if self.since is not None:
            out[there, place] = (ticks - self.since).astype(np.float64) / _DAY
        if self.spec.missing is not None:
            out[absent, -1] = 1.0

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path."""
        raw, moment = raws[0], code.variable()
        zone, aware = self.field.zone, self.field.zone is not None
        plain = f"in {code.bind(_AWARE)}" if aware else f"== {code.bind(_NAIVE)}"
        read = f"{code.bind(datetime.fromisoformat)}({raw})"
        if aware:
            read += f".astimezone({code.bind(zone)})"
        code.line(f"if type({raw}) is str and {raw}[4::3] {plain}:")
        code.line(f"    {moment} = {read}")
        code.line("else:")
        code.line(f"    {moment} = {code.bind(self.field.judge)}({raw})")
        if self.spec.missing is None:
            self._emit_parts(code, moment)
            return
        block = code.bind(self.block)
        code.block(f"{block}(({moment},))", self.width)

    def _emit_parts(self, code: RowCode, moment: str) -> None:
        for part, blocks, rows in self.tables:
            code.block(f"{code.bind(blocks)}[{_SOURCE[part].format(moment)}]", rows.shape[1])
        if self.since is not None:
            code.scalar(f"float({code.bind(microseconds)}({moment}) - {self.since}) / {float(_DAY)!r}")

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        spec = self.spec
        return {
            "kind": "timestamp@1",
            "name": self.name,
            "field": spec.field,
            "parts": [list(pair) for pair in spec.encodings],
            "timezone": spec.timezone,
            "since": spec.since,
            "missing": spec.missing,
        }


@cache  # of a closed vocabulary: some 20 tables, shared by all entries of the process
def _blocks(part: str, encoding: str) -> tuple[tuple[bytes, ...], NDArray[np.float32]]:
    """The features of each value of a part, from the first on: as bytes, and as read-only rows."""
    first, count = CYCLES.get(part, (0, 2))
    if encoding == "onehot":
        blocks = blocks_of(count)
    elif encoding == "ordinal":
        blocks = tuple(struct.pack("=f", first + place) for place in range(count))
    else:
        blocks = tuple(struct.pack("=2f", *pair) for pair in table(count))
    return blocks, np.frombuffer(b"".join(blocks), dtype=np.float32).reshape(count, -1)


_VALUE: dict[str, Callable[[datetime], int]] = {
    "hour": lambda moment: moment.hour,
    "weekday": lambda moment: moment.weekday(),
    "month": lambda moment: moment.month - 1,
    "day": lambda moment: moment.day - 1,
    "minute": lambda moment: moment.minute,
    "weekend": lambda moment: moment.weekday() >= 5,
}
"""A part's value, counted from its first."""

_SOURCE = {
    "hour": "{}.hour",
    "weekday": "{}.weekday()",
    "month": "{}.month - 1",
    "day": "{}.day - 1",
    "minute": "{}.minute",
    "weekend": "{}.weekday() >= 5",
}
"""The same in generated code."""


def _column(part: str, wall: NDArray[np.int64], days: NDArray[np.int64]) -> NDArray[Any]:
    """The same for a column of wall-clock microseconds since 1970, and the days in them."""
    if part in {"hour", "minute"}:
        minutes = ((wall - days * _DAY) // _MINUTE).astype(np.int32)  # narrow: divisions are slow
        return minutes // 60 if part == "hour" else minutes % 60
    if part in {"month", "day"}:
        dates = days.view("M8[D]")
        months = dates.astype("M8[M]")
        return (dates - months).view(np.int64) if part == "day" else months.view(np.int64) % 12
    weekday = (days + _MONDAY).astype(np.int32) % 7
    return weekday if part == "weekday" else (weekday >= 5).view(np.int8)
