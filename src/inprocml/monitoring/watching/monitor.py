"""The monitor of one version in one process: a request leaves its row here and goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from inprocml.monitoring.capture import Recorder
from inprocml.monitoring.counting import Buffer, Form, Seen, Tally
from inprocml.monitoring.quality import Feedback, Quality
from inprocml.monitoring.series import Counts, Layout
from inprocml.monitoring.verdict import DriftEvent
from inprocml.monitoring.watching import labels
from inprocml.monitoring.watching.evaluation import Evaluation
from inprocml.monitoring.watching.sampling import Sample
from inprocml.monitoring.watching.settings import Monitoring
from inprocml.monitoring.watching.tallies import Tallies
from inprocml.monitoring.watching.watcher import Watcher, watcher
from inprocml.native import lock_maker
from inprocml.values import Row, Tensors

__all__ = ["Columns", "Known", "Monitor"]

Columns = Mapping[str, NDArray[Any]]

T = TypeVar("T")


class Known(NamedTuple):
    """What is known of a version: the evaluation, the totals of ``workers`` processes, whose, and now."""

    evaluation: Evaluation
    total: Tally
    scope: Literal["worker", "host"]
    workers: int
    now: float


_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

_CHUNK = 512  # rows at a time: some two milliseconds
_BREATH = 0.0005  # seconds between them, in which requests have the interpreter's lock
_EVALUATE_SECONDS = 5.0


class Monitor:
    """Counts the rows of one version, and decides with the other processes of this host.

    ``inputs`` turns rows, or a table of them, into checked columns (``Transform.columns``), ``outputs`` the
    model's outputs into the columns of the baseline; ``recorder`` keeps rows for retraining. ``saw`` may be
    called from any thread and never raises; nothing else here is on a request's path. What goes wrong is
    counted, and logged once.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, given by the one who composes
        self,
        layout: Layout,
        *,
        model: str,
        version: str,
        digest: str,
        inputs: Callable[[Any], Columns],
        outputs: Callable[[Tensors], Columns],
        settings: Monitoring,
        recorder: Recorder | None = None,
        quality: Quality | None = None,
        prefix: str = "",
        clock: Callable[[], float] = time.time,
        wakes: Watcher | None = None,
    ) -> None:
        self.model, self.version = model, version
        self._form = Form(layout)
        self._inputs, self._outputs = inputs, outputs
        self._settings = settings
        self._recorder = recorder
        self.quality = quality
        self._prefix = prefix  # of the ids of this version's predictions
        if quality is not None:
            labels.keep(prefix, quality)
        self._clock = clock
        self._buffer = Buffer()
        self._lock = lock_maker()()  # guards all below
        folder = settings.folder
        self._tallies = Tallies(
            self._form,
            folder=None if folder is None else Path(folder),
            model=model,
            digest=digest,
            grumble=self._grumble,
        )
        self._looked_at = clock()
        self._evaluation: Evaluation | None = None  # of the process that decides
        self._evaluate_at = 0.0
        self._closed = False
        self._sample = Sample(settings.most_rows, self._looked_at)
        self._breath = lock_maker()()
        self._breath.acquire()  # for good: to wait for it is to wait
        self._grumbled: set[str] = set()
        self._listeners: list[Callable[[DriftEvent], None]] = [settings.hooks.tell] if settings.hooks else []
        self._watcher = watcher() if wakes is None else wakes
        self._watcher.watch(self)

    # --- a request's part ----------------------------------------------------------------------------

    def saw(self, row: Row, outputs: Tensors, prediction_id: str) -> None:
        """Take note of an answered row: a copy and an ``append``; a microsecond."""
        try:
            self._buffer.put(row, outputs, prediction_id)
            if self._watcher.asleep:
                self._watcher.rouse()
        except Exception as error:  # noqa: BLE001 - a guest never breaks its host
            self._grumble("rows could not be noted", error)

    def saw_table(self, table: Any, outputs: Sequence[Tensors]) -> None:
        """Count the rows of a table with their outputs (in one piece or several), here and now: bulk work."""
        began = time.thread_time_ns()
        rows = sum(len(next(iter(part.values()))) for part in outputs)
        with self._lock:
            if self._closed:
                return
            self._tallies.mine.numbers["seen"] += rows
            try:
                self._tallies.mine.add(self._inputs(table), self._outputs(_joined(outputs)))
            except Exception as error:  # noqa: BLE001 - as in saw
                self._failed(rows, error)
            self._tallies.mine.numbers["cpu_ns"] += time.thread_time_ns() - began
        if self._watcher.asleep:
            self._watcher.rouse()

    def feedback(self, prediction_id: str, label: object) -> Feedback:
        """Take the truth of a prediction, of this version or of one before it; say what became of it."""
        if self._buffer.holds(prediction_id):
            self.look()  # what was answered a moment ago is not remembered yet
        quality = labels.owner(prediction_id) or self.quality
        if quality is None:
            return Feedback.UNMATCHED
        outcome = quality.feedback(prediction_id, label, self._clock())
        if self._recorder is not None and outcome in {Feedback.MATCHED, Feedback.UNMATCHED}:
            self._recorder.label(prediction_id, label)  # unmatched: perhaps of another process
        return outcome

    def listen(self, listener: Callable[[DriftEvent], None]) -> None:
        """Call ``listener`` for every event, in the process that decides; what it raises is logged."""
        self._listeners.append(listener)

    # --- the watcher's part ---------------------------------------------------------------------------

    def look(self) -> bool:
        """Count what has come, show it to the other processes, and decide if it falls to this one."""
        try:
            with self._lock:
                if self._closed:
                    return False
                began, before = time.thread_time_ns(), self._tallies.mine.numbers["seen"]
                now = self._looked_at = self._clock()
                self._count()
                if not self._tallies.publish(now):
                    self._evaluation = None
                soon = self._evaluate_at - _EVALUATE_SECONDS <= now < self._evaluate_at
                events = [] if soon else self._evaluate(now)
                self._tallies.mine.numbers["cpu_ns"] += time.thread_time_ns() - began
                came = self._tallies.mine.numbers["seen"] > before
            self._tell(events)
        except Exception as error:  # noqa: BLE001 - the others are looked at all the same
            self._grumble("a look failed", error)
            return False
        return came

    def close(self) -> None:
        """Count the rest and leave; what was counted stays for the other processes."""
        self.look()
        self._watcher.forget(self)
        if self.quality is not None:
            labels.forget(self._prefix)
        with self._lock:
            self._closed = True
            self._tallies.close(deciding=self._evaluation is not None)
        if self._recorder is not None:
            self._recorder.close()

    # --- what is known --------------------------------------------------------------------------------

    @property
    def layout(self) -> Layout:
        """What is counted."""
        return self._form.layout

    def ask(self, question: Callable[[Known], T]) -> T:
        """Count what has come, then ask; where another process decides, of what it has decided last."""
        self.look()
        with self._lock:
            now = self._clock()
            events = self._evaluate(now)
            evaluation = self._evaluation
            if evaluation is None:
                evaluation = self._new_evaluation()
                self._take_over(evaluation)
            answer = question(self._known(evaluation, now))
        self._tell(events)
        return answer

    def decided(self, question: Callable[[Known], T]) -> T | None:
        """Ask, if this is the process that decides, of what it has decided last; else ``None``."""
        with self._lock:
            if self._evaluation is None or self._closed:
                return None
            return question(self._known(self._evaluation, self._clock()))

    def own(self) -> Counts:
        """Return what this process itself has counted: without what it went on from."""
        with self._lock:
            return self._tallies.own()

    def numbers(self) -> dict[str, int]:
        """Return this process's own numbers, by the names of ``NUMBERS``."""
        with self._lock:
            return self._tallies.own_numbers()

    def lag(self) -> float:
        """Return the seconds since rows were counted last, if some wait; else 0."""
        return max(0.0, self._clock() - self._looked_at) if len(self._buffer) else 0.0

    # --- parts ----------------------------------------------------------------------------------------

    def _count(self) -> None:
        buffer, numbers = self._buffer, self._tallies.mine.numbers
        seen = buffer.take(buffer.most)
        drops = buffer.drops()
        chosen = self._sample.of(seen, self._looked_at)
        numbers["seen"] += len(seen) + drops
        numbers["dropped"] += len(seen) - len(chosen) + drops
        for start in range(0, len(chosen), _CHUNK):
            if start:
                self._breath.acquire(timeout=_BREATH)
            self._add(chosen[start : start + _CHUNK])
        if self._recorder is not None:
            self._recorder.saw(seen, self._looked_at)
        if self.quality is not None and seen:
            self._remember(self.quality, seen)

    def _remember(self, quality: Quality, seen: Sequence[Seen]) -> None:
        """Let all rows wait for their labels, those too that are not counted."""
        try:
            columns = self._outputs(_joined([each.outputs for each in seen]))
        except Exception as error:  # noqa: BLE001 - as in _add
            self._grumble("predictions could not be remembered", error)
            return
        ordered = [column for _, column in sorted(columns.items(), key=lambda pair: _place(pair[0]))]
        answers = ordered[0] if len(ordered) == 1 else np.stack(ordered, axis=1)
        slices = {name: [each.row.get(name) for each in seen] for name in self._settings.slices}
        quality.predicted([each.id for each in seen], answers, self._clock(), slices=slices)

    def _add(self, seen: Sequence[Seen]) -> None:
        """Count some rows; where one cannot be, the others are counted one by one."""
        try:
            outputs = _joined([each.outputs for each in seen])
            self._tallies.mine.add(self._inputs([each.row for each in seen]), self._outputs(outputs))
        except Exception as error:  # noqa: BLE001 - a row that its owner changed, whatever it is now
            if len(seen) == 1:
                self._failed(1, error)
                return
            for each in seen:
                self._add([each])

    def _failed(self, rows: int, error: Exception) -> None:
        self._tallies.mine.numbers["failed"] += rows
        self._grumble("rows could not be counted", error)

    def _evaluate(self, now: float) -> list[DriftEvent]:
        self._evaluate_at = now + _EVALUATE_SECONDS
        if not self._tallies.elect():
            self._evaluation = None
            return []
        if self._evaluation is None:
            self._evaluation = self._new_evaluation()
            self._take_over(self._evaluation)
        events = self._evaluation.add(self._tallies.total(), now)
        self._tallies.write_state(self._evaluation.dump())
        return events

    def _take_over(self, evaluation: Evaluation) -> None:
        """Go on where the process that decided before has ended."""
        state = self._tallies.read_state()
        try:
            if state is not None:
                evaluation.load(state)
        except ValueError as error:
            self._grumble("what was learnt so far cannot be read", error)

    def _known(self, evaluation: Evaluation, now: float) -> Known:
        tallies = self._tallies
        return Known(evaluation, tallies.total(), tallies.scope, tallies.workers(now), now)

    def _new_evaluation(self) -> Evaluation:
        budget = float(self._settings.budget)
        return Evaluation(self._form, model=self.model, version=self.version, budget=budget)

    def _tell(self, events: Sequence[DriftEvent]) -> None:
        for event in events:
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception as error:  # noqa: BLE001 - the host's own; the others are told all the same
                    self._grumble("a listener failed", error)

    def _grumble(self, what: str, error: Exception) -> None:
        """Say it once; from then on it is only counted where it is."""
        if what not in self._grumbled:
            self._grumbled.add(what)
            _log.warning("monitoring of %s %s: %s", self.model, self.version, what, exc_info=error)


def _joined(outputs: Sequence[Tensors]) -> Tensors:
    return {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}


def _place(name: str) -> int:
    """Return the number in ``probability[10]``: as text it would come before ``probability[2]``."""
    number = name.rpartition("[")[2].rstrip("]")
    return int(number) if number.isdecimal() else 0
