"""Events on their way to the host's hooks: a line and a thread for each, which ends when it is empty."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from inprocml.monitoring.verdict import DriftEvent
from inprocml.native import lock_maker, start_thread

__all__ = ["Hook", "Hooks"]

Hook: TypeAlias = Callable[[DriftEvent], object]
"""Called with an event, on a thread of its own; what it raises is counted and logged once."""

_log = logging.getLogger(__name__)

_WAITING = 64  # events for one hook; an episode lasts for an hour at least
_REMEMBERED = 1024  # events that were told


class Hooks:
    """Tells each of ``hooks`` every event once, in this process; one that is slow delays no other.

    ``counts`` says what became of the events, for all hooks together: ``told``, ``failed`` (the hook raised)
    and ``dropped`` (64 waited for it already). A forked child begins with nothing.
    """

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self._hooks = tuple(hooks)
        if hooks:
            from inprocml.monitoring import documents  # noqa: F401 - what they write with: not on their thread
        self._lines: dict[int, tuple[_Line, ...]] = {}  # by process id: no lock or thread is inherited

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def tell(self, event: DriftEvent) -> None:
        """Put the event in line for each hook; returns at once and never raises."""
        for line in self._mine():
            line.put(event)

    @property
    def idle(self) -> bool:
        """Whether this process has told every event, as well as it can be told."""
        return all(line.idle for line in self._mine())

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of the events in this process."""
        every = Counter({"told": 0, "failed": 0, "dropped": 0})
        for line in self._mine():
            every.update(line.counts)
        return dict(every)

    def _mine(self) -> tuple[_Line, ...]:
        lines = self._lines.get(os.getpid())
        if lines is None:
            fresh = tuple(_Line(hook) for hook in self._hooks)
            lines = self._lines.setdefault(os.getpid(), fresh)
        return lines


class _Line:
    """The events that wait for one hook."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._lock = lock_maker()()  # guards all below
        self._events: deque[DriftEvent] = deque()
        self._known: deque[str] = deque(maxlen=_REMEMBERED)
        self._running = False
        self._said = False
        self.counts: Counter[str] = Counter()

    @property
    def idle(self) -> bool:
        with self._lock:
            return not self._events and not self._running

    def put(self, event: DriftEvent) -> None:
        key = event.key
        with self._lock:
            if key in self._known:
                return
            self._known.append(key)
            if len(self._events) >= _WAITING:
                self.counts["dropped"] += 1
                return
            self._events.append(event)
            if self._running:
                return
            self._running = True
        try:
            start_thread(self._run, (), "inprocml-hook")
        except RuntimeError:  # none to be had now: the next event tries again
            self._running = False

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._events:
                    self._running = False
                    return
                event = self._events.popleft()
            try:
                self._hook(event)
            except BaseException as error:  # noqa: BLE001 - the host's own; ``SystemExit`` of it ends no thread
                self._failed(error)
            else:
                with self._lock:
                    self.counts["told"] += 1

    def _failed(self, error: BaseException) -> None:
        with self._lock:
            self.counts["failed"] += 1
            first, self._said = not self._said, True
        if first:
            name = getattr(self._hook, "__qualname__", type(self._hook).__name__)
            _log.warning("a drift hook failed (%s); further failures are only counted", name, exc_info=error)
