"""What a fitted field can do, whatever its kind: one value into a row, one column into a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Field
from inprocml.transform.specs import Spec

__all__ = ["Sink", "Step", "Writer", "one_hot"]

Sink: TypeAlias = Any
"""Where a row's features go by index: a list of floats, or a memoryview of float32; zeros at first."""

Writer: TypeAlias = Callable[[object, Sink], None]
"""Judges one raw value and writes its features; raises ``Refused`` before anything is written."""


class Step(Protocol):
    """A fitted field: immutable, and rebuilt exactly from its ``document``."""

    @property
    def field(self) -> Field:
        """The field of the row that this step reads."""
        ...

    @property
    def spec(self) -> Spec:
        """What was declared."""
        ...

    @property
    def width(self) -> int:
        """The number of features."""
        ...

    @property
    def unseen(self) -> int | None:
        """The place of the unseen slot among the features of this step, if it has one."""
        ...

    def names(self) -> list[str]:
        """Return the name of each feature."""
        ...

    def writer(self, start: int) -> Writer:
        """Return the row path, bound to the position of the first feature."""
        ...

    def write(self, column: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Write a canonical column; ``out`` is zeros of shape ``(rows, width)``."""
        ...

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this step, as JSON holds it."""
        ...


def one_hot(out: NDArray[np.float32], places: list[int]) -> None:
    """Set one feature per row to 1; ``places`` holds a column of ``out`` per row."""
    out[np.arange(len(places)), np.array(places, dtype=np.intp)] = 1.0
