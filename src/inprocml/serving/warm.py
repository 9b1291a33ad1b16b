"""Runs a new version at the batch sizes in use before it answers anybody.

Runtimes choose algorithms, compile kernels and grow their memory at the first run of a shape; nobody's
request should wait for that.
"""

from __future__ import annotations

import time

from inprocml.protocols import Backend, Clock
from inprocml.values import BatchRecord, Tensors, repeated

__all__ = ["Sizes", "warm"]

MOST_SIZES = 8
PATIENCE_SECONDS = 5.0


class Sizes:
    """An observer of the batch sizes that a version ran at; a count that threads race for is off by one.

    ``used`` is when the last batch ended, or when this was made, on ``clock``.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._counts: dict[int, int] = {}
        self._clock = clock
        self.used = clock()

    def observe(self, record: BatchRecord) -> None:
        """Count the size of one executed batch."""
        self.used = self._clock()
        if record.error is None:
            self._counts[record.rows] = self._counts.get(record.rows, 0) + 1

    def in_use(self) -> tuple[int, ...]:
        """Return the sizes to warm up at, smallest first: the largest there was, and the commonest."""
        counts = dict(self._counts)
        if not counts:
            return ()
        common = sorted(counts, key=counts.__getitem__, reverse=True)[: MOST_SIZES - 1]
        return tuple(sorted({max(counts), *common}))


def warm(backend: Backend, rows: Tensors, sizes: tuple[int, ...], *, clock: Clock) -> None:
    """Run ``backend`` once at each of ``sizes``, on ``rows`` repeated; stops after some seconds.

    What the backend raises passes through: a version that cannot run at the sizes in use is refused.
    """
    until = clock() + PATIENCE_SECONDS
    for size in sizes:
        if clock() > until:
            return
        backend.run(repeated(rows, size))
