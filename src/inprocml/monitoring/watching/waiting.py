"""Rows that were answered and are not counted yet; a label may come for one before the next look."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inprocml.monitoring.counting import Buffer, Seen
from inprocml.monitoring.quality.core import Quality
from inprocml.monitoring.watching.reading import Reading
from inprocml.native import lock_maker

__all__ = ["Waiting"]

_CHUNK = 512  # rows at a time: a label waits for some milliseconds
_PATIENCE = 1.0  # seconds that it waits at most: a store may be slow, or its greenlet be of the same thread


class Waiting:
    """Lets the rows of a buffer wait for their labels, in ``quality``, before they are counted; thread-safe.

    Its lock is held for a chunk of rows at a time, never while rows are counted: a view may wait for it.
    What is here counts against the bounds of the buffer. ``grumble`` is told what cannot be remembered.
    """

    def __init__(
        self,
        buffer: Buffer,
        reading: Reading,
        quality: Quality | None,
        clock: Callable[[], float],
        grumble: Callable[[str, Exception], None],
    ) -> None:
        self._buffer, self._reading, self._quality = buffer, reading, quality
        self._clock, self._grumble = clock, grumble
        self._busy = False  # rows are between the buffer and the memory of answers
        self._lock = lock_maker()()  # guards all below
        self._fetched: list[Seen] = []  # remembered, not counted yet
        self._fetched_at = 0.0  # the first of them
        self.taken_at = 0.0
        """When the first of those handed over last was fetched: no label of theirs came before that."""

    def seek(self, prediction_id: object) -> None:
        """See to it that a prediction is remembered whose row is still here."""
        self._fetch(self._buffer.ahead(prediction_id), patience=_PATIENCE)
        if self._busy and self._lock.acquire(timeout=_PATIENCE):  # another thread has it, perhaps
            self._lock.release()

    def __len__(self) -> int:
        with self._lock:
            return len(self._fetched) + len(self._buffer)

    def take(self, most: int) -> list[Seen]:
        """Hand over at most ``most`` rows to be counted, the oldest first, all of them remembered.

        For one thread at a time.
        """
        if not self._fetched:
            self._some(most, -1)
        with self._lock:
            seen = self._fetched[:most]
            del self._fetched[:most]
            self.taken_at = self._fetched_at
        self._buffer.free(seen)
        return seen

    def _fetch(self, rows: int, *, patience: float) -> None:
        while rows > 0:
            taken = self._some(min(rows, _CHUNK), patience)
            rows = rows - taken if taken else 0

    def _some(self, most: int, patience: float) -> int:
        if not self._lock.acquire(timeout=patience):
            return 0
        try:
            self._busy = True  # before a row leaves the buffer: who finds it in neither waits
            room = self._buffer.most - len(self._fetched)
            seen = self._buffer.take(min(most, room), hold=True)
            if not self._fetched:
                self._fetched_at = self._clock()
            self._fetched += seen
            if self._quality is not None and seen:
                self._remember(self._quality, seen)
        finally:
            self._busy = False
            self._lock.release()
        return len(seen)

    def _remember(self, quality: Quality, seen: Sequence[Seen]) -> None:
        """Let all rows wait for their labels, those too that will not be counted."""
        try:
            answers, slices = self._reading.answers(seen), self._reading.slices(seen)
        except Exception as error:  # noqa: BLE001 - a row that its owner changed, whatever it is now
            self._grumble("predictions could not be remembered", error)
            return
        quality.predicted([each.id for each in seen], answers, self._clock(), slices=slices)
