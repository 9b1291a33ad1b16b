"""Fitted steps side by side: every door into the features, with all that can be done beforehand done."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Refused, Schema
from inprocml.schema.once import once
from inprocml.schema.table import as_row
from inprocml.transform.specs import WIDEST
from inprocml.transform.step import Sink, Step
from inprocml.values import Features, Row

__all__ = ["Plan"]

_LISTED = 2048  # features up to which a list of floats is quicker than an array


@dataclass(frozen=True)
class Plan:
    """The steps in feature order; immutable, so that every thread may use it without a lock."""

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if self.width > WIDEST:
            raise ValueError(f"a transform may have at most {WIDEST} feature columns")
        _ = self.row  # built here, and not in the first request

    @once
    def schema(self) -> Schema:
        """Which rows can be encoded."""
        return Schema(tuple(step.field for step in self.steps))

    @once
    def width(self) -> int:
        """Feature columns in all."""
        return sum(step.width for step in self.steps)

    @once
    def starts(self) -> tuple[int, ...]:
        """The first feature column of each step."""
        return tuple(accumulate((step.width for step in self.steps[:-1]), initial=0))

    @once
    def row(self) -> Callable[[Row], NDArray[np.float32]]:
        """The row path: one raw row to fresh float32 of shape ``(width,)``."""
        writers = [(s.field.name, s.writer(start)) for s, start in zip(self.steps, self.starts, strict=True)]
        known, finish, width = self.schema.names, self.schema.finish, self.width
        open_, close = _listed(width) if width <= _LISTED else _arrayed(width)

        def encode(row: Row) -> NDArray[np.float32]:
            if type(row) is not dict:
                row = as_row(row)
            get, out = row.get, open_()
            issues: dict[str, Refused] = {}
            for name, write in writers:
                try:
                    write(get(name), out)
                except Refused as refused:
                    issues[name] = refused
            if issues or not known.issuperset(row):
                finish(row, issues)
            return close(out)

        return encode

    def columns(self, columns: Mapping[str, NDArray[Any]]) -> Features:
        """The column path: canonical columns to float32 of shape ``(rows, width)``, C-contiguous."""
        rows = len(columns[self.steps[0].field.name])
        out = np.zeros((rows, self.width), dtype=np.float32)
        with np.errstate(all="ignore"):  # whatever the host set, arithmetic here is checked beforehand
            for step, start in zip(self.steps, self.starts, strict=True):
                step.write(columns[step.field.name], out[:, start : start + step.width])
        return out


def _listed(width: int) -> tuple[Callable[[], Sink], Callable[[Sink], NDArray[np.float32]]]:
    zeros = [0.0] * width
    pack: Callable[..., None] = struct.Struct(f"={width}f").pack_into
    empty, float32 = np.empty, np.float32  # bound once: looking them up would cost as much as a field

    def close(out: list[float]) -> NDArray[np.float32]:
        features = empty(width, float32)
        pack(features, 0, *out)  # the one rounding to float32, to nearest even as numpy's
        return features

    return zeros.copy, close


def _arrayed(width: int) -> tuple[Callable[[], Sink], Callable[[Sink], NDArray[np.float32]]]:
    def open_() -> memoryview:
        return np.zeros(width, dtype=np.float32).data

    def close(out: memoryview) -> NDArray[np.float32]:
        features: NDArray[np.float32] = np.asarray(out)
        return features

    return open_, close
