"""Labels that were worse than promised, told once: when that begins, and when it ends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass, replace
from typing import Any

from inprocml.monitoring.quality import QualityReport
from inprocml.monitoring.verdict import Action, DriftEvent, Finding, Reference, State

__all__ = ["Episode", "event_of"]


_NEW: tuple[Any, ...] = (0, None, None, None, None, True, None)


@dataclass(frozen=True)
class Episode:
    """The last episode of labels that were worse than promised; ``number`` grows with every change.

    ``opened`` is when, None where none is open; ``calm`` since when labels are as promised again, ``silent``
    since when they say nothing; ``ended`` when the one opened that is over. ``told``: hooks have heard of it;
    who finds one that is not tells it, for the process that wrote it may be gone. ``since``: when labels
    became worse, as it was told first.
    """

    number: int = 0
    opened: float | None = None
    calm: float | None = None
    silent: float | None = None
    ended: float | None = None
    told: bool = True
    since: float | None = None

    def dump(self) -> bytes:
        return json.dumps(astuple(self)).encode()

    @classmethod
    def load(cls, state: bytes | None) -> Episode:
        try:
            found: list[Any] = list(json.loads(state or b"[0]"))
            number, *times, told, began = found + list(_NEW[len(found) :])
            opened, calm, silent, ended, since = (
                None if each is None else float(each) for each in (*times, began)
            )
            return cls(int(number), opened, calm, silent, ended, told is not False, since)
        except (ValueError, TypeError, OverflowError):
            return cls()

    @property
    def known_since(self) -> float | None:
        """When labels became worse, of an episode that is open."""
        return None if self.opened is None else self.since

    def step(
        self, state: State, now: float, patience: float, silence: float, since: float | None = None
    ) -> Episode:
        """Return the episode after a look; labels are worse ``since`` then.

        It ends when labels were as promised for ``patience`` seconds, or said nothing for ``silence``.
        """
        if self.opened is None:
            worse = Episode(self.number + 1, now, told=False, since=since)
            return worse if state is State.DRIFT else self
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
        if self.opened is None:
            return self
        return Episode(self.number + 1, ended=self.opened, told=False, since=self.since)

    def heard(self) -> Episode:
        """Return the episode when hooks were told of it."""
        return replace(self, number=self.number + 1, told=True)


def _since(before: float | None, now: float) -> float:
    return now if before is None or before > now else before  # a clock may step back


def event_of(report: QualityReport, episode: Episode, why: str = "") -> DriftEvent:
    """Return what hooks are told: one finding, named ``quality``, of the output; ``why`` it ended."""
    action = Action.CLOSED if episode.opened is None else Action.OPENED
    opened = episode.ended if episode.opened is None else episode.opened
    since = opened if episode.since is None else episode.since
    assert since is not None, "an episode that is open, or over"
    told = [report.model, report.version, "quality", repr(opened)]
    residual = report.residual
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
        since=since,
        findings=(finding,),
        why=why or finding.why,
    )
