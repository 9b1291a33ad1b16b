"""What all processes have counted -> what is decided: by one of them, which hands its state to the next."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

from inprocml.monitoring.alarm import Alarm
from inprocml.monitoring.counting import Form, Tally
from inprocml.monitoring.verdict import Action, DriftEvent
from inprocml.monitoring.watching.joint import ROOM, Found, dumped, loaded

__all__ = ["Evaluation", "Known", "room_for"]

_LENGTHS = struct.Struct("<III")
_OWED = 64  # events
_Owed = list[tuple[str, str, float]]


def room_for(form: Form) -> int:
    """Return the most bytes that the state of an evaluation takes."""
    return _LENGTHS.size + ROOM + form.size + 65_536 + 8_192 * len(form.layout.series)


class Evaluation:
    """The alarm of a version, the totals that it has been given so far, what all columns show together."""

    def __init__(self, form: Form, *, model: str, version: str, budget: float) -> None:
        self.alarm = Alarm(form.layout, model=model, version=version, budget=budget)
        self.total = Tally(form)
        self.joint: Found = {}
        self._owed: _Owed = []  # id, action and time of events that may not have been told
        self._again = False  # whether they are another's, who may have been killed meanwhile
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
        before = self._told_again(now) if self._again else []
        self._again = False
        events = self.alarm.add(increase, rows, now) if rows else self.alarm.look(now)
        self._owed = [*self._owed, *((each.id, each.action.value, each.at) for each in events)][-_OWED:]
        return before + events

    def told(self) -> None:
        """Every event has been told: who goes on from this state tells none of them again."""
        self._owed = []

    def _told_again(self, now: float) -> list[DriftEvent]:
        """Return what another process decided and may not have told; of an episode that is over, its end."""
        open_ones = {event.id: event for event in self.alarm.episodes()}
        over = {event.id: event for event in self.alarm.ended(now)}
        found = [
            (open_ones.get(name) if action != Action.CLOSED else over.get(name), action, at)
            for name, action, at in self._owed
        ]
        return [replace(event, action=Action(action), at=at) for event, action, at in found if event]

    def dump(self) -> bytes:
        """Return the state for the next process."""
        alarm, joint, owed = self.alarm.dump(), dumped(self.joint), json.dumps(self._owed).encode()
        parts = alarm, joint, owed
        return _LENGTHS.pack(*map(len, parts)) + b"".join(parts) + self.total.to_bytes()

    def load(self, state: bytes) -> None:
        """Go on from another's state; ``ValueError`` for what is none, and nothing has changed then."""
        if len(state) < _LENGTHS.size:
            raise ValueError("a state of too few bytes")
        ends = list(accumulate(_LENGTHS.unpack_from(state), initial=_LENGTHS.size))
        stored, joint, owed = (state[start:end] for start, end in pairwise(ends))
        found, owes = loaded(joint), _owed(owed)
        total = Tally.from_bytes(self.total.form, state[ends[-1] :])
        self.alarm = Alarm.load(
            self.total.form.layout,
            stored,
            model=self._model,
            version=self._version,
            budget=self._budget,
        )
        self.total, self.joint = total, found
        self._owed, self._again = owes, True


def _owed(text: bytes) -> _Owed:
    """Return what was dumped of events; ``ValueError`` for anything else."""
    try:
        return [(str(name), Action(action).value, float(at)) for name, action, at in json.loads(text)]
    except (TypeError, OverflowError) as error:
        raise ValueError("what is owed is damaged") from error


class Known(NamedTuple):
    """What is known of a version: the evaluation, the totals of ``workers`` processes, whose, and now."""

    evaluation: Evaluation
    total: Tally
    scope: Literal["worker", "host"]
    workers: int
    now: float
