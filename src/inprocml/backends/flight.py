"""One batch on its way through a staged backend, in as many pieces as memory makes it.

What failed is tried again outside of the ``except`` block: there the traceback would hold the tensors of the
run that failed, and the memory would still be short.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inprocml.backends.accelerator import Trouble
from inprocml.backends.slots import Layout, Slot
from inprocml.errors import BackendFailed
from inprocml.values import Tensors

if TYPE_CHECKING:
    from inprocml.backends.staged import Staged

__all__ = ["StagedFlight", "chunks"]


class StagedFlight:
    """One batch in flight; see ``protocols.Flight``."""

    def __init__(
        self, staged: Staged, slot: Slot, layout: Layout, parts: Sequence[Tensors], rows: int, batch: int
    ) -> None:
        self.pieces: deque[tuple[int, int]] = deque()  # yet to be answered; the first is on its way
        self.error: Exception | None = None  # of setting the first on its way
        self._staged, self._slot, self._layout = staged, slot, layout
        self._parts, self._rows, self._batch = parts, rows, batch
        self._size = 0
        self._ended = False

    def launch(self) -> None:
        """Set the first piece on its way."""
        low, high = self.pieces[0]
        self._size = self._staged.fitting(high - low)  # known even where the launch fails
        self._staged.accelerator.mark(self._batch)
        self._staged.launch(self._slot, self._layout, self._parts, low, high)

    def wait(self) -> dict[str, NDArray[Any]]:
        """Return the outputs of all rows, in fresh arrays; raises what the run raised."""
        if self._ended:
            raise BackendFailed("this batch was waited for already; start another")
        self._ended = True
        try:
            answers = self._wait()
        except BaseException:
            self.abandon()
            raise
        self._end()
        return answers

    def abandon(self) -> None:
        """Let nothing of this flight be on its way any more: others will use its slot."""
        self._staged.settle()
        self._end()

    def _end(self) -> None:
        self._parts = ()
        self._staged.give_back(self._slot)

    def _wait(self) -> dict[str, NDArray[Any]]:
        staged = self._staged
        answers: list[dict[str, NDArray[Any]]] = []
        error = self.error
        while self.pieces:
            if error is None:
                error = staged.synchronise(self._slot)
            low, high = self.pieces.popleft()
            if not staged.healthy:
                raise staged.lost() from error
            if error is None:
                answers.append(self._slot.collect(high - low))
            else:
                self._cut_smaller(low, high, error)
            error = staged.attempt(self.launch) if self.pieces else None
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def _cut_smaller(self, low: int, high: int, error: Exception) -> None:
        """Cut what failed, and what is still to come, into pieces that may fit; raises if none can."""
        staged = self._staged
        trouble = staged.sort(error)
        if trouble is Trouble.STICKY:
            raise staged.lost() from error
        if trouble is Trouble.ORDINARY:
            raise error
        if self._size <= 1:
            staged.release()
            raise staged.too_large() from error
        staged.shrink(self._size)
        self.pieces = deque(chunks(low, self._rows, min(staged.sizes[-1], -(-(high - low) // 2))))


def chunks(low: int, high: int, most: int) -> list[tuple[int, int]]:
    """Cut rows into pieces of at most ``most``."""
    return [(at, min(at + most, high)) for at in range(low, high, most)]
