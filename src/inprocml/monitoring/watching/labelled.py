"""What labels said to this process, shown to the other processes of its host, and what they show.

A process's counts of labels are larger than those of rows, so each has a file of its own beside them, of the
same kind: written so that a killed process leaves what it had, and taken over by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from inprocml.monitoring.quality import Counters, Quality, QualityReport
from inprocml.monitoring.quality.record import Record, room_for
from inprocml.monitoring.quality.report import Scope
from inprocml.monitoring.verdict import DriftEvent
from inprocml.monitoring.watching.episode import Episode, event_of
from inprocml.monitoring.watching.sharing import Shared
from inprocml.monitoring.watching.tallies import ALIVE_SECONDS, RETRY_SECONDS, is_due
from inprocml.native import lock_maker

__all__ = ["Labelled"]

Tell: TypeAlias = Callable[[Sequence[DriftEvent]], None]
Idle: TypeAlias = Callable[[], bool]

_BEAT_SECONDS = 60.0  # after which a process that hears of no label says that it lives
_JUDGE_SECONDS = 60.0  # cohorts are hours or days
_CALM_COHORTS = 3  # after which an episode ends: a good day alone ends none
_STATE = 512  # bytes


class Labelled:
    """The ``quality`` of one version in this process, and the sum over those of its host; thread-safe.

    Without a folder that can be used this process reports, and decides, for itself. Nothing on the disk makes
    a method raise; ``grumble`` is told what goes wrong.
    """

    def __init__(
        self,
        quality: Quality,
        *,
        folder: Path | None,
        model: str,
        version: str,
        digest: str,
        clock: Callable[[], float],
        grumble: Callable[[str, Exception], None],
    ) -> None:
        self.quality = quality
        self.model, self.version = model, version
        self._folder, self._digest = folder, digest
        self._clock, self._grumble = clock, grumble
        self._lock = lock_maker()()  # guards all below
        self._shared: Shared | None = None
        self._shown = -1  # the changes of quality that others can see
        self._beat = 0.0
        self._retry_at = 0.0
        self._judge_at = 0.0
        self._episode = Episode()
        self._said = -1  # the number of the episode that this process told last

    def look(self) -> bool:
        """Show what was counted since the last look; whether there was anything."""
        try:
            with self._lock:
                return self._publish(self._clock())
        except Exception as error:  # noqa: BLE001 - a guest never breaks its host
            self._grumble("labels could not be shown", error)
            return False

    def report(self) -> QualityReport:
        """Return what is known of all processes of this host, of the present and of those that ended."""
        now = self._clock()
        self.look()
        with self._lock:
            shown = self._others()
            scope: Scope = "worker" if self._shared is None else "host"
            since = self._last_episode().known_since
        living = 1 + sum(now - record.beat < ALIVE_SECONDS for record in shown)
        report = self.quality.report(now, *(record.counters for record in shown), since=since)
        return replace(report, model=self.model, version=self.version, scope=scope, workers=living)

    def decide(self, tell: Tell, idle: Idle = lambda: True) -> None:
        """Tell of an episode that begins or ends, at least once; for the one process that decides.

        ``idle`` says whether what was told has been heard.
        """
        now = self._clock()
        if self._judge_at - _JUDGE_SECONDS <= now < self._judge_at:
            return
        self._judge_at = now + _JUDGE_SECONDS
        report, patience = self.report(), _CALM_COHORTS * self.quality.settings.length
        silence = self.quality.settings.labels_within + patience
        with self._lock:
            episode = self._last_episode()
            if episode.number == self._said and idle():
                episode = self._keep(episode, episode.heard())
            if episode.told:
                episode = self._keep(
                    episode, episode.step(report.state, now, patience, silence, report.since)
                )
        self._tell(report, episode, (tell, idle), report.why)

    def retire(self, tell: Tell, idle: Idle = lambda: True) -> None:
        """End the episode that is open, and tell of it: another version serves in place of this one."""
        report = self.report()
        with self._lock:
            last = self._last_episode()
            episode = self._keep(last, last.over())
        self._tell(report, episode, (tell, idle), "the version no longer serves")

    def _tell(self, report: QualityReport, episode: Episode, hooks: tuple[Tell, Idle], why: str) -> None:
        """Tell of an episode, and say so when it was heard: the process may be killed in between."""
        tell, idle = hooks
        if episode.told or episode.number == self._said:
            return
        if episode.opened is not None:
            tell([event_of(report, episode)])
        elif episode.ended is not None:
            tell([event_of(report, episode, why)])
        self._said = episode.number
        if idle():
            with self._lock:
                self._keep(episode, episode.heard())

    def _keep(self, before: Episode, episode: Episode) -> Episode:
        self._episode = episode
        if self._shared is not None and episode != before:
            self._shared.slots.write_state(episode.dump())
        return episode

    def close(self) -> None:
        """Leave; what was counted stays for the other processes."""
        self.look()
        with self._lock:
            if self._shared is not None:
                self._shared.close()
            self._shared, self._retry_at = None, float("inf")

    def _publish(self, now: float) -> bool:
        if self._shared is not None and not self._shared.sound:
            self._shared.close()
            self._shared, self._retry_at = None, 0.0
        if self._shared is None and is_due(self._retry_at, now):
            self._join(now)
        changes = self.quality.changes
        fresh = changes != self._shown
        if self._shared is not None and (fresh or not 0 <= now - self._beat < _BEAT_SECONDS):
            self._shared.write(Record(self.quality.settings, self.quality.counters(), now).to_bytes())
            self._shown, self._beat = changes, now
        return fresh

    def _join(self, now: float) -> None:
        """Find a file that is nobody's, and go on where the one before ended."""
        settings = self.quality.settings
        try:
            self._shared = Shared.open_own(
                settings.digest,
                folder=self._folder,
                name=self.model,
                digest=self._digest,
                record=room_for(settings),
                state=_STATE,
            )
        except OSError as error:
            self._retry_at = now + RETRY_SECONDS
            self._grumble("this process counts labels for itself", error)
            return
        self._shown = -1
        left = self._shared.read()
        if left is not None and (record := self._read(left)) is not None:
            self.quality.merge(record.counters)

    def _others(self) -> list[Record]:
        found: list[Record] = []
        try:
            for content, _ in self._shared.others() if self._shared is not None else ():
                record = None if content is None else self._read(content)
                found += [] if record is None else [record]
        except OSError as error:
            self._grumble("what other processes heard cannot be read", error)
        return found

    def _read(self, content: bytes) -> Record | None:
        try:
            record = Record.from_bytes(content)
            Counters(record.counters.classes, record.counters.slice_names) + self.quality.counters()
        except ValueError as error:
            self._grumble("what another process heard cannot be read", error)
            return None
        return record

    def _last_episode(self) -> Episode:
        """Return the newest of those that any process has told, or this one where it is alone."""
        if self._shared is None:
            return self._episode
        states = [self._shared.slots.read_state(), *(state for _, state in self._shared.others())]
        return max((self._episode, *map(Episode.load, states)), key=lambda one: one.number)
