"""How far a long table is, told to a person at a terminal or in a notebook and to nobody else."""

from __future__ import annotations

import sys

from inprocml.protocols import Clock

__all__ = ["Progress", "told"]

PATIENCE_SECONDS = 2.0
PAUSE_SECONDS = 0.2  # between two lines: a notebook sends each to a browser


class Progress:
    """Writes one line to stderr, again and again, once the work has taken two seconds.

    ``total`` are all rows, where that is known; ``done`` of them were answered before.
    """

    def __init__(self, clock: Clock, *, total: int | None = None, done: int = 0) -> None:
        self._clock = clock
        self._total = total
        self._done = done
        self._began = clock()
        self._said = self._began
        self._width = 0

    def show(self, rows: int) -> None:
        """Say that ``rows`` rows are answered, those ``done`` before among them."""
        now = self._clock()
        if now - self._began <= PATIENCE_SECONDS or now - self._said < PAUSE_SECONDS or not _watched():
            return
        self._said = now
        line = told(rows, self._total, now - self._began, self._done)
        sys.stderr.write(f"\r{line:<{self._width}}")
        sys.stderr.flush()
        self._width = len(line)

    def end(self) -> None:
        """End the line, if there is one."""
        if self._width:
            sys.stderr.write("\n")


def told(rows: int, total: int | None, seconds: float, done: int = 0) -> str:
    """Return the line: rows, and where the total is known the share and the time left."""
    rate = (rows - done) / seconds if seconds > 0 else 0.0
    if not total:
        return f"predict_many: {rows:,} rows, {rate:,.0f} rows/s"
    left = "" if rate <= 0 else f", {_span((total - rows) / rate)} left"
    return f"predict_many: {rows:,} of {total:,} rows ({rows / total:.0%}), {rate:,.0f} rows/s{left}"


def _span(seconds: float) -> str:
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _watched() -> bool:
    """Whether somebody looks: stderr is a terminal, or a notebook's, which says that it is none."""
    if sys.stderr is None:
        return False
    return sys.stderr.isatty() or _in_notebook()


def _in_notebook() -> bool:
    """Whether IPython runs as a notebook's kernel; asked of the module that is loaded then, or of nobody."""
    found = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = None if found is None else found()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", ())
