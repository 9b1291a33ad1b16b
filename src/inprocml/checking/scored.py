"""A bundle with its runtime, as it answers when it is served: transform, model, decoder."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inprocml.backends import open_backend
from inprocml.bundle import Bundle
from inprocml.bundle.golden import as_tensors
from inprocml.protocols import Backend
from inprocml.values import Row, Table

__all__ = ["Answers", "Scored"]

BATCH = 256


@dataclass(frozen=True, slots=True)
class Answers:
    """What a version said of each row: ``values``, and ``(rows, labels)`` probabilities of a classifier."""

    values: list[Any]
    probabilities: NDArray[np.float64] | None


class Scored:
    """One version, open and checked on its golden rows; ``close`` frees it."""

    def __init__(self, bundle: Bundle, *, allow_loops: bool = False) -> None:
        self.bundle = bundle
        self._backend: Backend = open_backend(
            bundle.runtime,
            bundle.model,
            module=bundle.module,
            input_name=next(iter(bundle.inputs.values())),
            output_name=bundle.output_name,
            allow_loops=allow_loops,
        )
        try:
            bundle.replay(self._backend)
        except BaseException:
            self.close()
            raise

    def answers(self, table: Table) -> Answers:
        """Answer a whole table; raises ``InvalidRow`` for rows that this version refuses."""
        decoded = itertools.chain.from_iterable(
            self._decoded(as_tensors(part)) for part in self.bundle.transform.batches(table, rows=BATCH)
        )
        values, probabilities = [], []
        for value, _, spread in decoded:
            values.append(value)
            probabilities.append(spread)
        if not probabilities or probabilities[0] is None:
            return Answers(values, None)
        return Answers(values, np.array([list(spread.values()) for spread in probabilities]))

    def seconds(self, row: Row) -> float:
        """Answer one row and return how long that took."""
        began = time.perf_counter()
        made = as_tensors(self.bundle.transform.transform_one(row))
        self._decoded({name: array[None] for name, array in made.items()})
        return time.perf_counter() - began

    def close(self) -> None:
        """Free the runtime."""
        self._backend.close()

    def _decoded(self, tensors: dict[str, NDArray[Any]]) -> list[tuple[Any, float | None, Any]]:
        inputs = {given: tensors[name] for name, given in self.bundle.inputs.items()}
        outputs = self._backend.run(inputs)
        rows = len(next(iter(inputs.values())))
        return [self.bundle.output.decode(outputs, index) for index in range(rows)]
