"""Candidates beside the serving version: loaded, taken a step further, ended; one round per poll.

A process decides by its own evidence. Where the source keeps a history that it may write (a store on disk
that is followed by alias), decisions are recorded there, and every process acts on what another recorded: a
candidate that one worker rolls back is gone from all of them within a poll.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inprocml.errors import UnknownVersion
from inprocml.model.board import Board
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
from inprocml.telemetry import decided, shadowed
from inprocml.values import Version

if TYPE_CHECKING:
    from inprocml.model.versions import Versions
    from inprocml.sources.history import Trial as Entered

__all__ = ["Trials", "choose", "named"]

_log = logging.getLogger("inprocml")

RETIRE_SECONDS = 1.0
"""How long a move waits for a candidate that still computes; it is swept up by a later poll."""
_ELSEWHERE = "taken back by another process, or by hand"


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
        options = versions.options
        # a history has one trial an alias: several candidates are no matter of common record
        self._board = Board(versions.source, options.alias if len(options.rollouts) == 1 else None)

    def step(self, process: Process) -> None:
        """Load the candidates that are not there yet, and act on what is decided about the others."""
        if not self._versions.options.rollouts:
            return
        try:
            entered, candidates = self._board.read(), self.wanted()
        except Exception:
            for trial in process.trials:  # a source that cannot be read keeps no bad candidate in
                self._judge(process, trial, None, onward=False)
            raise
        under_way = {trial.rollout: trial for trial in process.trials}
        for rollout, wanted in candidates.items():
            known = under_way.get(rollout)
            if known is not None and wanted is not None and not means(known.servable, wanted):
                self.carry_out(process, known, known.end("withdraw", "the alias means another version now"))
                known = None
            if known is None:
                self._begin(process, rollout, wanted)
            else:
                own = entered if entered is not None and entered.digest == known.servable.digest else None
                # a record that is gone: moved by another, taken away, or the disk is; the next look will tell
                self._judge(process, known, own, onward=known.entered is None or own is not None)

    def wanted(self) -> dict[Rollout, Version | None]:
        """Return which version each rollout is of, ``None`` where its alias means nothing yet."""
        rollouts = self._versions.options.rollouts
        by_alias = any(rollout.alias is not None for rollout in rollouts)
        aliases = self._versions.source.aliases() if by_alias else {}
        return {
            rollout: aliases.get(rollout.alias or "")
            if rollout.version is None
            else Version(rollout.version, Path())
            for rollout in rollouts
        }

    def _judge(self, process: Process, trial: Trial, entered: Entered | None, *, onward: bool) -> None:
        """Take up what another process entered for this candidate, else decide; ``onward`` or only back."""
        if entered is not None and entered.share != trial.entered:
            trial.entered = entered.share
            if entered.share == 0.0:
                decision = trial.end("roll_back", _ELSEWHERE)
            else:
                decision = trial.shift(entered.share, "decided by another process")
            self.carry_out(process, trial, decision)
            return
        serving = process.slot.peek()
        own = None if serving is None else trial.step(onward=onward)
        if own is None or serving is None:
            return
        share = self._board.enter(trial.servable, serving, own, known=trial.entered)
        if share == 0.0 and own.action != "roll_back":
            own = trial.end("roll_back", _ELSEWHERE)
        if share is not None:
            trial.entered = share
            if own.action == "finish":  # the alias means it now; a move away from it must be followed
                process.following.passes([f"{trial.servable.version} {trial.servable.digest}"])
        self.carry_out(process, trial, own)

    def carry_out(self, process: Process, trial: Trial, decision: Decision) -> None:
        """Act on ``decision``; the trial itself has taken note of it."""
        self._note(process, trial, decision)
        if decision.action in {"roll_back", "withdraw"}:
            self._remove(process, trial)
            if decision.action == "roll_back":
                candidate = trial.servable
                process.ended[trial.rollout] = Ended(candidate.version, candidate.digest, trial.entered)
                process.absent[trial.rollout] = f"{candidate.version}: rolled back"
            if not trial.retire(RETIRE_SECONDS):
                process.slot.keep(trial.servable)
        elif decision.action == "finish":
            self.take_over(process, trial)

    def ready(self, process: Process, version: Version) -> Trial | None:
        """Return the candidate that is just ``version``, to serve from now on; ``None`` if there is none."""
        for trial in process.trials:
            if means(trial.servable, version):
                self._note(process, trial, trial.end("finish", "it became the version to serve"))
                return trial
        return None

    def take_over(self, process: Process, trial: Trial) -> Servable:
        """Let the candidate serve from now on; once it was taken back from there, it does not come again."""
        process.slot.swap(lambda: trial.servable)
        self._remove(process, trial)  # not before: whoever had it, or asked for it by name, goes on having it
        trial.release(RETIRE_SECONDS)
        if trial.rollout.first_share:  # with 0 it is on stand-by, for whoever switches by hand
            process.ended[trial.rollout] = Ended(trial.servable.version, trial.servable.digest, None)
        self.renew(process)
        return trial.servable

    def renew(self, process: Process) -> None:
        """Begin the comparisons anew: another version serves now."""
        for trial in process.trials:
            trial.renew()

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

    def _begin(self, process: Process, rollout: Rollout, wanted: Version | None) -> None:
        """Load the candidate, unless it is not there, serves already, failed or was taken back."""
        serving = process.slot.peek()
        if wanted is None:
            process.absent[rollout] = f"{rollout.named}: it means nothing yet"
            return
        if serving is None or means(serving, wanted):
            process.absent[rollout] = f"{wanted.name}: it is what serves"
            return
        entered = self._board.read()
        share = entered.share if entered is not None and means(entered, wanted) else None
        ended = process.ended.get(rollout)
        over = ended is not None and means(ended, wanted) and share == ended.entered
        key = f"{wanted.name} {wanted.mark or wanted.digest}"
        if over or key in process.following.refused:
            return
        if share == 0.0:
            process.absent[rollout] = f"{wanted.name}: on record as taken back"
            process.log_once(
                f"model {self._versions.name}: candidate {wanted.name} is not tried: it is on record as "
                "taken back. To try it again: inprocml.Store(...).trial(version, share, alias=...)"
            )
            return
        try:
            servable = self._versions.load(process, wanted, "rollout", serving.sizes.in_use())
        except UnknownVersion as error:
            process.absent[rollout] = f"{wanted.name}: not there yet"
            process.log_once(f"model {self._versions.name}: no candidate yet: {error}")
        except Exception as error:  # noqa: BLE001 - the serving version goes on alone
            process.absent[rollout] = f"{wanted.name}: refused ({type(error).__name__})"
            self._versions.refuse(process, key, wanted, error)
        else:
            self._show(process, Trial(rollout, servable, clock=self._versions.clock), serving, share)

    def _show(self, process: Process, trial: Trial, serving: Servable, share: float | None) -> None:
        """Put a loaded candidate beside the serving version, at the ``share`` that others gave it, if any."""
        begins = Decision("begin", trial.course.share if share is None else share, "loaded and checked")
        if begins.share:  # 0 is not entered: on record that means taken back
            # and asked again: to load took its time, and another may have taken it back meanwhile
            now = self._board.enter(trial.servable, serving, begins, known=share)
            share = share if now is None else now
        if share == 0.0 or process.closed:
            trial.retire(RETIRE_SECONDS)
            return
        if share is not None and share != trial.course.share:
            trial.shift(share, "where other processes are")
        trial.entered = share
        trial.servable.telemetry.tried(trial)
        process.trials = (*process.trials, trial)
        shadowed(trial, serving.name, serving.version, trial.servable.version)
        self._note(process, trial, replace(begins, share=trial.course.share))

    def standing(self, process: Process, serving: str) -> Standing:
        """Return how the candidates of ``process`` stand."""
        now = self._versions.clock()
        candidates = tuple(
            Candidate(trial.servable.version, trial.course.share, now - trial.course.since, trial.evidence)
            for trial in process.trials
            if trial.servable.version != serving  # it took over a moment ago
        )
        under_way = {trial.rollout for trial in process.trials}
        absent = [told for rollout, told in dict(process.absent).items() if rollout not in under_way]
        return Standing(serving, candidates, tuple(process.decisions), tuple(absent))

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


def means(known: Servable | Ended | Entered, version: Version) -> bool:
    """Whether ``known`` is ``version``, as far as is known of that."""
    return known.digest == version.digest if version.digest else known.version == version.name
