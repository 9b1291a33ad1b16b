"""What the processes of a host have counted and decided, seen from outside: by a command, not by a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from inprocml.monitoring.counting import Form, Slots, Tally
from inprocml.monitoring.series import Layout
from inprocml.monitoring.watching.evaluation import Evaluation, Known, room_for
from inprocml.monitoring.watching.sharing import counts_file, held_here
from inprocml.monitoring.watching.tallies import ALIVE_SECONDS

__all__ = ["Onlooker"]

T = TypeVar("T")


class Onlooker:
    """Looks at the counts of one version in the folder of ``Monitoring(folder=...)``.

    The file is opened anew each time, so that servers may come and go, and never made. ``budget`` as in
    ``Monitoring``.
    """

    def __init__(
        self,
        layout: Layout,
        folder: Path,
        *,
        model: str,
        version: str,
        digest: str,
        budget: float = 0.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = counts_file(folder, model, digest)
        self._form = Form(layout)
        self._model, self._version, self._budget = model, version, budget
        self._clock = clock

    def ask(self, question: Callable[[Known], T], *, decide: bool = False) -> T | None:
        """Ask of what was decided last; None where nothing was counted.

        With ``decide`` what a server that has ended left undecided is decided first, if none lives: it is
        written down, for the next server goes on with it. Raises ``OSError`` for want of rights, and
        ``ValueError`` for a state that is damaged, and in a process that counts in this file itself.
        """
        if held_here(self.path):
            raise ValueError("this process counts here itself: ask its Model")
        form = self._form
        slots = Slots.existing(self.path, digest=form.digest, record=form.size, state=room_for(form))
        if slots is None:
            return None
        try:
            if decide and slots.alone() and slots.elect():
                self._decide(slots)
            return question(self._known(slots))
        finally:
            slots.close()  # with it goes the election

    def _decide(self, slots: Slots) -> None:
        evaluation = self._evaluation(slots)
        total = self._total(slots)
        if total.rows == evaluation.total.rows:
            return  # nothing new: a server that comes back finds what it left
        evaluation.add(total, self._clock())
        slots.write_state(evaluation.dump())

    def _known(self, slots: Slots) -> Known:
        now, tallies = self._clock(), self._tallies(slots)
        living = [tally for tally in tallies if now - tally.numbers["beat"] < ALIVE_SECONDS]
        return Known(self._evaluation(slots), self._total(slots), "host", max(1, len(living)), now)

    def _evaluation(self, slots: Slots) -> Evaluation:
        evaluation = Evaluation(self._form, model=self._model, version=self._version, budget=self._budget)
        if slots.decided:
            evaluation.load(slots.read_state() or b"")
        return evaluation

    def _tallies(self, slots: Slots) -> list[Tally]:
        return [Tally.from_bytes(self._form, record) for record in slots.all()]

    def _total(self, slots: Slots) -> Tally:
        total = Tally(self._form)
        for tally in self._tallies(slots):
            total.merge(tally)
        total.numbers["unread"] = slots.used().count(None)
        return total
