"""One loaded version: transform + queue + backend + decoder, immutable, swapped whole.

Everything that may differ between two versions hangs on one object, so that a request can never meet the
transform of one and the model of another, and no batch mixes versions.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from inprocml.protocols import Pipelined
from inprocml.serving.heap import trim
from inprocml.serving.warm import Sizes
from inprocml.values import FEATURES, Columns, Prediction, Row, Table, Tensors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inprocml.batching import Pool, Result, Runner
    from inprocml.monitoring import Baseline, Monitor, RowCounts
    from inprocml.protocols import Backend
    from inprocml.telemetry import ModelTelemetry
    from inprocml.transform import Transform

__all__ = ["Leases", "Output", "Servable", "prediction_ids"]


class Output(Protocol):
    """Turns row ``index`` of a model's outputs into value, probability and probabilities; or all rows."""

    @property
    def tensor(self) -> str | None: ...

    def decode(self, outputs: Tensors, index: int) -> tuple[Any, float | None, Any]: ...

    def columns(self, outputs: Tensors) -> Columns: ...


PORTION_ROWS = 4096
_BULK = -1  # priority of many rows: they yield to requests, for some seconds


def prediction_ids() -> Callable[[], str]:
    """Return a source of ids, unique across processes and hosts, at a fraction of a uuid4's cost.

    48 random bits per servable, then a counter: ``next`` on ``itertools.count`` is atomic under the GIL.
    """
    prefix = secrets.token_hex(6)
    numbers = itertools.count(1)
    return lambda: f"{prefix}-{next(numbers):x}"


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True)
class Servable:
    """One version, loaded and verified; ``predict`` may be called from any thread."""

    name: str
    version: str
    digest: str
    transform: Transform
    output: Output
    runner: Runner | Pool
    backends: tuple[Backend, ...]
    inputs: Mapping[str, str]
    baseline: Baseline
    counts: RowCounts
    sizes: Sizes
    telemetry: ModelTelemetry
    monitor: Monitor | None
    new_id: Callable[[], str]
    leases: Leases

    def predict(self, row: Row, deadline: float | None, priority: int = 0) -> tuple[Prediction, Result]:
        """Check, encode, batch and decode one row."""
        made = self.transform.transform_one(row)
        result = self.runner.run(self._inputs_one(made), deadline=deadline, priority=priority)
        return self._answered(row, made, result), result

    async def apredict(
        self, row: Row, deadline: float | None, priority: int = 0
    ) -> tuple[Prediction, Result]:
        """As ``predict``; the model never runs on the event loop."""
        made = self.transform.transform_one(row)
        result = await self.runner.arun(self._inputs_one(made), deadline=deadline, priority=priority)
        return self._answered(row, made, result), result

    def _answered(self, row: Row, made: Any, result: Result) -> Prediction:
        prediction = self._prediction(result.outputs, 0)
        if self.monitor is not None:
            self.monitor.saw(row, result.outputs, prediction.id, made)
        return prediction

    def predict_table(self, table: Table, deadline: float | None) -> Iterator[list[Prediction]]:
        """Check and encode many rows as a whole, then answer them batch by batch, in turn with other callers.

        Yields the answers so far known, in order. Holds a lease: a swap lets the table end on this version.
        """
        answered: list[Tensors] = []
        noted: list[Tensors] = []
        with self.leases:
            for part in self._parts(table, self.portion):
                answered.append(self.compute(part, deadline))
                if self.monitor is not None:
                    noted.append(self.monitor.noted(part))
                yield self.predictions(answered[-1])
        if self.monitor is not None:
            self.monitor.saw_table(table, answered, noted)

    @property
    def idle(self) -> bool:
        """Whether it computes nothing, not even a lost run, and answers no table and no stream."""
        return self.runner.idle and self.runner.lost is None and self.leases.idle

    @property
    def light(self) -> bool:
        """Whether it takes features alone, which are small enough to be made of many rows at once."""
        return len(self.transform.tensors) == 1 and FEATURES in self.inputs

    @property
    def flights(self) -> int:
        """How many batches its device holds at once."""
        return max((each.depth for each in self.backends if isinstance(each, Pipelined)), default=1)

    @property
    def portion(self) -> int:
        """How many of many rows to compute in one call.

        A batch; where the device holds several, so many that it always has them: it was given one after the
        other, and never had two.
        """
        least = self.flights * self.runner.max_batch_size
        return max(least, PORTION_ROWS) if self.flights > 1 and self.light else least

    def _parts(self, table: Table, rows: int) -> Iterator[Any]:
        if not self.light:
            return self.transform.batches(table, rows=rows)
        features = self.transform.transform(table)
        return (features[start : start + rows] for start in range(0, len(features), rows))

    def compute(self, part: Any, deadline: float | None) -> Tensors:
        """Run encoded rows in turn with other callers; return the outputs."""
        inputs = {
            given: part if type(part) is not dict else part[name] for name, given in self.inputs.items()
        }
        rows = len(next(iter(inputs.values())))
        return self.runner.run(inputs, rows=rows, deadline=deadline, patient=True, priority=_BULK).outputs

    def predictions(self, outputs: Tensors) -> list[Prediction]:
        """Decode all rows of outputs."""
        rows = len(next(iter(outputs.values())))
        return [self._prediction(outputs, index) for index in range(rows)]

    def _inputs_one(self, made: Any) -> dict[str, Any]:
        """One row's tensors as a batch of one."""
        if type(made) is dict:
            return {given: made[name][None] for name, given in self.inputs.items()}
        return {given: made.reshape(1, -1) for given in self.inputs.values()}

    def _prediction(self, outputs: Tensors, index: int) -> Prediction:
        value, probability, probabilities = self.output.decode(outputs, index)
        return Prediction(value, probability, probabilities, self.version, self.new_id())

    def retire(self, timeout: float, *, closing: bool = False) -> bool:
        """Let tables end, refuse new rows, finish those waiting, free the runtime; whether all was freed.

        ``timeout`` in seconds bounds each wait. A stream may last for days: while one is answered nothing is
        refused and nothing freed, unless the model is ``closing``. A row that never comes back from the
        runtime keeps the old version in memory as well: freeing a session that still runs would take the
        whole process down.
        """
        self.telemetry.unloaded()
        self.leases.wait(timeout)
        if not self.leases.seal() and not closing:
            return False
        self.runner.drain()
        if not self.runner.close(timeout):
            return False
        if self.monitor is not None:
            self.monitor.close(retired=not closing)
        for backend in self.backends:
            backend.close()
        trim()
        return True


class Leases:
    """Counts the tables and the streams that a servable is answering, so that a swap can let them end."""

    def __init__(self) -> None:
        self._held = 0
        self._streams = 0
        self._sealed = False
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._held += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._held -= 1
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Wait until no table is held, at most ``timeout`` seconds; returns whether none is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._held, timeout)

    @property
    def idle(self) -> bool:
        """Whether nothing is held."""
        return not self._held and not self._streams

    def begin(self) -> bool:
        """Take a lease for a stream; False where this version is being freed already."""
        with self._changed:
            self._streams += not self._sealed
            return not self._sealed

    def end(self) -> None:
        """Give a stream's lease back."""
        with self._changed:
            self._streams -= 1

    def seal(self) -> bool:
        """Take no more streams, unless one is held; returns whether none is."""
        with self._changed:
            self._sealed = self._sealed or not self._streams
            return not self._streams
