"""Rows through one version that stays: leased, encoded one block ahead, computed in batches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from inprocml.batching import Drained
from inprocml.bulk import Block, Sifted, sift
from inprocml.errors import NotReady, anew
from inprocml.protocols import Clock
from inprocml.serving import Ahead, Process, Servable
from inprocml.values import Tensors

__all__ = ["Host", "Passage"]

BLOCK_ROWS = 4096  # encoding costs per row and per block: beyond this, only memory is to be had
BLOCK_SECONDS = 0.25  # of computing: a slow model's answers come in smaller portions


class Host(Protocol):
    """What bulk work needs of a ``Model``."""

    @property
    def _clock(self) -> Clock: ...

    def _process(self) -> Process: ...

    def _servable(self, process: Process, deadline: float | None = None) -> Servable: ...

    def _pin(self, version: str) -> Host: ...

    def close(self) -> None: ...


class Passage:
    """One version on lease until ``end``; ``deadline`` is absolute on the host's clock.

    Raises as the first load of a model does.
    """

    def __init__(self, host: Host, deadline: float | None) -> None:
        self._deadline = deadline
        self.clock = host._clock  # noqa: SLF001 - the host is the facade, of which this is a part
        self._process = host._process()  # noqa: SLF001
        self._pid = os.getpid()
        self.servable = host._servable(self._process, deadline)  # noqa: SLF001
        while not self.servable.leases.begin():  # swapped away a moment ago
            self.servable = host._servable(self._process, deadline)  # noqa: SLF001
        self._held = True
        self._join: Callable[[], None] | None = None
        self._batch = self.servable.runner.max_batch_size
        self._call = self.servable.portion
        self._least = self._size = self._batch * self.servable.flights

    def size(self) -> int:
        """Return how many rows the next block should have: whole batches, the more the quicker they are."""
        return self._size

    def answered(self, blocks: Iterator[Block], *, keep: bool) -> Iterator[tuple[Sifted, list[Tensors]]]:
        """Yield each block, encoded, with the outputs of its good rows, in one piece or several.

        Raises ``NotReady`` if the model is closed meanwhile, and in a child of the process that began;
        ``BackendFailed`` if the version hangs or its device is lost.
        """
        transform = self.servable.transform
        names = [field.name for field in transform.schema.fields]
        sifted = (sift(block, transform.transform, names, keep=keep) for block in blocks)
        ahead: Ahead[Sifted, list[Tensors]] = Ahead(
            sifted, self._compute, urgent=lambda item: item.block.prompt, took=self._took, clock=self.clock
        )
        self._join = ahead.join
        try:
            for item, outputs in ahead:
                yield item, outputs
                self.check_process()
                monitor = self.servable.monitor
                if monitor is not None and outputs:
                    monitor.saw_table(item.table, outputs, [monitor.noted(item.tensors)])
        except Drained:
            self._process.slot.give_up()
            name, version = self.servable.name, self.servable.version
            lost = self.servable.runner.lost
            if lost is not None:
                raise anew(lost) from None
            raise NotReady(
                f"model {name!r} was closed while version {version} answered many rows; make a new Model to "
                "go on"
            ) from None
        except Exception as error:
            self.servable.telemetry.refused(error)
            raise

    def _compute(self, item: Sifted, wanted: Callable[[], bool]) -> list[Tensors]:
        outputs: list[Tensors] = []
        made = item.tensors
        for start in range(0, item.good, self._call):
            if not wanted():
                break
            stop = start + self._call
            part = {n: a[start:stop] for n, a in made.items()} if type(made) is dict else made[start:stop]
            outputs.append(self.servable.compute(part, self._deadline))
        return outputs

    def _took(self, item: Sifted, seconds: float) -> None:
        if not self.servable.light:  # pictures: never more of them in memory than the device takes at once
            return
        if seconds > BLOCK_SECONDS:
            self._size = max(self._least, self._size // 2 // self._batch * self._batch)
        elif self._size < BLOCK_ROWS and seconds < BLOCK_SECONDS / 4 and item.block.rows >= self._size:
            self._size *= 2

    def check_process(self) -> None:
        """Raise ``NotReady`` in a process that has inherited this: thread and runtime stayed behind."""
        if os.getpid() != self._pid:
            raise NotReady(
                "this stream belongs to the process that began it; call predict_many anew in this one"
            )

    def end(self, *, sweep: bool = True) -> None:
        """Give the lease back; ``sweep`` waits for what computes and frees a version that was replaced.

        May be called twice.
        """
        held, self._held = self._held, False
        if not held or os.getpid() != self._pid:
            return
        if sweep and self._join is not None:
            self._join()
        self.servable.leases.end()
        if sweep and self._process.slot.peek() is not self.servable:
            self._process.slot.sweep()
