"""How rows and outputs are read: as the columns of the baseline, and as answers that wait for labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.counting import Seen
from inprocml.monitoring.glimpses import Glimpses
from inprocml.monitoring.watching.slicing import Slices
from inprocml.values import Tensors, joined

__all__ = ["Columns", "Reading"]

Columns = Mapping[str, NDArray[Any]]


class Reading:
    """The readers of one version; all of them raise for rows that cannot be read."""

    def __init__(
        self,
        inputs: Callable[[Any], Columns],
        outputs: Callable[[Tensors], Columns],
        glimpses: Glimpses | None,
        slices: Slices | None,
    ) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._glimpses, self._slices = glimpses, slices

    def noted(self, made: Any) -> Columns:
        """Return what is to be counted of the tensors of many rows."""
        return {} if self._glimpses is None else self._glimpses.table(made)

    def rows(self, seen: Sequence[Seen]) -> tuple[Columns, Columns]:
        """Return the columns of rows, and of their outputs."""
        outputs = joined([each.outputs for each in seen])
        noted = [] if self._glimpses is None else [self._glimpses.numbers([each.glimpse for each in seen])]
        return self._beside(self._inputs([each.row for each in seen]), noted), self._outputs(outputs)

    def table(
        self, table: Any, outputs: Sequence[Tensors], noted: Sequence[Columns]
    ) -> tuple[Columns, Columns]:
        """Return the columns of a table, and of its outputs, which came in parts, as what was ``noted``."""
        return self._beside(self._inputs(table), noted), self._outputs(joined(outputs))

    def _beside(self, columns: Columns, noted: Sequence[Columns]) -> Columns:
        """Return checked columns, and beside them those of the tensors."""
        return columns if self._glimpses is None else self._glimpses.beside(columns, joined(noted))

    def answers(self, seen: Sequence[Seen]) -> NDArray[Any]:
        """Return probabilities, shape ``(rows, classes)`` or ``(rows,)`` of the second of two, or numbers."""
        columns = self._outputs(joined([each.outputs for each in seen]))
        ordered = [column for _, column in sorted(columns.items(), key=lambda pair: _place(pair[0]))]
        return ordered[0] if len(ordered) == 1 else np.stack(ordered, axis=1)

    def slices(self, seen: Sequence[Seen]) -> Mapping[str, Sequence[object]]:
        """Return the values of the declared fields, one a row."""
        return {} if self._slices is None else self._slices.of(each.row for each in seen)


def _place(name: str) -> int:
    """Return the number in ``probability[10]``: as text it would come before ``probability[2]``."""
    number = name.rpartition("[")[2].rstrip("]")
    return int(number) if number.isdecimal() else 0
