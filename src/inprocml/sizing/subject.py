"""A bundle with its runtime, ready to be measured: its golden rows as batches and as requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inprocml.backends import open_backend
from inprocml.batching import Result, Runner
from inprocml.bundle import Bundle
from inprocml.bundle.golden import as_tensors
from inprocml.protocols import Backend, Pipelined
from inprocml.sizing.settings import Settings
from inprocml.values import Row, Tensors, repeated

__all__ = ["BundleSubject", "Subject", "asking"]


class Subject(Protocol):
    """What can be measured: a backend, rows for it, and a request as an application makes it.

    ``batch`` gives the backend's inputs for so many rows; ``encode`` makes those of request ``number`` from
    its row, ``decode`` reads its answer; ``runner`` makes a runner with these settings.
    """

    @property
    def name(self) -> str: ...

    @property
    def backend(self) -> Backend: ...

    def batch(self, rows: int) -> Tensors: ...

    def encode(self, number: int) -> Tensors: ...

    def decode(self, outputs: Tensors) -> object: ...

    def runner(self, settings: Settings) -> Runner: ...


@dataclass(frozen=True, slots=True)
class BundleSubject:
    """A bundle, open in its runtime; its golden rows are the requests. ``close`` frees it."""

    bundle: Bundle
    backend: Backend

    @classmethod
    def open(
        cls,
        bundle: Bundle,
        *,
        device: str = "cpu",
        threads: int | None = None,
        allow_loops: bool = False,
        max_batch_size: int = 64,
    ) -> BundleSubject:
        """Open the runtime of ``bundle`` and replay its golden rows; raises as they do.

        A GPU is prepared for batches of up to ``max_batch_size``, as when a ``Model`` loads.
        """
        backend = open_backend(
            bundle.runtime,
            bundle.model,
            device=device,
            threads=threads,
            allow_loops=allow_loops,
            module=bundle.module,
            input_name=next(iter(bundle.inputs.values())),
            output_name=bundle.output_name,
        )
        try:
            bundle.replay(backend)
            prepare = getattr(backend, "prepare", None)
            if prepare is not None:
                prepare(bundle.golden_inputs, max_batch_size)
        except BaseException:
            backend.close()
            raise
        return cls(bundle, backend)

    @property
    def name(self) -> str:
        """Name and version."""
        return f"{self.bundle.name} {self.bundle.version}"

    def batch(self, rows: int) -> Tensors:
        """Return the golden rows' tensors, repeated or cut to ``rows``."""
        return repeated(self.bundle.golden_inputs, rows)

    def encode(self, number: int) -> Tensors:
        """Encode a golden row as a request's."""
        rows = self.bundle.golden.rows
        row: Row = rows[number % len(rows)]
        made: Mapping[str, Any] = as_tensors(self.bundle.transform.transform_one(row))
        return {given: made[name][None] for name, given in self.bundle.inputs.items()}

    def decode(self, outputs: Tensors) -> object:
        """Decode a request's answer."""
        return self.bundle.output.decode(outputs, 0)

    def runner(self, settings: Settings) -> Runner:
        """Make a runner as a ``Model`` would."""
        return Runner(
            self.backend,
            name=self.bundle.name,
            shapes=self.bundle.shapes(whole=isinstance(self.backend, Pipelined)),
            **settings.to_dict(),
        )

    def close(self) -> None:
        """Free the runtime."""
        self.backend.close()


def asking(subject: Subject, runner: Runner) -> Callable[[int], Result]:
    """Return what an application does for request ``number``: encode, run, decode."""

    def ask(number: int) -> Result:
        result = runner.run(subject.encode(number))
        subject.decode(result.outputs)
        return result

    return ask
