"""How often candidates that answer in the shadow disagree with the version that serves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Observation

from inprocml.telemetry import names
from inprocml.telemetry.living import Living

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

    @property
    def role(self) -> str: ...  # canary | shadow, and live once it has taken over


_alive: Living[Trial, tuple[str, str, str]] = Living()


def shadowed(trial: Trial, model: str, serving: str, candidate: str) -> None:
    """Export what ``trial`` compares for as long as it lives; in this process, not in its children."""
    _alive.note(trial, (model, serving, candidate))


def observe_shadows(_options: CallbackOptions) -> Iterable[Observation]:
    """Return a ratio for each candidate of which rows were compared."""
    found = []
    for trial, (model, serving, candidate) in _alive.items():
        evidence = trial.evidence
        if evidence.compared:
            attributes = {
                names.MODEL_NAME: model,
                names.MODEL_VERSION: serving,
                names.SHADOW_VERSION: candidate,
            }
            found.append(Observation(evidence.disagreed / evidence.compared, attributes))
    return found
