"""One loaded version: transform + queue + backend + decoder, immutable, swapped whole.

Everything that may differ between two versions hangs on one object, so that a request can never meet the
transform of one and the model of another, and no batch mixes versions.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from inprocml.values import Features, Prediction, Row, Table, Tensors

if TYPE_CHECKING:
    from inprocml.batching import Result, Runner
    from inprocml.monitoring import RowCounts
    from inprocml.protocols import Backend
    from inprocml.telemetry import ModelTelemetry
    from inprocml.transform import Transform

__all__ = ["Output", "Servable", "prediction_ids"]

_log = logging.getLogger("inprocml")

RETIRE_SECONDS = 30.0


class Output(Protocol):
    """Turns row ``index`` of a model's outputs into value, probability and probabilities."""

    def decode(self, outputs: Tensors, index: int) -> tuple[Any, float | None, Any]: ...


def prediction_ids() -> Callable[[], str]:
    """Return a source of ids, unique across processes and hosts, at a fraction of a uuid4's cost.

    48 random bits per servable, then a counter: ``next`` on ``itertools.count`` is atomic under the GIL.
    """
    prefix = secrets.token_hex(6)
    numbers = itertools.count(1)
    return lambda: f"{prefix}-{next(numbers):x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servable:
    """One version, loaded and verified; ``predict`` may be called from any thread."""

    name: str
    version: str
    digest: str
    transform: Transform
    output: Output
    runner: Runner
    backend: Backend
    input_name: str
    max_batch_size: int
    counts: RowCounts
    telemetry: ModelTelemetry
    new_id: Callable[[], str]

    def predict(self, row: Row, deadline: float | None) -> tuple[Prediction, Result]:
        """Check, encode, batch and decode one row."""
        features = self.transform.transform_one(row)
        result = self.runner.run({self.input_name: features.reshape(1, -1)}, deadline=deadline)
        return self._prediction(result, 0), result

    async def apredict(self, row: Row, deadline: float | None) -> tuple[Prediction, Result]:
        """As ``predict``; the model never runs on the event loop."""
        features = self.transform.transform_one(row)
        result = await self.runner.arun({self.input_name: features.reshape(1, -1)}, deadline=deadline)
        return self._prediction(result, 0), result

    def encode(self, table: Table) -> Features:
        """Check and encode many rows; shape ``(rows, width)``."""
        return self.transform.transform(table)

    def predict_features(self, features: Features, deadline: float | None) -> list[Prediction]:
        """Answer encoded rows, at most ``max_batch_size`` of them, as one item of the queue."""
        rows = len(features)
        result = self.runner.run({self.input_name: features}, rows=rows, deadline=deadline)
        return [self._prediction(result, index) for index in range(rows)]

    def _prediction(self, result: Result, index: int) -> Prediction:
        value, probability, probabilities = self.output.decode(result.outputs, index)
        return Prediction(value, probability, probabilities, self.version, self.new_id())

    def retire(self) -> bool:
        """Refuse new rows, finish those waiting, free the runtime; returns whether all of it was freed.

        A row that never comes back from the runtime keeps the old version in memory: freeing a session
        that still runs would take the whole process down.
        """
        self.telemetry.unloaded()
        self.runner.drain()
        if not self.runner.close(RETIRE_SECONDS):
            _log.warning(
                "model %s version %s still computes %.0f s after it was replaced; its memory is kept",
                self.name,
                self.version,
                RETIRE_SECONDS,
            )
            return False
        self.backend.close()
        return True
