"""Answers that depend on nothing but their row: every run has the same shape.

Kernels are chosen by shape and sum in another order for another one, so a row's last bits may differ with
the number of rows beside it. With one shape for all runs they do not, measured on ONNX Runtime: neither the
place in the batch nor the neighbours matter then. What looks at all rows at once, such as the scale that
dynamic quantisation takes from a whole batch, mixes them whatever the shape: there, only one row a run helps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.batching.compute import compute
from inprocml.batching.shapes import Shapes
from inprocml.protocols import Backend
from inprocml.values import Tensors

__all__ = ["ROWS", "Fixed", "fixed"]

ROWS = 8
"""Rows a run, unless told otherwise: a lone row pays for so many, and a full run has most of the gain."""


class Fixed:
    """A backend that computes exactly ``rows`` rows at a time with another one.

    More are cut into runs of that size; the last run is filled up with copies of a row that is there, never
    with zeros: those might be what the model divides by. ``shapes`` says which lengths vary; they are brought
    to the end of their group in every run, as ``Shapes(whole=True)`` does.
    """

    def __init__(
        self, backend: Backend, rows: int = ROWS, *, shapes: Shapes | None = None, model: str = "model"
    ) -> None:
        if rows < 1:
            raise ValueError(f"rows is {rows} and must be at least 1")
        self._backend = backend
        self._shapes = Shapes(shapes.ragged if shapes else {}, whole=True)
        self._model = model
        self.rows = rows

    @property
    def name(self) -> str:
        """The name of the backend that computes."""
        return self._backend.name

    @property
    def device(self) -> str:
        """Where that backend runs."""
        return self._backend.device

    def run(self, inputs: Tensors) -> Tensors:
        """Compute one batch, in one run or several; raises ``BackendFailed`` for outputs of other rows."""
        (level,) = self._shapes.level([inputs])
        total = len(next(iter(level.values())))
        runs = [self._one(level, start) for start in range(0, total, self.rows)]
        if not runs:
            return self._backend.run(inputs)  # of no rows: what it makes of them is its own affair
        kept = total - self.rows * (len(runs) - 1)
        if kept < self.rows:
            runs[-1] = {name: array[:kept].copy() for name, array in runs[-1].items()}
        return runs[0] if len(runs) == 1 else _stacked(runs)

    def close(self) -> None:
        """Close the backend that computes."""
        self._backend.close()

    def _one(self, inputs: Tensors, start: int) -> Tensors:
        rows = self.rows
        part = {name: _filled(array[start : start + rows], rows) for name, array in inputs.items()}
        return compute(self._backend, part, rows, model=self._model)


def fixed(
    backend: Backend,
    sample: Tensors,
    rows: int = ROWS,
    *,
    mixes: bool = False,
    shapes: Shapes | None = None,
    model: str = "model",
) -> Fixed:
    """Return ``backend`` with answers that depend on their row alone.

    ``sample`` are some different rows, such as the golden ones. They are computed in several arrangements:
    if an answer changes by one bit with its place or its neighbours, or if ``mixes`` says that it would for
    other rows, rows are computed one at a time. What the backend raises becomes ``BackendFailed``.
    """
    steady = Fixed(backend, rows, shapes=shapes, model=model)
    if rows > 1 and (mixes or not _steady(steady, sample)):
        return Fixed(backend, 1, shapes=shapes, model=model)
    return steady


def _steady(backend: Fixed, sample: Tensors) -> bool:
    count = len(next(iter(sample.values())))
    order = np.arange(count)
    # as they are, backwards, shifted within the run, and each among copies of itself
    some = [order, order[::-1], np.roll(order, 3), *(order[place : place + 1] for place in order[:2])]
    expected: Mapping[int, list[bytes]] | None = None
    for rows in some:
        found = _bits(backend.run({name: array[rows] for name, array in sample.items()}), rows)
        if expected is None:
            expected = found
        elif any(expected[row] != told for row, told in found.items()):
            return False
    return True


def _bits(outputs: Tensors, rows: NDArray[np.intp]) -> dict[int, list[bytes]]:
    return {
        int(row): [array[place].tobytes() for array in outputs.values()] for place, row in enumerate(rows)
    }


def _filled(array: NDArray[Any], rows: int) -> NDArray[Any]:
    missing = rows - len(array)
    return array if not missing else np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])


def _stacked(runs: list[Tensors]) -> Tensors:
    return {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
