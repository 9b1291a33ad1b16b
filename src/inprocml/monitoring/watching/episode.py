"""Labels that were worse than promised, told once: when that begins, and when it ends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass, replace
from typing import Any

from inprocml.monitoring.quality import QualityReport
from inprocml.monitoring.verdict import Action, DriftEvent, Finding, Reference, State

__all__ = ["Episode", "event_of"]


_NEW: tuple[Any, ...] = (0, None, None, None, None, True)


@dataclass(frozen=True)
class Episode:
    """The last episode of labels that were worse than promised; ``number`` grows with every change.

    ``opened`` is when, None where none is open; ``calm`` since when labels are as promised again, ``silent``
    since when they say nothing; ``ended`` when the one opened that is over. ``told``: hooks have heard of it;
    who finds one that is not tells it, for the process that wrote it may be gone.
    """

    number: int = 0
    opened: float | None = None
    calm: float | None = None
    silent: float | None = None
    ended: float | None = None
    told: bool = True

    def dump(self) -> bytes:
        return json.dumps(astuple(self)).encode()

    @classmethod
    def load(cls, state: bytes | None) -> Episode:
        try:
            found: list[Any] = list(json.loads(state or b"[0]"))
            number, *times, told = found + list(_NEW[len(found) :])
            opened, calm, silent, ended = (None if each is None else float(each) for each in times)
            return cls(int(number), opened, calm, silent, ended, told is not False)
        except (ValueError, TypeError, OverflowError):
            return cls()

    def step(self, state: State, now: float, patience: float, silence: float) -> Episode:
        """Return the episode after a look.

        It ends when labels were as promised for ``patience`` seconds, or said nothing for ``silence``.
        """
        if self.opened is None:
            return Episode(self.number + 1, now, told=False) if state is State.DRIFT else self
        if state in {State.DRIFT, State.WATCH}:
            after, over = replace(self, calm=None, silent=None), False
        elif state is State.OK:
            calm = _since(self.calm, now)
            after, over = replace(self, calm=calm, silent=None), now - calm >= patience
        else:
            silent = _since(self.silent, now)
            after, over = replace(self, silent=silent), now - silent >= silence
        if over:
            return self.over()
        return self if after == self else replace(after, number=self.number + 1)

    def over(self) -> Episode:
        """Return the episode when it is over; none may be open any more."""
        return self if self.opened is None else Episode(self.number + 1, ended=self.opened, told=False)

    def heard(self) -> Episode:
        """Return the episode when hooks were told of it."""
        return replace(self, number=self.number + 1, told=True)


def _since(before: float | None, now: float) -> float:
    return now if before is None or before > now else before  # a clock may step back


def event_of(report: QualityReport, action: Action, opened: float, why: str = "") -> DriftEvent:
    """Return what hooks are told: one finding, named ``quality``, of the output; ``why`` it ended."""
    told = [report.model, report.version, "quality", repr(opened)]
    residual = report.residual
    since = report.at if residual is None else report.since
    finding = Finding(
        name="quality",
        role="output",
        state=report.state,
        value=0.0 if residual is None else residual.value,
        threshold=0.0 if residual is None else residual.threshold,
        test=None,
        effect=0.0 if residual is None else residual.effect,
        since=since,
        rows=0 if residual is None else residual.rows,
        labels=(),
        reference=(),
        current=(),
        why=f"quality: {report.why}",
    )
    return DriftEvent(
        id=hashlib.sha256("\n".join(told).encode()).hexdigest()[:16],
        action=action,
        model=report.model,
        version=report.version,
        reference=Reference.TRAIN,
        at=report.at,
        since=opened,
        findings=(finding,),
        why=why or finding.why,
    )
