"""How often candidates that answer in the shadow disagree with the version that serves."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Observation

from inprocml.telemetry import names

__all__ = ["Trial", "observe_shadows", "shadowed"]


class Evidence(Protocol):
    """Rows compared since the trial's share changed last, and those that disagreed."""

    @property
    def compared(self) -> int: ...

    @property
    def disagreed(self) -> int: ...


class Trial(Protocol):
    """A candidate beside the serving version, as an exporter sees it."""

    @property
    def evidence(self) -> Evidence: ...


_alive: weakref.WeakKeyDictionary[Trial, tuple[int, str, str, str]] = weakref.WeakKeyDictionary()


def shadowed(trial: Trial, model: str, serving: str, candidate: str) -> None:
    """Export what ``trial`` compares for as long as it lives; in this process, not in its children."""
    _alive[trial] = os.getpid(), model, serving, candidate


def observe_shadows(_options: CallbackOptions) -> Iterable[Observation]:
    """Return a ratio for each candidate of which rows were compared."""
    pid, found = os.getpid(), []
    for trial, (owner, model, serving, candidate) in list(_alive.items()):
        evidence = trial.evidence if owner == pid else None
        if evidence is not None and evidence.compared:
            attributes = {
                names.MODEL_NAME: model,
                names.MODEL_VERSION: serving,
                names.SHADOW_VERSION: candidate,
            }
            found.append(Observation(evidence.disagreed / evidence.compared, attributes))
    return found
