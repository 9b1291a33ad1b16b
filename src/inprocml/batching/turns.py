"""Several models at one device: whose turn it is, in proportion to their weights.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each model has a virtual time, which its runs
advance by their seconds over its weight; the waiting model with the least goes next. One that was away begins
where the others are, so idleness saves up no claim.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable
from numbers import Real

from inprocml.native import lock_maker

__all__ = ["Turn", "Turns", "check_weight"]


def check_weight(weight: object) -> None:
    """Raise ``ValueError`` unless ``weight`` is a finite number above 0."""
    if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 < float(weight) < math.inf:
        raise ValueError(f"weight is {weight!r} and must be a finite number above 0")


class Turns:
    """One device, at which ``most`` runs may be at once (2 for one that computes while it copies)."""

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._new_lock = lock_maker()
        self._lock = self._new_lock()
        self._holders: dict[Hashable, Turn] = {}
        self._waiting: dict[Hashable, tuple[Turn, threading.Lock]] = {}
        self._now = 0.0  # the virtual time of the last run that began

    def join(self, weight: float = 1.0) -> Turn:
        """Return a place at this device for one model. Raises ``ValueError`` for an impossible weight."""
        check_weight(weight)
        return Turn(self, weight)

    def claim(self, who: Hashable, turn: Turn) -> bool:
        """Take the device for ``who`` if it is free and nobody waits."""
        with self._lock:
            if self._waiting or len(self._holders) >= self._most:
                return False
            self._grant(who, turn)
            return True

    def acquire(self, who: Hashable, turn: Turn) -> None:
        """Wait until it is this model's turn."""
        with self._lock:
            if not self._waiting and len(self._holders) < self._most:
                self._grant(who, turn)
                return
            gate = self._new_lock()
            gate.acquire()
            turn.virtual = max(turn.virtual, self._now)
            self._waiting[who] = turn, gate
        gate.acquire()

    def release(self, who: Hashable, seconds: float) -> None:
        """End a run after ``seconds``; one that does not hold the device is passed over."""
        with self._lock:
            turn = self._holders.pop(who, None)
            if turn is not None:
                turn.virtual += seconds / turn.weight
                self._next()

    def leave(self, turn: Turn) -> None:
        """Give up all runs of one model: it hangs, and the others shall not."""
        with self._lock:
            for who in [who for who, holder in self._holders.items() if holder is turn]:
                del self._holders[who]
            self._next()

    def _grant(self, who: Hashable, turn: Turn) -> None:
        turn.virtual = self._now = max(turn.virtual, self._now)
        self._holders[who] = turn

    def _next(self) -> None:
        while self._waiting and len(self._holders) < self._most:
            who = min(self._waiting, key=self._virtual)
            turn, gate = self._waiting.pop(who)
            self._grant(who, turn)
            gate.release()

    def _virtual(self, who: Hashable) -> float:
        return self._waiting[who][0].virtual


class Turn:
    """One model's place at a device."""

    __slots__ = ("_turns", "virtual", "weight")

    def __init__(self, turns: Turns, weight: float) -> None:
        self._turns = turns
        self.weight = weight
        self.virtual = 0.0

    def claim(self, who: Hashable) -> bool:
        """Take the device if it is free and nobody waits for it."""
        return self._turns.claim(who, self)

    def acquire(self, who: Hashable) -> None:
        """Wait for the device."""
        self._turns.acquire(who, self)

    def release(self, who: Hashable, seconds: float) -> None:
        """Leave the device after ``seconds``."""
        self._turns.release(who, seconds)

    def leave(self) -> None:
        """Leave the device with every run: they hang."""
        self._turns.leave(self)
