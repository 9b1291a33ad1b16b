"""What /live and /ready answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from inprocml.model import Model

__all__ = ["liveness", "readiness"]


def liveness() -> dict[str, Any]:
    """Return the answer of a process that can answer at all."""
    return {"status": "live"}


def readiness(models: Sequence[Model]) -> tuple[dict[str, Any], int]:
    """Return body and status: 200 once every model has a version loaded in this process, else 503.

    Asking starts the loading of those that have none, in the background: the probe itself never waits.
    """
    states = [_state(model) for model in models]
    ready = all(state["ready"] for state in states)
    body = {
        "status": "ready" if ready else "loading",
        "pid": os.getpid(),
        "models": dict(zip(_distinct([model.name for model in models]), states, strict=True)),
    }
    return body, 200 if ready else 503


def _distinct(names: Sequence[str]) -> list[str]:
    """Number the names that repeat: two models may well have one name, and neither may hide the other."""
    return [
        name if names.index(name) == place else f"{name}#{names[:place].count(name) + 1}"
        for place, name in enumerate(names)
    ]


def _state(model: Model) -> dict[str, Any]:
    ready = model.ready
    state: dict[str, Any] = {"ready": bool(ready), "state": ready.value}
    if not ready:
        return state if model.failure is None else state | {"failed": model.failure}
    if model.failure is not None:
        state["stale"] = model.failure
    counters = model.counters
    return state | {"version": model.version, "rows": counters["rows"], "batches": counters["batches"]}
