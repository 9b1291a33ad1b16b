"""Candidates beside the serving version: loaded, taken a step further, ended; one round per poll.

A process decides by its own evidence. Where the source keeps a history that it may write (a store on disk
that is followed by alias), decisions are recorded there, and every process acts on what another recorded: a
candidate that one worker rolls back is gone from all of them within a poll.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from inprocml.errors import UnknownVersion
from inprocml.serving import (
    Candidate,
    Decided,
    Decision,
    Ended,
    Process,
    Rollout,
    Servable,
    Standing,
    Trial,
)
from inprocml.telemetry import decided
from inprocml.values import Version

if TYPE_CHECKING:
    from inprocml.model.versions import Versions

__all__ = ["Trials", "choose", "named"]

_log = logging.getLogger("inprocml")

RETIRE_SECONDS = 30.0


def choose(trials: tuple[Trial, ...], key: str | None) -> Trial | None:
    """Return the candidate that answers this request, ``None`` for the serving version."""
    free = 1.0
    for trial in trials:
        if trial.takes(key, free):
            return trial
        free = max(free - trial.course.share, 1e-9)
    return None


def named(serving: Servable, trials: tuple[Trial, ...], version: str) -> Servable:
    """Return the loaded version of that name; raises ``UnknownVersion`` that says which there are."""
    loaded = {trial.servable.version: trial.servable for trial in trials} | {serving.version: serving}
    found = loaded.get(version)
    if found is None:
        raise UnknownVersion(
            f"model {serving.name!r} does not offer version {version[:64]!r} by name; loaded: "
            f"{', '.join(sorted(loaded))}. Allow it with Model(..., pins=[...])."
        )
    return found


class Trials:
    """The candidates of one model's processes."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def step(self, process: Process) -> None:
        """Load the candidates that are not there yet, and act on what is decided about the others."""
        aliases: Mapping[str, Version] | None = None
        under_way = {trial.rollout: trial for trial in process.trials}
        for rollout in self._versions.options.rollouts:
            if rollout.alias is not None and aliases is None:
                aliases = self._versions.source.aliases()
            wanted = self._wanted(rollout, aliases or {})
            trial = under_way.get(rollout)
            if trial is not None and wanted is not None and not means(trial.servable, wanted):
                self._end(process, trial, "the alias means another version now")
                trial = None
            if trial is None:
                self._begin(process, rollout, wanted)
            else:
                decision = trial.step()
                if decision is not None:
                    self.carry_out(process, trial, decision)

    def carry_out(self, process: Process, trial: Trial, decision: Decision) -> None:
        """Act on ``decision``; the trial itself has taken note of it."""
        self._note(process, trial, decision)
        if decision.action == "roll_back":
            self._remove(process, trial)
            if not trial.retire(RETIRE_SECONDS):
                process.slot.keep(trial.servable)
        elif decision.action == "finish":
            self._remove(process, trial)
            trial.release(RETIRE_SECONDS)
            process.slot.swap(lambda: trial.servable)

    def give_up(self, process: Process, version: Version) -> Servable | None:
        """Return the candidate that is just ``version``, to serve from now on; ``None`` if there is none."""
        for trial in process.trials:
            if means(trial.servable, version):
                decision = trial.finish("it became the version to serve")
                self._note(process, trial, decision)
                self._remove(process, trial)
                trial.release(RETIRE_SECONDS)
                return trial.servable
        return None

    def shift(self, process: Process, version: str, share: float, why: str) -> None:
        """Set the share of the candidate ``version`` by hand; ``UnknownVersion`` where there is none."""
        for trial in process.trials:
            if trial.servable.version == version:
                self.carry_out(process, trial, trial.shift(share, why or "by hand"))
                return
        there = ", ".join(trial.servable.version for trial in process.trials) or "none"
        raise UnknownVersion(
            f"model {self._versions.name!r} has no candidate {version[:64]!r} in this process, but: {there}. "
            "Declare it: Model(..., rollout={version: 0.0}), and wait until it is loaded."
        )

    def _wanted(self, rollout: Rollout, aliases: Mapping[str, Version]) -> Version | None:
        if rollout.alias is not None:
            return aliases.get(rollout.alias)
        return None if rollout.version is None else Version(rollout.version, Path())

    def _begin(self, process: Process, rollout: Rollout, wanted: Version | None) -> None:
        """Load the candidate, unless it is not there, serves already, failed or was rolled back."""
        serving = process.slot.peek()
        if wanted is None or serving is None:
            return
        key = f"{wanted.name} {wanted.mark or wanted.digest}"
        ended = process.ended.get(rollout)
        if key in process.following.refused or (ended is not None and means(ended, wanted)):
            return
        if means(serving, wanted):
            return
        try:
            servable = self._versions.load(wanted, "rollout", serving.sizes.in_use())
        except UnknownVersion as error:
            process.log_once(f"model {self._versions.name}: no candidate yet: {error}")
        except Exception as error:  # noqa: BLE001 - the serving version goes on alone
            self._versions.refuse(process, key, wanted, error)
        else:
            trial = Trial(rollout, servable, clock=self._versions.clock)
            process.trials = (*process.trials, trial)
            self._note(process, trial, Decision("begin", trial.course.share, "loaded and checked"))

    def _end(self, process: Process, trial: Trial, reason: str) -> None:
        decision = trial.end(reason)
        if decision is not None:
            self.carry_out(process, trial, decision)

    def standing(self, process: Process, serving: str) -> Standing:
        """Return how the candidates of ``process`` stand."""
        now = self._versions.clock()
        candidates = tuple(
            Candidate(trial.servable.version, trial.course.share, now - trial.course.since, trial.evidence)
            for trial in process.trials
        )
        return Standing(serving, candidates, tuple(process.decisions))

    def _note(self, process: Process, trial: Trial, decision: Decision) -> None:
        """Tell the log, the telemetry and whoever asks."""
        candidate = trial.servable
        level = logging.WARNING if decision.action == "roll_back" else logging.INFO
        told = (candidate.name, candidate.version, decision.action, decision.reason)
        _log.log(level, "model %s: candidate %s: %s: %s", *told)
        decided(candidate.name, candidate.version, decision.action, decision.share)
        process.decisions.append(Decided(candidate.version, time.time(), decision))

    def _remove(self, process: Process, trial: Trial) -> None:
        process.trials = tuple(other for other in process.trials if other is not trial)
        process.ended[trial.rollout] = Ended(trial.servable.version, trial.servable.digest)


def means(loaded: Servable | Ended, version: Version) -> bool:
    """Whether ``loaded`` is ``version``, as far as is known of that."""
    return loaded.digest == version.digest if version.digest else loaded.version == version.name
