"""How far a long table is, told to a person at a terminal and to nobody else."""

from __future__ import annotations

import sys

from inprocml.protocols import Clock

__all__ = ["Progress"]

PATIENCE_SECONDS = 2.0


class Progress:
    """Writes to stderr where that is a terminal, once the work has taken two seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock()
        self._shown = False

    def show(self, rows: int) -> None:
        """Say that ``rows`` rows are answered."""
        terminal = sys.stderr is not None and sys.stderr.isatty()
        if terminal and self._clock() - self._began > PATIENCE_SECONDS:
            self._shown = True
            sys.stderr.write(f"\rpredict_many: {rows:,} rows")

    def end(self) -> None:
        """End the line, if there is one."""
        if self._shown:
            sys.stderr.write("\n")
