"""One request from its first question to its answer: which version is asked, and what becomes of a failure.

The same for threads and coroutines: they differ only in how they wait for the version's answer.
"""

from __future__ import annotations

from inprocml.batching import Drained, Result
from inprocml.errors import BackendError, DeadlineExceeded, Overloaded
from inprocml.model.trials import choose, named
from inprocml.protocols import Clock
from inprocml.serving import Process, Servable, Trial
from inprocml.telemetry import chosen
from inprocml.values import Prediction, Row

__all__ = ["Attempt"]

_FAILURES = (
    BackendError,
    DeadlineExceeded,
    Overloaded,
)  # as counted against a candidate


class Attempt:
    """Asks a candidate if the request falls to one; else, or if that fails, the serving version."""

    __slots__ = (
        "_asked",
        "_began",
        "_blamed",
        "_chosen",
        "_clock",
        "_key",
        "_process",
        "_row",
        "_trial",
        "_version",
    )

    def __init__(
        self, process: Process, row: Row, key: str | None, version: str | None, clock: Clock
    ) -> None:
        if not isinstance(key, str | None):  # said without a rollout too: it must not begin with errors
            raise TypeError(f"key must be text, such as a user's id, not {type(key).__name__}")
        self._process = process
        self._row = row
        self._key = key
        self._version = version
        self._clock = clock
        self._began = self._asked = clock()
        self._trial: Trial | None = None
        self._blamed: Trial | None = None

    def choose(self, serving: Servable) -> Servable:
        """Return the version to ask now; raises ``UnknownVersion`` for one that is not loaded."""
        trials = self._process.trials
        if self._version is not None:
            self._chosen = named(serving, trials, self._version)
            return self._chosen
        if trials:
            self._asked = self._clock()
            self._trial = choose(trials, self._key) if self._blamed is None else None
        self._chosen = serving if self._trial is None else self._trial.servable
        if trials:
            chosen(serving.name, self._chosen.version)
        return self._chosen

    def goes_on(self, error: Exception) -> bool:
        """Whether to choose and ask again: after a swap, and where a candidate alone failed."""
        if isinstance(error, Drained):
            self._process.slot.give_up()
            if self._chosen.runner.lost is not None:
                self._blamed = self._trial or self._blamed  # a candidate that hangs is not asked again
                if self._version is not None and self._on_trial(error):
                    return False
            self._trial = None
            return True
        self._chosen.telemetry.failed(self._clock() - self._began, error)
        trial, self._trial = self._trial, None
        if trial is not None and trial.excuses(error):
            self._blamed = trial
            return True
        if trial is not None and isinstance(error, DeadlineExceeded):
            trial.failed()
        elif trial is None and self._version is None and isinstance(error, _FAILURES):
            for other in self._process.trials:
                other.erred()
        return False

    def _on_trial(self, error: Exception) -> bool:
        """Count it against the lost candidate that was asked by name; nobody else may answer for it."""
        for trial in self._process.trials:
            if trial.servable is self._chosen:
                trial.failed()
                self._chosen.telemetry.failed(self._clock() - self._began, error)
                return True
        return False

    def answered(self, prediction: Prediction, result: Result) -> Prediction:
        """Record the answer and return it."""
        now = self._clock()
        self._chosen.telemetry.predicted(
            now - self._began,
            result.queued,
            inline=result.inline,
            prediction_id=prediction.id,
            batch=result.batch,
        )
        if self._blamed is not None:
            self._blamed.failed()  # only now: what both refuse is no fault of the candidate
        if self._trial is not None:
            self._trial.answered(now - self._asked)
        elif self._process.trials and self._version is None:
            for trial in self._process.trials:
                trial.served(self._row, prediction, now - self._asked)
        return prediction
