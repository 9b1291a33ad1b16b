"""What a contestant is, and the model that all of them are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["WIDTH", "Row", "Session", "Way"]

WIDTH = 64  # features of a row
Row = NDArray[Any]


def _nothing() -> None:
    """Close what needs no closing."""


@dataclass
class Way:
    """One way to get a row answered: ``call`` for threads, or ``acall`` for coroutines of one loop.

    Both take an array of shape ``(1, WIDTH)`` and return its scores, shape ``(10,)`` or ``(1, 10)``.
    """

    call: Callable[[Row], Any] | None = None
    acall: Callable[[Row], Awaitable[Any]] | None = None
    close: Callable[[], None] = field(default=_nothing)


class Session:
    """The model, bare: ONNX Runtime on one core."""

    def __init__(self, path: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.path = path
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, rows: Row) -> Row:
        """Return the scores of rows, shape ``(n, WIDTH)``."""
        scores: Row = self.session.run(["scores"], {"features": rows})[0]
        return scores

    def each(self, rows: list[Row]) -> list[Row]:
        """Return the scores of each of a list of single rows: what the contestants batch."""
        return list(self.run(np.concatenate(rows)))
