"""Where a rollout stands and what comes next: pure, no thread, no I/O; time and evidence are arguments.

A course begins at the rollout's first share. ``decide`` looks at the evidence of the present step and says
what to do, if anything; ``after`` is the course that follows. Limits are judged by the lower end of a Wilson
interval, so that a few unlucky rows end nothing, and what is beyond doubt ends it at once.

Wilson (1927), "Probable inference, the law of succession, and statistical inference".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from inprocml.serving.evidence import Evidence
from inprocml.serving.rollout import Rollout

__all__ = ["Course", "Decision", "after", "begin", "decide"]

_Z = 2.0  # standard deviations
_FEWEST_FAULTS = 3
_FEWEST_COMPARED = 30
_FEWEST_TIMED = 100

Action = Literal["begin", "advance", "finish", "roll_back", "shift", "withdraw"]


@dataclass(frozen=True, slots=True)
class Course:
    """``share`` of the requests since ``since`` (seconds of the clock); ``step`` counts the ramp's from 0.

    ``over`` once the candidate was rolled back or has taken over; nothing is decided then. ``usual`` is the
    serving version's 95th percentile (seconds) as last seen, 0 if it never was: where the candidate has all
    requests, there is nothing else to compare with.
    """

    share: float
    step: int
    since: float
    over: bool = False
    usual: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, the share from then on, and why, in words."""

    action: Action
    share: float
    reason: str


def begin(rollout: Rollout, now: float) -> Course:
    """Return the course of a candidate that has just been loaded."""
    return Course(rollout.first_share, 0, now)


def after(course: Course, decision: Decision, rollout: Rollout, evidence: Evidence, now: float) -> Course:
    """Return the course once ``decision`` is acted upon; ``evidence`` is what it was made of."""
    over = decision.action in {"finish", "roll_back", "withdraw"}
    passed = sum(share <= decision.share for share in rollout.ramp)
    usual = _usual(course, evidence)
    return Course(decision.share, max(passed - 1, 0), now, over, usual)


def decide(rollout: Rollout, course: Course, evidence: Evidence, now: float) -> Decision | None:
    """Return what the evidence of this step calls for, ``None`` to go on as it is."""
    if course.over:
        return None
    fault = _fault(rollout, course, evidence)
    if fault is not None:
        return Decision("roll_back", 0.0, fault)
    if not rollout.ramp or not _proved(rollout, course, evidence, now):
        return None
    told = f"{evidence.candidate.rows} rows in {now - course.since:.0f} s within the limits"
    if course.step + 1 < len(rollout.ramp):
        share = rollout.ramp[course.step + 1]
        return Decision("advance", share, f"{told}; share {course.share:g} -> {share:g}")
    return Decision("finish", 1.0, f"{told} at share {course.share:g}: it takes over")


def _fault(rollout: Rollout, course: Course, evidence: Evidence) -> str | None:
    """Say which limit is exceeded beyond doubt."""
    mine, theirs = evidence.candidate, evidence.serving
    # a row that the serving version answered instead counts for it; what waits here is lateness, perhaps the
    # host's own
    known = theirs.rows >= _FEWEST_FAULTS or course.share == 1.0
    if known and mine.errors >= _FEWEST_FAULTS:
        allowed = rollout.errors + theirs.error_share
        if _at_least(mine.errors, mine.rows) > allowed:
            return f"{mine.errors} of {mine.rows} rows failed, allowed is {allowed:.3g} of them"
    if mine.timed >= max(_FEWEST_TIMED, rollout.rows // 5):
        slow, usual = mine.percentile(0.95), _usual(course, evidence)
        if usual and slow > rollout.latency * usual:
            return (
                f"95th percentile {slow * 1e3:.3g} ms, the serving version's {usual * 1e3:.3g} ms, allowed "
                f"{rollout.latency:g} times that"
            )
    if rollout.disagreement is not None and evidence.compared >= _FEWEST_COMPARED:
        least = _at_least(evidence.disagreed, evidence.compared)
        if least > rollout.disagreement:
            return (
                f"{evidence.disagreed} of {evidence.compared} shadowed rows answered otherwise, allowed is "
                f"{rollout.disagreement:g} of them"
            )
    return None


def _proved(rollout: Rollout, course: Course, evidence: Evidence, now: float) -> bool:
    """Whether the step lasted long enough, and what it showed is within the limits as it stands."""
    if now - course.since < rollout.hold or evidence.candidate.rows < rollout.rows:
        return False
    if evidence.candidate.error_share > rollout.errors + evidence.serving.error_share:
        return False
    if not math.isinf(rollout.latency):
        known = _usual(course, evidence) or course.share == 1.0
        if not known or evidence.candidate.timed < _FEWEST_TIMED:
            return False
    if rollout.disagreement is None:
        return True
    return (
        evidence.compared >= _FEWEST_COMPARED
        and evidence.disagreed <= rollout.disagreement * evidence.compared
    )


def _usual(course: Course, evidence: Evidence) -> float:
    """Return the serving version's 95th percentile, of this step if it answered enough, else as last seen."""
    serving = evidence.serving
    return serving.percentile(0.95) if serving.timed >= _FEWEST_TIMED else course.usual


def _at_least(hits: int, trials: int) -> float:
    """Lower end of the Wilson interval of ``hits`` in ``trials``."""
    share = hits / trials
    spread = _Z * math.sqrt(share * (1 - share) / trials + _Z * _Z / (4 * trials * trials))
    return max(0.0, (share + _Z * _Z / (2 * trials) - spread) / (1 + _Z * _Z / trials))
