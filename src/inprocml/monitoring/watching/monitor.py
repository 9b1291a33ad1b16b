"""The monitor of one version in one process: a request leaves its row here and goes on."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inprocml.monitoring.baseline import Baseline
from inprocml.monitoring.counting import Buffer, Form, Seen
from inprocml.monitoring.glimpses import Glimpses
from inprocml.monitoring.quality.core import Quality
from inprocml.monitoring.quality.pending import Feedback
from inprocml.monitoring.series import Counts, Layout
from inprocml.monitoring.verdict import DriftEvent
from inprocml.monitoring.watching import labels
from inprocml.monitoring.watching.complaints import Complaints
from inprocml.monitoring.watching.evaluation import Evaluation, Known, room_for
from inprocml.monitoring.watching.joint import Together
from inprocml.monitoring.watching.labelled import Labelled
from inprocml.monitoring.watching.reading import Columns, Reading
from inprocml.monitoring.watching.sampling import Sample
from inprocml.monitoring.watching.settings import Monitoring
from inprocml.monitoring.watching.slicing import Slices
from inprocml.monitoring.watching.tallies import Tallies
from inprocml.monitoring.watching.waiting import Waiting
from inprocml.monitoring.watching.watcher import Watcher, watcher
from inprocml.native import lock_maker
from inprocml.values import Row, Tensors

if TYPE_CHECKING:
    from inprocml.monitoring.capture import Recorder

__all__ = ["Known", "Monitor"]

T = TypeVar("T")

_CHUNK = 500  # rows at a time: a millisecond; in calls of more numpy gives away the interpreter's lock
_BREATH = 0.0005  # seconds between them, in which requests have the interpreter's lock
_EVALUATE_SECONDS = 5.0
_LONG = 1.0  # seconds of a look: beside busy threads rows may come quicker than they can be counted


class Monitor:
    """Counts the rows of one version, and decides with the other processes of this host.

    ``inputs`` turns rows, or a table of them, into checked columns (``Transform.columns``), ``outputs``
    the model's outputs into the columns of the baseline; ``recorder`` keeps rows for retraining;
    ``glimpses`` makes columns of the tensors; ``heavy`` names fields whose values may be large;
    ``training`` is what the layout is of, for its sample of rows and how far they lie apart. ``saw`` may
    be called from any thread and never raises; nothing else here is on a request's path. What goes wrong
    is counted, and logged once.
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
        glimpses: Glimpses | None = None,
        heavy: Sequence[str] = (),
        slices: Slices | None = None,
        prefix: str = "",
        training: Baseline | None = None,
        clock: Callable[[], float] = time.time,
        wakes: Watcher | None = None,
    ) -> None:
        self.model, self.version = model, version
        self._grumble = Complaints(model, version)
        self._form = Form(layout)
        self._reading = reading = Reading(inputs, outputs, glimpses, slices)
        self._settings = settings
        self._recorder = recorder
        self.quality = quality
        self._prefix = prefix  # of the ids of this version's predictions
        self._clock = clock
        self._glimpses = glimpses
        self._buffer = buffer = Buffer(heavy=heavy)
        self._waiting = Waiting(buffer, reading, quality, clock, self._grumble)
        self._lock = lock_maker()()  # guards all below
        folder = None if settings.folder is None else Path(settings.folder)
        self._tallies = Tallies(self._form, folder=folder, model=model, digest=digest, grumble=self._grumble)
        self._looked_at = clock()
        self._evaluation: Evaluation | None = None  # of the process that decides
        self._evaluate_at = 0.0
        self._together = Together(layout, training)
        self._closed = False
        self._sample = Sample(settings.most_rows, self._looked_at)
        self._breath = lock_maker()()
        self._breath.acquire()  # for good: to wait for it is to wait
        self._listeners: list[Callable[[DriftEvent], None]] = [settings.hooks.tell] if settings.hooks else []
        self._watcher = watcher() if wakes is None else wakes
        self._watcher.watch(self)
        self.labelled: Labelled | None = None
        """The labels of this version, of all processes; None without ``quality``."""
        if quality is not None:
            self.labelled = Labelled(
                quality,
                folder=folder,
                model=model,
                version=version,
                digest=digest,
                clock=clock,
                grumble=self._grumble,
            )
            labels.keep(prefix, self.labelled)

    # --- a request's part ----------------------------------------------------------------------------

    def saw(self, row: Row, outputs: Tensors, prediction_id: str, made: Any = None) -> None:
        """Take note of an answered row: a copy and an ``append``; a microsecond.

        ``made`` are its tensors, of which some values are kept if the model takes pictures, sound or tokens.
        What is no ``Exception`` passes: a greenlet's timeout, a signal handler's ``SystemExit``, which may
        strike while the row is copied and cannot be told from the row's own.
        """
        try:
            glimpses = self._glimpses
            self._buffer.put(row, outputs, prediction_id, () if glimpses is None else glimpses.of(made))
            if self._watcher.asleep:
                self._watcher.rouse()
        except Exception as error:  # noqa: BLE001 - a guest never breaks its host
            self._grumble("rows could not be noted", error)

    def noted(self, made: Any) -> Columns:
        """Return for ``saw_table`` what is to be counted of the tensors of many rows; never raises."""
        try:
            return self._reading.noted(made)
        except Exception as error:  # noqa: BLE001 - as in saw
            self._grumble("tensors could not be noted", error)
            return {}

    def saw_table(self, table: Any, outputs: Sequence[Tensors], noted: Sequence[Columns] = ()) -> None:
        """Count the rows of a table with their outputs, and what was ``noted``, here and now: bulk work.

        Both in one piece or in several.
        """
        began = time.thread_time_ns()
        rows = sum(len(next(iter(part.values()))) for part in outputs)
        with self._lock:
            if self._closed:
                return
            self._tallies.mine.numbers["seen"] += rows
            try:
                places = self._tallies.mine.add(*self._reading.table(table, outputs, noted))
                self._together.add(places, self._clock())
            except Exception as error:  # noqa: BLE001 - as in saw
                self._failed(rows, error)
            self._tallies.mine.numbers["cpu_ns"] += time.thread_time_ns() - began
        if self._watcher.asleep:
            self._watcher.rouse()

    def feedback(self, prediction_id: str, label: object) -> Feedback:
        """Take the truth of a prediction, of this version or of one before it; say what became of it."""
        try:
            return self._feedback(prediction_id, label)
        except Exception as error:  # noqa: BLE001 - as in saw
            self._grumble("a label could not be taken", error)
            return Feedback.FAILED if self.quality is None else self.quality.heard(Feedback.FAILED)

    def _feedback(self, prediction_id: str, label: object) -> Feedback:
        self._waiting.seek(prediction_id)  # what was answered a moment ago is not remembered yet
        known = labels.owner(prediction_id)
        owner = known or self.labelled
        if owner is None or self.quality is None:
            return Feedback.UNMATCHED
        if owner.model != self.model:
            return self.quality.heard(Feedback.UNMATCHED)
        # of another process, perhaps, and of a version that this one still knows
        before = [each.quality for each in labels.retired(self.model)] if known is None else ()
        outcome = owner.quality.feedback(prediction_id, label, self._clock(), *before)
        if self._watcher.asleep:
            self._watcher.rouse()
        if self._recorder is not None and outcome in {Feedback.MATCHED, Feedback.UNMATCHED}:
            # what is unmatched is of another process, perhaps
            self._recorder.label(prediction_id, label, self._clock())
        return outcome

    def listen(self, listener: Callable[[DriftEvent], None]) -> None:
        """Call ``listener`` with each event, in order, by whoever decides: one who can wait for no hook."""
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
                came, deciding = self._tallies.mine.numbers["seen"] > before, self._evaluation is not None
            self._tell(events)
            self._hear(deciding=deciding)
        except Exception as error:  # noqa: BLE001 - the others are looked at all the same
            self._grumble("a look failed", error)
            return False
        return came

    def _hear(self, *, deciding: bool) -> None:
        """Show what labels said, of this version and of those before it, and decide on this one."""
        if self.labelled is None:
            return
        began = time.thread_time_ns()
        for each in (self.labelled, *labels.retired(self.model)):
            each.look()
        if deciding:
            self.labelled.decide(self._tell, self._idle)
        with self._lock:
            self._tallies.mine.numbers["cpu_ns"] += time.thread_time_ns() - began

    def study(self) -> None:
        """Look at all columns together, once an hour, if it falls to this process; nobody waits meanwhile."""
        try:
            with self._lock:
                decides = None if self._closed else self._evaluation
                look = None if decides is None else self._together.due(self._clock(), decides.alarm.effect)
            if look is None:
                return
            began = time.thread_time_ns()
            found = look(self._breathe)
            with self._lock:
                self._tallies.mine.numbers["cpu_ns"] += time.thread_time_ns() - began
                if self._evaluation is not None:
                    self._evaluation.joint = found
        except Exception as error:  # noqa: BLE001 - as in look
            self._grumble("all columns could not be looked at together", error)

    def close(self, *, retired: bool = False) -> None:
        """Count the rest and leave; what was counted stays for the other processes.

        ``retired``: another version serves in place of this one, so that its episodes are over.
        """
        self.look()
        self._watcher.forget(self)
        with self._lock:
            last = None if self._closed else self._evaluation
            self._closed = True
            events = last.alarm.retire(self._clock()) if last and retired else []
        self._tell(events)
        if last is not None and retired and self.labelled is not None:
            self.labelled.retire(self._tell, self._idle)
        with self._lock:
            if last is not None:
                if self._idle():
                    last.told()
                self._tallies.write_state(last.dump())
            if self.labelled is not None:
                labels.forget(self._prefix)  # those of its predictions still come
            self._tallies.close(retired=retired)
        if self._recorder is not None:
            self._recorder.close()

    # --- what is known --------------------------------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes of what is counted, decided, sampled, and waits for labels; not of rows yet to be counted."""
        waiting = 0 if self.quality is None else self.quality.nbytes
        return 4 * self._form.size + room_for(self._form) + self._together.nbytes + waiting

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
        numbers, first, waiting = self._tallies.mine.numbers, 0, len(self._waiting)
        chosen = self._sample.of(range(waiting), self._looked_at)
        drops, failures = self._buffer.drops(), self._buffer.failures()
        lost = self._sample.lost(drops)  # the others would not have been counted in any case
        numbers["seen"] += drops + failures
        numbers["dropped"] += lost
        numbers["sampled_out"] += drops - lost
        numbers["failed"] += failures
        # some at a time, from first to last: they are in the processor's cache; what takes long waits
        while first < waiting and (not first or self._clock() - self._looked_at < _LONG):
            if first:
                self._breathe()
            seen = self._waiting.take(min(_CHUNK, waiting - first))
            if not seen:
                break
            part = chosen[bisect_left(chosen, first) : bisect_left(chosen, first + len(seen))]
            self._count_some(seen, part, first)
            first += len(seen)
        self._sample.back(len(chosen) - bisect_left(chosen, first))

    def _breathe(self) -> None:
        self._breath.acquire(timeout=_BREATH)

    def _count_some(self, seen: Sequence[Seen], chosen: Sequence[int], first: int) -> None:
        numbers = self._tallies.mine.numbers
        numbers["seen"] += len(seen)
        numbers["sampled_out"] += len(seen) - len(chosen)
        if chosen:
            self._add(seen if len(chosen) == len(seen) else [seen[place - first] for place in chosen])
        if self._recorder is not None:
            self._recorder.saw(seen, self._waiting.taken_at)

    def _add(self, seen: Sequence[Seen]) -> None:
        """Count some rows; where one cannot be, the others are counted one by one."""
        try:
            places = self._tallies.mine.add(*self._reading.rows(seen))
        except Exception as error:  # noqa: BLE001 - a row that its owner changed, whatever it is now
            if len(seen) == 1:
                self._failed(1, error)
                return
            for each in seen:
                self._add([each])
        else:
            self._together.add(places, self._looked_at)

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
        elif self._idle():
            self._evaluation.told()
        events = self._evaluation.add(self._tallies.total(), now)
        self._tallies.write_state(self._evaluation.dump())
        return events

    def _known(self, evaluation: Evaluation, now: float) -> Known:
        tallies = self._tallies
        return Known(evaluation, tallies.total(), tallies.scope, tallies.workers(now), now)

    def _new_evaluation(self) -> Evaluation:
        budget = float(self._settings.budget)
        fresh = Evaluation(self._form, model=self.model, version=self.version, budget=budget)
        return self._tallies.taken_over(fresh)

    def _idle(self) -> bool:
        return self._settings.hooks.idle

    def _tell(self, events: Sequence[DriftEvent]) -> None:
        for event in events:
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception as error:  # noqa: BLE001 - the host's own; the others are told all the same
                    self._grumble("a listener failed", error)
