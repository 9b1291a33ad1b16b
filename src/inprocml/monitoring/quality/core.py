"""One model's quality in one process: predictions in, labels in, counts and a report out."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inprocml.errors import Corrupt
from inprocml.monitoring.quality.counters import Counters
from inprocml.monitoring.quality.pending import LONGEST_ID, Feedback, Pending
from inprocml.monitoring.quality.report import QualityReport, report_of
from inprocml.monitoring.quality.scores import scored, sound
from inprocml.monitoring.quality.settings import Settings, code_of
from inprocml.monitoring.quality.tally import LARGEST, ClassTally, Tally
from inprocml.native import lock_maker
from inprocml.protocols import PredictionStore
from inprocml.schema.strict_json import dump, parse
from inprocml.values import Remembered

__all__ = ["Quality"]

_log = logging.getLogger(__name__)

_KIND = "quality@1"
_SLACK = 3600.0  # seconds by which the clocks of hosts may differ
_SWEEP = 3600.0  # seconds from one sweep of the store to the next


class Quality:
    """Joins labels to predictions and counts what they say; thread-safe, bounded, and raises into no view.

    ``settings`` say what is counted. ``store``: where predictions are kept for all processes; without one
    they are kept in this process's memory, ``capacity`` of them, 24 bytes each, and a label must reach the
    process that answered. ``version``: what answers, a bundle's digest; in a store labels go to answers of
    the same version and the same ``Settings.digest``. ``delayed`` is told the seconds that each label took.
    What fails is counted in ``counters().lost`` and logged once. Of one process: a child makes its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: PredictionStore | None = None,
        version: str = "",
        capacity: int = 100_000,
        delayed: Callable[[float], None] | None = None,
    ) -> None:
        self.settings = settings
        self._store = store
        self._mark = hashlib.sha256(settings.digest + version.encode()).hexdigest()[:16]
        self._pending = Pending(capacity=capacity, ttl=settings.labels_within)
        self._counters = Counters(len(settings.classes), settings.slice_names)
        self._lock = lock_maker()()
        self._logged: set[str] = set()
        self._swept = -math.inf
        self._delayed = delayed
        self.changes = 0
        """Grows with every change of the counts."""

    def predicted(
        self,
        ids: Sequence[str],
        outputs: ArrayLike,
        at: float,
        *,
        chosen: ArrayLike | None = None,
        slices: Mapping[str, Sequence[object]] | None = None,
    ) -> None:
        """Remember answers given at ``at``, seconds since 1970.

        ``outputs``: probabilities, shape ``(rows, classes)``, or of the second of two classes, ``(rows,)``;
        the numbers of a regression, ``(rows,)``. ``chosen``: places of the classes answered, the most
        probable ones by default. ``slices``: values of the declared fields, one a row.
        """
        try:
            self._predicted(ids, np.asarray(outputs, np.float64), at, chosen, slices or {})
        except Exception:  # noqa: BLE001 - a guest never breaks its host: counted, and logged once
            self._failed("failures", "predictions could not be remembered")

    def feedback(
        self,
        id: str,  # noqa: A002 - the public word
        label: object,
        at: float,
        *before: Quality,
    ) -> Feedback:
        """Take the truth of prediction ``id``, known at ``at``, seconds since 1970; say what became of it.

        ``label``: one of the classes, of the same type, or a finite number. ``before``: those of versions
        before this one, which count the label where one of them knows the prediction, and this one does not.
        """
        outcome = self._outcome(id, label, at)
        for each in before if outcome in {Feedback.UNMATCHED, Feedback.INVALID} else ():
            found = each._outcome(id, label, at)  # noqa: SLF001 - of one class
            if found in {Feedback.MATCHED, Feedback.DUPLICATE}:
                return each.heard(found)
        return self.heard(outcome)

    def heard(self, outcome: Feedback) -> Feedback:
        """Count what became of a label, and return it."""
        with self._lock:
            self._counters.outcomes[outcome.value] += 1
            self.changes += 1
        return outcome

    def counters(self) -> Counters:
        """Return a copy of all counts, as of one moment."""
        with self._lock:
            counters = self._counters.copy()
        counters.lost["evicted"] += self._pending.evicted
        counters.lost["expired"] += self._pending.expired
        return counters

    @property
    def pending(self) -> int:
        """Predictions remembered in this process's memory, those that have a label included."""
        return len(self._pending)

    @property
    def nbytes(self) -> int:
        """Bytes of the predictions remembered."""
        return self._pending.nbytes

    def report(self, now: float, *others: Counters, since: float | None = None) -> QualityReport:
        """Return what is known at ``now``, seconds since 1970, of this process and of ``others`` together.

        ``since``: from when on labels are worse, where that has been told already.
        """
        total = self.counters()
        for other in others:
            total += other
        return report_of(self.settings, total, now, since)

    def merge(self, *others: Counters) -> None:
        """Add the counts of others to this one's, for good; ``ValueError`` for other classes or slices."""
        for other in others:
            with self._lock:
                self._counters += other
                self.changes += 1

    def dump(self) -> bytes:
        """Return the counts, a line of JSON, and what is pending in memory, 24 bytes each; for ``load``."""
        document = {"kind": _KIND, "counters": self.counters().document()}
        return dump(document).encode() + b"\n" + self._pending.dump()

    def load(self, content: bytes) -> None:
        """Take what ``dump`` returned under the same settings in place of all; ``ValueError`` else."""
        head, _, kept = content.partition(b"\n")
        try:
            document = parse(head, what="the state of quality")
        except Corrupt as error:
            raise ValueError(str(error)) from error
        if not isinstance(document, dict) or document.get("kind") != _KIND:
            raise ValueError(f"a state of kind {_KIND} was expected")
        settings = self.settings
        counters = Counters.from_document(
            document.get("counters"), len(settings.classes), settings.slice_names
        )
        pending = Pending(capacity=self._pending.capacity, ttl=self._pending.ttl)
        pending.load(kept)
        with self._lock:
            self._counters, self._pending = counters, pending
            self.changes += 1

    def _predicted(
        self,
        ids: Sequence[str],
        outputs: NDArray[np.float64],
        at: float,
        chosen: ArrayLike | None,
        slices: Mapping[str, Sequence[object]],
    ) -> None:
        classes = len(self.settings.classes)
        scores, choices = scored(outputs, classes, None if chosen is None else np.asarray(chosen, np.int64))
        packed = np.array(self.settings.slices_of(slices, len(ids)), np.int64)
        if not len(ids) == len(scores) == len(choices):
            raise ValueError("ids, outputs and chosen are of different lengths")
        good = sound(scores, choices, classes)
        kept = [name for name, here in zip(ids, good.tolist(), strict=True) if here]
        scores, choices, packed = scores[good], choices[good], packed[good]
        with self._lock:
            self._counters.lost["unusable"] += len(ids) - len(kept)
            self.changes += 1
            if kept:
                self._counters.cohort(self._cohort_of(at)).saw(scores, choices)
        if kept and not self._stored(kept, scores, choices, packed, at):
            self._pending.remember(kept, scores, choices, packed, at)

    def _stored(
        self,
        ids: Sequence[str],
        scores: NDArray[np.float64],
        choices: NDArray[np.int64],
        slices: NDArray[np.int64],
        at: float,
    ) -> bool:
        if self._store is None:
            return False
        columns = (scores.tolist(), choices.tolist(), slices.tolist())
        try:
            self._store.remember(
                [
                    Remembered(self._kept_as(name), at, *rest)
                    for name, *rest in zip(ids, *columns, strict=True)
                ]
            )
        except Exception:  # noqa: BLE001 - whatever a database raises: memory has to do
            self._failed("store_failures", "the store refused predictions; they are kept in memory")
            return False
        self._sweep(at)
        return True

    def _kept_as(self, name: str) -> str:
        """Other versions and settings may share the store: what they answered has other names there."""
        return f"{self._mark}.{name}"

    def _sweep(self, at: float) -> None:
        if self._store is None or 0 <= at - self._swept < _SWEEP:
            return
        try:
            if not self._store.sweep(at - self.settings.labels_within):  # a call forgets a portion
                self._swept = at
        except Exception:  # noqa: BLE001 - as above
            self._failed("store_failures", "the store could not forget old predictions")

    def _outcome(self, id: Any, label: object, at: float) -> Feedback:  # noqa: A002
        try:
            return self._feedback(id, label, at)
        except Exception:  # noqa: BLE001 - as above
            self._failed("failures", "a label could not be counted")
            return Feedback.FAILED

    def _feedback(self, id: Any, label: object, at: float) -> Feedback:  # noqa: A002
        truth = self._truth(label)
        if truth is None or not _is_id(id):
            return Feedback.INVALID
        found = self._pending.join(id, at)
        if found is None and self._store is not None:
            try:
                found = self._store.join(self._kept_as(id), at)
            except Exception:  # noqa: BLE001 - as above
                self._failed("store_failures", "the store could not join a label")
                return Feedback.FAILED
        if found is None or not self._usable(found, at):
            return Feedback.UNMATCHED
        if found.joined:
            return Feedback.DUPLICATE
        with self._lock:
            self._count(found, truth, at)
        return Feedback.MATCHED

    def _truth(self, label: object) -> int | float | None:
        """Return the place of a class, or the number; None for what is no label of this model."""
        kind, value = code_of(label)
        if self.settings.classes:
            return self.settings.places.get((kind, value))
        if kind not in {int, float} or not abs(value) <= LARGEST:
            return None
        return float(value)

    def _usable(self, found: Remembered, at: float) -> bool:
        """A store is open to other hands: what it gives must be in time, and what this model could say."""
        in_time = at - self.settings.labels_within <= found.at <= at + _SLACK
        if not in_time or not abs(found.score) <= LARGEST:
            return False
        classes = len(self.settings.classes)
        return not classes or (0 <= found.choice < classes and 0.0 <= found.score <= 1.0)

    def _count(self, found: Remembered, truth: float, at: float) -> None:
        self._counters.waited(at - found.at)
        if self._delayed is not None:
            self._delayed(at - found.at)
        places = self.settings.slices_in(found.slices)
        tallies = [self._counters.slices[place][value] for place, value in places]
        for tally in (self._counters.cohort(self._cohort_of(found.at)), *tallies):
            _label(tally, found, truth)

    def _cohort_of(self, at: float) -> int:
        return max(0, int(at // self.settings.length))

    def _failed(self, what: str, message: str) -> None:
        with self._lock:
            self._counters.lost[what] += 1
            self.changes += 1
            first = message not in self._logged
            self._logged.add(message)
        if first:
            _log.warning("%s; further failures are only counted", message, exc_info=True)


def _is_id(given: object) -> bool:
    """Databases differ on what else a text may hold, so only what can be printed gets there."""
    return isinstance(given, str) and 0 < len(given) <= LONGEST_ID and given.isascii() and given.isprintable()


def _label(tally: Tally, found: Remembered, truth: float) -> None:
    if isinstance(tally, ClassTally):
        tally.label(found.score, found.choice, int(truth))
    else:
        tally.label(found.score, truth)
