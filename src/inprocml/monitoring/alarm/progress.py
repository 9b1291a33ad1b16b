"""How far learning is: of how rows depend on one another, and of what was before."""

from __future__ import annotations

from inprocml.monitoring.alarm.blocks import LEVELS
from inprocml.monitoring.alarm.dependence import BLOCKS
from inprocml.monitoring.alarm.memory import Memory
from inprocml.monitoring.verdict import Progress, Reference

__all__ = ["LIVE_BLOCKS", "progress_of"]

LIVE_BLOCKS = 2 * (2 ** (LEVELS - 1) - 1) + 2 ** (LEVELS - 1)
"""So many blocks are kept; what is older than these is the time before."""


def progress_of(
    memory: Memory, reference: Reference, now: float, block_rows: int, block_seconds: float
) -> Progress | None:
    """Return how far learning is that a verdict against ``reference`` waits for; ``None`` if it is done."""
    kept, since = memory.blocks.reach()
    if reference is Reference.LIVE:
        wanted, done = LIVE_BLOCKS + 1, min(kept, LIVE_BLOCKS)
        learnt = bool(memory.clock.live_blocks)
    else:
        wanted, done = BLOCKS, min(memory.dependence.blocks, BLOCKS)
        learnt = memory.dependence.known
    if learnt:
        return None
    pace = _pace(memory, kept, since, now, block_rows, block_seconds)
    left = None if pace is None else pace * (wanted - done)
    return Progress(done, wanted, block_rows, block_seconds, left)


def _pace(
    memory: Memory, kept: int, since: float, now: float, block_rows: int, block_seconds: float
) -> float | None:
    """Return the seconds that a block takes: of those kept, or by what is in the one that is open."""
    clock = memory.clock
    if kept:
        closed = clock.open_since if clock.open_rows else max(now, clock.heard)
        return max(closed - since, kept * block_seconds) / kept
    if not clock.open_rows:
        return None
    rows = max(now - clock.open_since, clock.open_seconds) * block_rows / clock.open_rows
    return max(rows, block_seconds)
