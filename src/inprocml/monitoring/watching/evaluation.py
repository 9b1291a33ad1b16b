"""What all processes have counted -> what is decided: by one of them, which hands its state to the next."""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from inprocml.monitoring.alarm import Alarm
from inprocml.monitoring.counting import Form, Tally
from inprocml.monitoring.verdict import DriftEvent
from inprocml.monitoring.watching.joint import ROOM, Found, dumped, loaded

__all__ = ["Evaluation", "Known", "room_for"]

_LENGTHS = struct.Struct("<II")


def room_for(form: Form) -> int:
    """Return the most bytes that the state of an evaluation takes."""
    return _LENGTHS.size + ROOM + form.size + 65_536 + 8_192 * len(form.layout.series)


class Evaluation:
    """The alarm of a version, the totals that it has been given so far, what all columns show together."""

    def __init__(self, form: Form, *, model: str, version: str, budget: float) -> None:
        self.alarm = Alarm(form.layout, model=model, version=version, budget=budget)
        self.total = Tally(form)
        self.joint: Found = {}
        self._model, self._version, self._budget = model, version, budget

    def add(self, total: Tally, now: float) -> list[DriftEvent]:
        """Take what all have counted so far; ``total`` stands from now on. Returns the episodes' events.

        Rows that come to light at once, or go, are not of now: a process that counted elsewhere until now, a
        record that could not be read for a while. Nothing is taken of the look in which that shows.
        """
        since, self.total = self.total, total
        others = any(total.numbers[name] != since.numbers[name] for name in ("brought", "unread"))
        increase = total.counts - since.counts
        rows = total.rows - since.rows
        if others or rows < 0 or (increase < 0).any():  # from here on, then
            rows, increase = 0, increase * 0
        return self.alarm.add(increase, rows, now) if rows else self.alarm.look(now)

    def dump(self) -> bytes:
        """Return the state for the next process."""
        alarm, joint = self.alarm.dump(), dumped(self.joint)
        return _LENGTHS.pack(len(alarm), len(joint)) + alarm + joint + self.total.to_bytes()

    def load(self, state: bytes) -> None:
        """Go on from another's state; ``ValueError`` for what is none, and nothing has changed then."""
        if len(state) < _LENGTHS.size:
            raise ValueError("a state of too few bytes")
        of_alarm, of_joint = _LENGTHS.unpack_from(state)
        end = _LENGTHS.size + of_alarm
        joint = loaded(state[end : end + of_joint])
        total = Tally.from_bytes(self.total.form, state[end + of_joint :])
        self.alarm = Alarm.load(
            self.total.form.layout,
            state[_LENGTHS.size : end],
            model=self._model,
            version=self._version,
            budget=self._budget,
        )
        self.total, self.joint = total, joint


class Known(NamedTuple):
    """What is known of a version: the evaluation, the totals of ``workers`` processes, whose, and now."""

    evaluation: Evaluation
    total: Tally
    scope: Literal["worker", "host"]
    workers: int
    now: float
