"""What refused callers are told: what happened, to which model, and what to do now."""

from __future__ import annotations

from inprocml.batching.ticket import Drained
from inprocml.errors import DeadlineExceeded, Overloaded

__all__ = ["drained", "full", "never_on_time", "over_objective", "too_late"]


def drained(model: str) -> Drained:
    """Build the error of a caller who must ask the model's successor."""
    return Drained(f"model {model!r}: this version is drained; ask for the current one and try again")


def too_late(model: str, *, waited: bool) -> DeadlineExceeded:
    """Build the error of a caller whose time is up."""
    when = "passed before the answer was there" if waited else "had passed when the call was made"
    return DeadlineExceeded(f"model {model!r}: the deadline {when}; allow more time or send less load")


def never_on_time(model: str, waiting: int, seconds: float) -> DeadlineExceeded:
    """Build the error of a caller whose answer would come too late."""
    return DeadlineExceeded(
        f"model {model!r}: the answer would come too late ({waiting} rows wait, about "
        f"{seconds * 1e3:.1f} ms); nothing was computed. Allow more time or send less load"
    )


def full(model: str, waiting: int, most: int) -> Overloaded:
    """Build the error of a caller for whom there is no room."""
    return Overloaded(
        f"model {model!r}: {waiting} rows wait, max_queue_size is {most}; "
        "try again later, add processes, or allow a longer queue"
    )


def over_objective(model: str, waiting: int, seconds: float, objective: float) -> Overloaded:
    """Build the error of a caller who would wait for longer than the objective."""
    return Overloaded(
        f"model {model!r}: {waiting} rows wait, an answer would take {seconds * 1e3:.1f} ms, the "
        f"objective is {objective * 1e3:g} ms; try again later, or add processes"
    )
