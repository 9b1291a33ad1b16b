"""What this process has counted, shown to the other processes of its host, and what they show."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from inprocml.monitoring.counting import Form, Tally
from inprocml.monitoring.series import Counts
from inprocml.monitoring.watching.evaluation import Evaluation, room_for
from inprocml.monitoring.watching.sharing import Shared

__all__ = ["ALIVE_SECONDS", "RETRY_SECONDS", "Tallies", "is_due"]

RETRY_SECONDS = 30.0
ALIVE_SECONDS = 120.0


def is_due(retry_at: float, now: float) -> bool:
    """Whether to try again: at ``retry_at``, infinite for never, or as soon as a clock has stepped back."""
    return retry_at != math.inf and not retry_at - RETRY_SECONDS <= now < retry_at


class Tallies:
    """``mine``, and those of the others; used by one thread at a time, and raises for nothing on the disk.

    Without a folder that can be used, this process counts, and decides, for itself. ``grumble`` is told what
    goes wrong.
    """

    def __init__(
        self,
        form: Form,
        *,
        folder: Path | None,
        model: str,
        digest: str,
        grumble: Callable[[str, Exception], None],
    ) -> None:
        self.mine = Tally(form)
        self._form = form
        self._folder, self._model, self._digest = folder, model, digest
        self._grumble = grumble
        self._inherited = Tally(form)  # what a process that ended had counted in this one's slot
        self._shared: Shared | None = None
        self._retry_at = 0.0
        self._elsewhere = False  # whether rows were counted in a file that is lost, or in none

    @property
    def scope(self) -> Literal["worker", "host"]:
        """Whose rows are known."""
        return "worker" if self._shared is None else "host"

    def publish(self, now: float) -> bool:
        """Show what was counted; False where others have decided meanwhile: what this process has is void."""
        self.mine.numbers["beat"] = max(0, int(now))
        if self._shared is not None and not self._shared.sound:
            self._grumble("its counts begin anew", OSError("the file was deleted, replaced or damaged"))
            self._shared.close()
            self._shared, self._retry_at, self._elsewhere = None, 0.0, True
        joins = self._shared is None and is_due(self._retry_at, now)
        if joins:
            self._join(now)
        if self._shared is None:
            return True
        self._shared.write(self.mine.to_bytes())
        return not (joins and self._shared.slots.decided)

    def _join(self, now: float) -> None:
        """Find a slot among the other processes, and go on where the one before ended."""
        if self._elsewhere:  # those rows are not of now
            self.mine.numbers["brought"] = self.mine.rows
        try:
            self._shared = Shared.open(
                self._form,
                folder=self._folder,
                name=self._model,
                digest=self._digest,
                state=room_for(self._form),
            )
        except OSError as error:
            self._retry_at, self._elsewhere = now + RETRY_SECONDS, True
            self._grumble("this process counts for itself", error)
            return
        self._elsewhere = False
        if self._shared.slots.replaced:
            self._grumble(
                "what was counted before is lost", OSError("the file was damaged, or of another release")
            )
        left = self._shared.read()
        if left is not None:
            try:
                before = Tally.from_bytes(self._form, left)
                self.mine.merge(before)
                self._inherited.merge(before)
            except ValueError as error:
                self._grumble("what another process has left cannot be read", error)

    def total(self) -> Tally:
        """Return what all processes have counted."""
        total = Tally(self._form)
        found, total.numbers["unread"] = self._all()
        for tally in found:
            total.merge(tally)
        return total

    def workers(self, now: float) -> int:
        """Return how many processes count."""
        return max(1, sum(now - tally.numbers["beat"] < ALIVE_SECONDS for tally in self._all()[0]))

    def _all(self) -> tuple[list[Tally], int]:
        """Return the tallies that can be read, and how many cannot."""
        if self._shared is None:
            return [self.mine], 0
        found, records = [], self._shared.slots.used()
        for record in records:
            try:
                found.append(Tally.from_bytes(self._form, record or b""))
            except ValueError as error:
                self._grumble("what another process counts cannot be read", error)
        return found, len(records) - len(found)

    def own(self) -> Counts:
        """Return what this process itself has counted: without what it went on from."""
        return self.mine.counts - self._inherited.counts

    def own_numbers(self) -> dict[str, int]:
        """Return this process's own numbers, by the names of ``NUMBERS``."""
        before = self._inherited.numbers
        return {name: number - before[name] for name, number in self.mine.numbers.items()}

    def elect(self) -> bool:
        """Whether it falls to this process to decide."""
        return self._shared is None or self._shared.elect()

    def taken_over(self, fresh: Evaluation) -> Evaluation:
        """Return it as the process that decided before has left it; where that is lost, from here on."""
        try:
            if self._shared is not None and self._shared.slots.decided:
                fresh.load(self._shared.slots.read_state() or b"")
        except ValueError as error:
            fresh.total = self.total()  # what was counted until now is not of now
            self._grumble("what was learnt so far cannot be read", error)
        return fresh

    def write_state(self, state: bytes) -> None:
        """Keep what was decided for the next process."""
        if self._shared is not None:
            self._shared.slots.write_state(state)

    def close(self, *, retired: bool = False) -> None:
        """Leave, to decide no more; what was counted stays for the other processes, if it is of use."""
        if self._shared is not None:
            self._shared.close(retired=retired)
            self._shared = None
