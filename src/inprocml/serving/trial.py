"""One candidate in one process: who gets it, what it shows, what is decided about it.

Which version a key gets is a hash of the key and of the candidate's digest: the same in every process and
after every restart, another choice of keys for every candidate, and never taken back while the share grows.
"""

from __future__ import annotations

import hashlib
import random
import threading
from dataclasses import dataclass, replace
from typing import Literal

from inprocml.errors import BackendError, InvalidRow, Overloaded
from inprocml.protocols import Clock
from inprocml.serving.course import Action, Course, Decision, after, begin, decide
from inprocml.serving.evidence import Evidence, Scales
from inprocml.serving.rollout import Rollout
from inprocml.serving.servable import Servable
from inprocml.serving.shadow import Shadow
from inprocml.values import Prediction, Row

__all__ = ["Ended", "Trial", "position"]


def position(key: str, salt: str) -> float:
    """Return where ``key`` stands from 0 to 1: the same everywhere, evenly spread, another for each salt."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=salt.encode()[:64])
    return int.from_bytes(digest.digest(), "big") / 2**64


@dataclass(frozen=True, slots=True)
class Ended:
    """What is remembered of a candidate whose trial is over; ``entered`` is the share on record then."""

    version: str
    digest: str
    entered: float | None


class Trial:
    """A candidate beside the serving version; whoever decides about it acts on that.

    ``entered`` is the share that was last on record for all processes, ``None`` where there is no record.
    """

    def __init__(self, rollout: Rollout, servable: Servable, *, clock: Clock) -> None:
        self.rollout = rollout
        self.servable = servable
        self.entered: float | None = None
        self._clock = clock
        self._scales = Scales()
        self._lock = threading.Lock()
        self._course = begin(rollout, clock())
        self._shadow = Shadow(
            servable, self._scales, deadline=rollout.deadline, tolerance=rollout.tolerance, clock=clock
        )

    @property
    def course(self) -> Course:
        """Where it stands."""
        return self._course

    @property
    def role(self) -> Literal["live", "canary", "shadow"]:
        """What the candidate is: ``shadow`` where it only shadows, ``live`` once it has taken over."""
        course = self._course
        if course.over and course.share:
            return "live"
        return "shadow" if self.rollout.shadow and not course.share else "canary"

    @property
    def evidence(self) -> Evidence:
        """What both versions have shown since the present step began."""
        return self._scales.read()

    def takes(self, key: str | None, free: float) -> bool:
        """Whether the candidate answers this request; ``free`` is the share no earlier candidate has."""
        share = self._course.share
        if share <= 0.0:
            return False
        place = random.random() if key is None else position(key, self.servable.digest)  # noqa: S311
        return place * free < share

    def excuses(self, error: Exception) -> bool:
        """Whether the serving version may answer instead: the candidate failed, or reads rows otherwise."""
        return isinstance(error, BackendError | InvalidRow | Overloaded)

    def answered(self, seconds: float) -> None:
        """Count a row that the candidate answered."""
        self._scales.answered(seconds, candidate=True)

    def failed(self) -> None:
        """Count a row that the candidate failed and the serving version answered."""
        self._scales.failed(candidate=True)

    def served(self, row: Row, prediction: Prediction, seconds: float) -> None:
        """Count a row that the serving version answered, and let the candidate shadow some of them."""
        self._scales.answered(seconds, candidate=False)
        shadow = self.rollout.shadow
        if shadow and not self._course.over and (shadow >= 1.0 or random.random() < shadow):  # noqa: S311
            self._shadow.offer(row, prediction)

    def erred(self) -> None:
        """Count a row that the serving version failed."""
        self._scales.failed(candidate=False)

    def step(self, *, onward: bool = True) -> Decision | None:
        """Decide by what is known now; return what there is to do: only a roll-back unless ``onward``."""
        now = self._clock()
        with self._lock:
            decision = decide(self.rollout, self._course, self._scales.read(), now)
            if decision is None or not (onward or decision.action == "roll_back"):
                return None
            return self._act(decision, now)

    def renew(self) -> None:
        """Forget the evidence: it compares with a version that serves no more."""
        with self._lock:
            self._course = replace(self._course, usual=0.0)
            self._scales.clear()

    def shift(self, share: float, reason: str) -> Decision:
        """Set the share by hand, or because another process decided so."""
        with self._lock:
            return self._act(Decision("shift", share, reason), self._clock())

    def end(self, action: Action, reason: str) -> Decision:
        """End for another reason than the evidence: taken back, withdrawn, or to serve from now on."""
        with self._lock:
            share = 1.0 if action == "finish" else 0.0
            return self._act(Decision(action, share, reason), self._clock())

    def retire(self, timeout: float) -> bool:
        """Stop the shadow and free the candidate; whether all was freed."""
        self._shadow.close(timeout)
        return self.servable.retire(timeout)

    def release(self, timeout: float) -> None:
        """Stop the shadow and leave the candidate to its new owner."""
        self._shadow.close(timeout)

    def _act(self, decision: Decision, now: float) -> Decision:
        self._course = after(self._course, decision, self.rollout, self._scales.read(), now)
        self._scales.clear()
        return decision
