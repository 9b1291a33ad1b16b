"""What a fitted entry can do, whatever its kind: one row by the reference, a table, and generated code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inprocml.schema import Canonical, Field
from inprocml.transform.rowcode import RowCode

__all__ = ["Arrays", "Entry", "Step", "TensorSpec", "TensorStep", "emit_block", "one_hot"]

Arrays: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor that a transform makes: name, shape of one row, dtype.

    A side that is ``None`` (at most one) is as long as the longest row of the call needs, up to the next of
    ``ends``; shorter rows end in ``pad``. An index has values from 0 to ``size`` - 1: the rows that an
    embedding needs.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    pad: float = 0
    size: int | None = None
    ends: tuple[int, ...] = ()

    @property
    def ragged(self) -> bool:
        """Whether its length varies from call to call."""
        return None in self.shape

    @property
    def axis(self) -> int:
        """The axis of a batch that is the length; rows are axis 0."""
        return 1 + self.shape.index(None)

    def lengthened(self, row: NDArray[Any], length: int) -> NDArray[Any]:
        """Return one row filled up to ``length``, as a call with a longer row beside it would give it."""
        if not self.ragged:
            return row
        short = length - row.shape[self.axis - 1]
        sides = [(0, short if side is None else 0) for side in self.shape]
        return row if short <= 0 else np.pad(row, sides, constant_values=self.pad)


class Entry(Protocol):
    """A fitted entry: immutable, and rebuilt exactly from its ``document``."""

    @property
    def name(self) -> str:
        """What the entry is called."""
        ...

    @property
    def spec(self) -> Any:
        """What was declared."""
        ...

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the row that it reads."""
        ...

    def emit(self, code: RowCode, raws: Sequence[str]) -> None:
        """Add its part of the generated row path; ``raws`` are the variables that hold the raw values."""
        ...

    def document(self) -> dict[str, Any]:
        """Return what rebuilds this entry, as JSON holds it."""
        ...


class Step(Entry, Protocol):
    """An entry that makes columns of the ``features`` tensor.

    One that gains by it may have ``write_raw(columns, out) -> bool`` besides: it judges and writes raw
    columns in one go, and answers False, with ``out`` untouched, for all but the plainest.
    """

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

    def block(self, values: Sequence[Canonical]) -> bytes:
        """Return the features of canonical values as native float32: the reference for every other path."""
        ...

    def write(self, columns: Sequence[NDArray[Any]], out: NDArray[np.float32]) -> None:
        """Write canonical columns; ``out`` is zeros of shape ``(rows, width)``."""
        ...


class TensorStep(Entry, Protocol):
    """An entry that makes tensors of its own."""

    @property
    def tensors(self) -> tuple[TensorSpec, ...]:
        """Which tensors."""
        ...

    def one(self, values: Sequence[Canonical]) -> Arrays:
        """Return the tensors of canonical values, without an axis for rows; may raise ``Refused``."""
        ...

    def many(self, columns: Sequence[NDArray[Any]]) -> Arrays:
        """Return the tensors of canonical columns, rows first; may raise ``Refused`` with the row."""
        ...


def emit_block(
    code: RowCode, raws: Sequence[str], step: Step, judges: Sequence[Callable[[object], Any]]
) -> None:
    """Let generated code judge the raw values and call the reference: for kinds that gain nothing by more."""
    block = step.block

    def encode(*values: object) -> bytes:
        return block([judge(value) for judge, value in zip(judges, values, strict=True)])

    code.block(f"{code.bind(encode)}({', '.join(raws)})", step.width)


def one_hot(out: NDArray[np.float32], places: NDArray[Any]) -> None:
    """Set one feature per row to 1; ``places`` holds a column of ``out`` per row."""
    out[np.arange(len(places)), places] = 1.0
