"""One process's rows on their way to files: a bounded line, and a thread that ends when it is empty."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import logging
import os
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from inprocml.monitoring.capture import files
from inprocml.monitoring.capture.parquet import encoded, load
from inprocml.native import lock_maker, start_thread

__all__ = ["Columns", "Drawn", "Plan", "Writer"]

Columns: TypeAlias = Mapping[str, Sequence[Any]]

_log = logging.getLogger(__name__)

_MOST_ROWS = 8_192
_MOST_BYTES = 2**24
_SOON = 4  # a line that is so full (1 in 4) is written before its time
_LONGEST_ID = 128


class Plan(NamedTuple):
    """Where to, how much, for how long."""

    folder: Path
    share: float
    keep_days: float
    largest: int
    every: float


class Drawn(NamedTuple):
    """Rows or labels that wait: ``columns`` makes one file's columns of all ``items`` of one maker.

    It returns how many were refused and how many failed besides.
    """

    columns: Callable[[Sequence[Any]], tuple[Columns, int, int]]
    item: Any
    size: int


class Writer:
    """Collects what was drawn and writes a file now and then; nothing here raises."""

    def __init__(self, plan: Plan) -> None:
        load()  # here, and not on a thread: a fork meanwhile would leave the child with a held lock
        self._plan = plan
        self._limit = int(plan.share * 2**64)
        new_lock = lock_maker()
        self._lock = new_lock()  # guards the line and the counts
        self._files = new_lock()  # one writes at a time
        self._bell = new_lock()
        self._bell.acquire()
        self._line: deque[Drawn] = deque()
        self._bytes = 0
        self._running = self._said = False
        self._counts: Counter[str] = Counter(
            {"rows": 0, "labels": 0, "refused": 0, "dropped": 0, "failed": 0, "deleted": 0}
        )
        _living.add(self)
        self._pid = os.getpid()

    def draws(self, name: str) -> bool:
        """Whether the prediction of this id is in the sample: the same answer in every process."""
        drawn = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(drawn, "big") < self._limit

    def put(self, drawn: Drawn) -> None:
        """Let something wait to be written; what has no room is dropped and counted."""
        with self._lock:
            if len(self._line) >= _MOST_ROWS or self._bytes + drawn.size > _MOST_BYTES:
                self._counts["dropped"] += 1
                return
            self._line.append(drawn)
            self._bytes += drawn.size
            full = len(self._line) * _SOON > _MOST_ROWS or self._bytes * _SOON > _MOST_BYTES
            begin, self._running = not self._running, True
        if begin:
            try:
                start_thread(self._run, (), "inprocml-capture")
            except RuntimeError:  # none to be had now: the next row tries again
                self._running = False
        elif full:
            self._ring()

    def label(self, name: object, label: object, at: float | None = None) -> bool:
        """Let a label wait that came ``at`` seconds since 1970, or now, if its row was drawn."""
        if not isinstance(name, str) or len(name) > _LONGEST_ID or not self.draws(name):
            return False
        if not isinstance(label, str | int | float):
            with self._lock:
                self._counts["failed"] += 1
            return False
        came = time.time() if at is None else at
        self.put(Drawn(_labels, (name, label, came), 100 + len(str(label))))
        return True

    def counted(self) -> dict[str, int]:
        """Return the counts."""
        with self._lock:
            return dict(self._counts)

    def flush(self) -> None:
        """Write all that waits."""
        with self._files:
            with self._lock:
                line, self._line, self._bytes = self._line, deque(), 0
            made: dict[Any, list[Any]] = {}
            for drawn in line:
                made.setdefault(drawn.columns, []).append(drawn.item)
            for columns, items in made.items():
                self._write("labels" if columns is _labels else "rows", columns, items)
            if line:
                self._tidy()

    def _run(self) -> None:
        while True:
            self._bell.acquire(timeout=self._plan.every)
            self.flush()
            with self._lock:
                if not self._line:
                    self._running = False
                    return

    def _write(self, kind: str, columns: Callable[..., Any], items: Sequence[Any]) -> None:
        refused, failed, written = 0, len(items), 0
        try:
            made, refused, failed = columns(items)
            rows = len(next(iter(made.values()), ()))
            failed += rows  # unless the disk takes them
            if rows:
                files.add(self._plan.folder, kind, encoded(made), time.time())
            failed, written = failed - rows, rows
        except Exception as error:  # noqa: BLE001 - a full disk, no rights, whatever arrow raises
            self._grumble(error)
        with self._lock:
            self._counts.update({kind: written, "refused": refused, "failed": failed})

    def _tidy(self) -> None:
        plan = self._plan
        try:
            deleted = files.tidy(plan.folder, keep_days=plan.keep_days, largest=plan.largest, now=time.time())
        except OSError as error:
            self._grumble(error)
            return
        with self._lock:
            self._counts["deleted"] += deleted

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # rung already
            self._bell.release()

    def _grumble(self, error: Exception) -> None:
        said, self._said = self._said, True
        if not said:
            _log.warning(
                "capturing rows in %s failed; further failures are only counted",
                self._plan.folder,
                exc_info=error,
            )

    def last(self) -> None:
        """Write what waits as the process ends; never in a child that inherited this."""
        if self._pid == os.getpid():
            self.flush()


def _labels(items: Sequence[Any]) -> tuple[Columns, int, int]:
    """Labels of any type lie in one column, so as JSON."""
    names, labels, times = zip(*items, strict=True)
    told = [json.dumps(label) for label in labels]
    return {"_id": names, "_label": told, "_labelled_at": times}, 0, 0


_living: weakref.WeakSet[Writer] = weakref.WeakSet()


@atexit.register
def _last() -> None:
    for writer in list(_living):
        with contextlib.suppress(Exception):
            writer.last()
