"""Labels that were worse than promised, told once: when that begins, and when it ends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from inprocml.monitoring.quality import QualityReport
from inprocml.monitoring.verdict import Action, DriftEvent, Finding, Reference, State

__all__ = ["Episode", "event_of"]


@dataclass(frozen=True)
class Episode:
    """The last episode of labels that were worse than promised; ``number`` grows with every change.

    ``opened`` is when, None where none is open; ``calm`` since when labels are as promised again.
    """

    number: int = 0
    opened: float | None = None
    calm: float | None = None

    def dump(self) -> bytes:
        return json.dumps([self.number, self.opened, self.calm]).encode()

    @classmethod
    def load(cls, state: bytes | None) -> Episode:
        try:
            number, opened, calm = json.loads(state or b"[0, null, null]")
            return cls(int(number), *(None if each is None else float(each) for each in (opened, calm)))
        except (ValueError, TypeError, OverflowError):
            return cls()

    def step(self, state: State, now: float, patience: float) -> Episode:
        """Return the episode after a look; it ends when labels were as promised for ``patience`` seconds."""
        if self.opened is None:
            opens = state is State.DRIFT
            return Episode(self.number + 1, now) if opens else self
        if state is not State.OK:
            again = state in {State.DRIFT, State.WATCH} and self.calm is not None
            return Episode(self.number + 1, self.opened) if again else self
        if self.calm is None or self.calm > now:  # a clock may step back
            return Episode(self.number + 1, self.opened, now)
        return self if now - self.calm < patience else Episode(self.number + 1)


def event_of(report: QualityReport, action: Action, opened: float) -> DriftEvent:
    """Return what hooks are told: one finding, named ``quality``, of the output."""
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
    )
