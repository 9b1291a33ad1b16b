"""``Model``: what a host declares, and every door to an answer."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from inprocml.batching import Drained, Result
from inprocml.errors import BundleError, InprocmlError, NotReady
from inprocml.model.compose import build
from inprocml.model.options import BackendChoice, Device, Options, check_version
from inprocml.protocols import Source
from inprocml.serving import Process, Progress, Servable, Slot, anew
from inprocml.sources import Directory
from inprocml.telemetry import load_finished, not_served
from inprocml.values import Prediction, Row, Table

__all__ = ["Model"]

_models: weakref.WeakSet[Model] = weakref.WeakSet()


def _forget_inherited() -> None:
    """After a fork, in the child: what the parent had loaded is set aside and never touched again.

    State is keyed by process id anyway, for servers that fork without hooks; this covers ids that return.
    """
    for model in list(_models):
        model._inherited.append(model._processes)  # noqa: SLF001 - the fork hook belongs to the facade
        model._processes = {}  # noqa: SLF001


os.register_at_fork(after_in_child=_forget_inherited)


class Model:
    """A model that answers from inside this process; declaring it does nothing.

    The first use in each process loads the newest version of the store at ``path``, verifies it, and from
    then on watches for newer ones; ``version=`` pins one instead. ``path`` may be a store, one bundle, or
    any ``Source``.

    ``device`` is ``"cpu"``, ``"cuda"``, ``"tensorrt"`` or ``"auto"``; ``threads`` the runtime's own threads
    (default: this worker's share of the cores it may use). ``max_batch_size`` rows at most run together;
    ``max_queue_delay`` seconds a row may wait for company (0: never on purpose); ``max_queue_size`` rows
    may wait before callers get ``Overloaded``. ``poll_interval`` is in seconds. ``backend`` replaces the
    runtime the bundle names: ``"numpy"`` for the slow reference, or a function from ``Bundle`` to
    ``Backend``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Source,
        *,
        version: str | None = None,
        name: str | None = None,
        backend: BackendChoice = None,
        device: Device = "cpu",
        threads: int | None = None,
        max_batch_size: int = 64,
        max_queue_delay: float = 0.0,
        max_queue_size: int = 1024,
        poll_interval: float = 5.0,
    ) -> None:
        self._options = Options(
            name=name,
            version=version,
            backend=backend,
            device=device,
            threads=threads,
            max_batch_size=max_batch_size,
            max_queue_delay=max_queue_delay,
            max_queue_size=max_queue_size,
            poll_interval=poll_interval,
        )
        if isinstance(path, str | os.PathLike):
            # Against the folder of now: a server may change its own before the first use.
            path = Path(path).expanduser().absolute()
            self._source: Source = Directory(path)
            self.name = name or path.name
        elif isinstance(path, Source):
            self._source, self.name = path, name or "model"
        else:
            raise TypeError(f"path must be a store, a bundle's folder or a Source, not {type(path).__name__}")
        self._clock = time.monotonic
        self._processes: dict[int, Process] = {}
        self._inherited: list[dict[int, Process]] = []
        _models.add(self)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self._source!r})"

    # --- answers -----------------------------------------------------------------------------------

    def predict(self, row: Row, *, timeout: float | None = None) -> Prediction:
        """Answer one row, from any thread; concurrent callers share batches.

        ``timeout`` is in seconds. Raises ``InvalidRow`` (every bad field at once), ``Overloaded``,
        ``DeadlineExceeded``, ``BackendFailed``, ``NotReady`` (the first load takes longer than ``timeout``),
        and ``BundleError`` when the first use cannot load.
        """
        began = self._clock()
        deadline = None if timeout is None else began + timeout
        process = self._process()
        while True:
            servable = self._servable(process, deadline)
            try:
                prediction, result = servable.predict(row, deadline)
            except Drained:
                continue  # replaced between the question and the queue: ask the new one
            except Exception as error:
                servable.telemetry.failed(self._clock() - began, error)
                raise
            return self._answered(servable, prediction, result, began)

    async def apredict(self, row: Row, *, timeout: float | None = None) -> Prediction:  # noqa: ASYNC109 - as predict
        """As ``predict``, for asyncio: neither loading nor the model ever blocks the event loop."""
        began = self._clock()
        deadline = None if timeout is None else began + timeout
        process = self._process()
        while True:
            if process.slot.peek() is None:
                await self._loaded(process, deadline)
            servable = self._servable(process)
            try:
                prediction, result = await servable.apredict(row, deadline)
            except Drained:
                continue
            except Exception as error:
                servable.telemetry.failed(self._clock() - began, error)
                raise
            return self._answered(servable, prediction, result, began)

    def predict_many(self, table: Table, *, timeout: float | None = None) -> list[Prediction]:
        """Answer many rows (DataFrame, mapping of columns, list of rows) through the same path.

        The rows are checked and encoded as a whole, then run in batches that take turns with other callers
        and wait for room in a full queue. One version answers the whole table. ``timeout`` in seconds covers
        all of it. Raises as ``predict``; ``InvalidRow.row`` is the position of the first bad row.
        """
        deadline = None if timeout is None else self._clock() + timeout
        process = self._process()
        while True:
            servable = self._servable(process, deadline)
            answers: list[Prediction] = []
            progress = Progress(self._clock)
            try:
                for part in servable.predict_table(table, deadline):
                    answers += part
                    progress.show(len(answers))
            except Drained:
                continue  # a swap waited for this table in vain: the new version answers all of it
            except Exception as error:
                servable.telemetry.refused(error)
                raise
            finally:
                progress.end()
            return answers

    # --- versions ----------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """The version that answers in this process; loads on first use."""
        return self._servable(self._process()).version

    @property
    def ready(self) -> bool:
        """Whether a version is loaded here; when not, asking starts loading in the background.

        A load balancer sends no traffic before the probe says yes, so the probe itself is a first use.
        """
        process = self._process()
        if process.slot.peek() is not None:
            return True
        if not process.closed:
            process.load(lambda: self._load_quietly(process))
        return False

    @property
    def failure(self) -> str | None:
        """The class of the error with which the last first load in this process ended, e.g. ``"Corrupt"``."""
        failure = self._process().slot.failure
        return None if failure is None else type(failure).__name__

    def reload(self, version: str | None = None) -> str:
        """Swap now: to the newest version, or to ``version`` (a roll-back holds until a newer one appears).

        Returns the version once it serves and the old one is drained. Raises ``UnknownVersion`` or
        ``BundleError``; the old version then goes on.
        """
        check_version(version)
        process = self._process()
        with process.moving:
            listed = self._listed()
            chosen = version or self._options.version or listed[next(reversed(listed))]
            # Before the swap, which may take its time to drain: a poll must not undo it meanwhile.
            before = process.following.passes(listed)
            try:
                served = process.slot.swap(lambda: self._load(chosen, "reload")).version
            except BaseException:
                process.following.restore(before)
                raise
            self._watch(process)
        return served

    @property
    def counters(self) -> Mapping[str, Any]:
        """What this process's version has answered: ``rows``, ``batches``, ``unseen`` categories by field."""
        return self._servable(self._process()).counts.snapshot()

    def close(self) -> None:
        """Stop watching, finish what waits, free the runtime; this process can no longer use the model."""
        self._process().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- one process -------------------------------------------------------------------------------

    def _process(self) -> Process:
        # Keyed by process id, besides the fork hook above: uWSGI forks without running hooks.
        # ``setdefault`` is atomic, so no lock can be inherited in a locked state.
        pid = os.getpid()
        process = self._processes.get(pid)
        return process if process is not None else self._processes.setdefault(pid, self._new_process())

    def _new_process(self) -> Process:
        return Process(self.name, Slot(self.name, self._first, clock=self._clock), clock=self._clock)

    def _servable(self, process: Process, deadline: float | None = None) -> Servable:
        """Return the servable; with a deadline, a thread does the first load and the caller waits so long."""
        servable = process.slot.peek()
        if servable is not None:
            return servable
        try:
            if deadline is not None:
                load = process.load(process.slot.current)
                concurrent.futures.wait((load,), timeout=max(deadline - self._clock(), 0.0))
                self._require(load.done())
            servable = process.slot.current()
        except InprocmlError as error:
            not_served(self.name, error)
            raise
        return servable

    async def _loaded(self, process: Process, deadline: float | None) -> None:
        """Wait for the first load without taking a thread of the host's: one thread of ours loads for all."""
        future = asyncio.wrap_future(process.load(process.slot.current))
        left = None if deadline is None else max(deadline - self._clock(), 0.0)
        done, _ = await asyncio.wait({future}, timeout=left)
        try:
            self._require(bool(done))
            failure = future.exception()
            if failure is not None:
                raise anew(failure)
        except InprocmlError as error:
            not_served(self.name, error)
            raise

    def _require(self, loaded: bool) -> None:  # noqa: FBT001 - a private question
        if not loaded:
            raise NotReady(f"model {self.name!r} is still loading in this process; try again shortly")

    def _answered(
        self, servable: Servable, prediction: Prediction, result: Result, began: float
    ) -> Prediction:
        servable.telemetry.predicted(self._clock() - began, result.queued, inline=result.inline)
        return prediction

    def _load_quietly(self, process: Process) -> None:
        try:
            self._servable(process)
        except Exception as error:  # noqa: BLE001 - the probe asks again; requests get the error itself
            process.log_once(f"loading {self.name}: {error}")

    # --- following the source ----------------------------------------------------------------------

    def _watch(self, process: Process) -> None:
        if self._options.version is None:
            process.watch(self._poll, self._options.poll_interval)

    def _listed(self) -> dict[str, str]:
        """Return the names of the versions, oldest first, by what tells one publication from another."""
        names = {f"{version.name} {version.mark}": version.name for version in self._source.versions()}
        if not names:
            raise BundleError(
                f"{self._source!r} holds no version; make one with inprocml.pack. Folders without "
                "manifest.json, symbolic links and names that begin with a dot are passed over"
            )
        return names

    def _first(self) -> Servable:
        """Build for the first use: the pinned version, or the newest that loads.

        A worker that starts while a broken bundle lies on top must serve what its siblings serve: a bad
        publish may not take the site down one restart at a time.
        """
        if self._options.version is not None:
            return self._load(self._options.version, "first_use")
        process = self._process()
        try:
            listed = self._listed()
        except Exception as error:
            load_finished(self.name, 0.0, trigger="first_use", error=type(error))
            raise
        failures: list[Exception] = []
        for key in process.following.first(list(listed)):
            try:
                servable = self._load(listed[key], "first_use")
            except Exception as error:  # noqa: BLE001 - raised below, if nothing older loads
                failures.append(error)
                process.refuse(key, error)
            else:
                process.following.serves(key, list(listed))
                self._watch(process)  # here, for any door may have been the first use
                return servable
        try:
            raise failures[0]
        finally:
            failures.clear()  # with their tracebacks they are cycles that keep half-built sessions alive

    def _poll(self) -> None:
        """Follow the source: swap to the newest version that was never passed and loads."""
        process = self._process()
        process.slot.sweep()
        if process.slot.peek() is None or not process.moving.acquire(blocking=False):
            return
        try:
            listed = self._listed()
            for key in process.following.newer(list(listed)):
                try:
                    process.slot.swap(functools.partial(self._load, listed[key], "watch"))
                except Exception as error:  # noqa: BLE001 - the old version goes on
                    process.refuse(key, error)
                else:
                    process.following.serves(key, list(listed))
                    return
        finally:
            process.moving.release()

    def _load(self, version: str, trigger: str) -> Servable:
        began = self._clock()
        try:
            servable = build(self._source, version, self._options, clock=self._clock)
        except BaseException as failure:
            load_finished(self.name, self._clock() - began, trigger=trigger, error=type(failure))
            raise
        load_finished(self.name, self._clock() - began, trigger=trigger, error=None)
        self.name = servable.name
        return servable
