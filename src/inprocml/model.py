"""The facade: ``Model``, the only place that composes source, bundle, backend, queue and telemetry."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from inprocml.backends import open_backend
from inprocml.batching import Drained, Result, Runner
from inprocml.bundle import Bundle
from inprocml.errors import BundleError, InprocmlError, NotReady
from inprocml.monitoring import RowCounts
from inprocml.protocols import Backend, Source
from inprocml.serving import Leases, Process, Progress, Servable, Slot, prediction_ids
from inprocml.sources import Directory
from inprocml.telemetry import ModelTelemetry, load_finished, not_served
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
        backend: str | Callable[[Bundle], Backend] | None = None,
        device: Literal["cpu", "cuda", "tensorrt", "auto"] = "cpu",
        threads: int | None = None,
        max_batch_size: int = 64,
        max_queue_delay: float = 0.0,
        max_queue_size: int = 1024,
        poll_interval: float = 5.0,
    ) -> None:
        _check_limits(max_batch_size, max_queue_delay, max_queue_size, poll_interval)
        self._source: Source = Directory(path) if isinstance(path, str | os.PathLike) else path
        self.name = name or (Path(path).name if isinstance(path, str | os.PathLike) else "model")
        self._pinned = version
        self._backend = backend
        self._device = device
        self._threads = threads
        self._max_batch_size = max_batch_size
        self._max_queue_delay = max_queue_delay
        self._max_queue_size = max_queue_size
        self._poll_interval = poll_interval
        self._clock = time.monotonic
        self._processes: dict[int, Process] = {}
        self._inherited: list[dict[int, Process]] = []
        _models.add(self)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, source={self._source!r})"

    # --- answers -----------------------------------------------------------------------------------

    def predict(self, row: Row, *, timeout: float | None = None) -> Prediction:
        """Answer one row, from any thread; concurrent callers share batches.

        ``timeout`` is in seconds; the one caller whose first use loads the model is not cut short. Raises
        ``InvalidRow`` (every bad field at once), ``Overloaded``, ``DeadlineExceeded``, ``BackendFailed``,
        ``NotReady`` (another caller still loads), and ``BundleError`` when the first use cannot load.
        """
        began = self._clock()
        deadline = None if timeout is None else began + timeout
        slot = self._process().slot
        while True:
            servable = self._servable(slot, deadline)
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
            servable = self._servable(process.slot, deadline)
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
        slot = self._process().slot
        while True:
            servable = self._servable(slot, deadline)
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
        return self._servable(self._process().slot).version

    @property
    def ready(self) -> bool:
        """Whether a version is loaded here; when not, asking starts loading in the background.

        A load balancer sends no traffic before the probe says yes, so the probe itself is a first use.
        """
        process = self._process()
        if process.slot.peek() is None and not process.closed:
            process.load(lambda: self._load_quietly(process))
        return process.slot.peek() is not None

    def reload(self, version: str | None = None) -> str:
        """Swap now: to the newest version, or to ``version`` (a roll-back holds until a newer one appears).

        Returns the version once it serves and the old one is drained. Raises ``UnknownVersion`` or
        ``BundleError``; the old version then goes on.
        """
        process = self._process()
        with process.moving:
            names = self._names()
            chosen = version or self._pinned or names[-1]
            # Before the swap, which may take its time to drain: a poll must not undo it meanwhile.
            before = process.following.passes(names)
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
        return self._servable(self._process().slot).counts.snapshot()

    def close(self) -> None:
        """Stop watching, finish what waits, free the runtime; this process can no longer use the model."""
        self._process().close()

    # --- one process -------------------------------------------------------------------------------

    def _process(self) -> Process:
        # Keyed by process id, besides the fork hook above: uWSGI forks without running hooks.
        # ``setdefault`` is atomic, so no lock can be inherited in a locked state.
        pid = os.getpid()
        process = self._processes.get(pid)
        return process if process is not None else self._processes.setdefault(pid, self._new_process())

    def _new_process(self) -> Process:
        return Process(self.name, Slot(self.name, self._first, clock=self._clock), clock=self._clock)

    def _servable(self, slot: Slot, deadline: float | None = None) -> Servable:
        servable = slot.peek()
        if servable is not None:
            return servable
        try:
            servable = slot.current(deadline)
        except InprocmlError as error:
            not_served(self.name, error)
            raise
        self._watch(self._process())
        return servable

    async def _loaded(self, process: Process, deadline: float | None) -> None:
        """Wait for the first load without taking a thread of the host's: one thread of ours loads for all."""
        future = asyncio.wrap_future(process.load(lambda: self._servable(process.slot)))
        left = None if deadline is None else max(deadline - self._clock(), 0.0)
        done, _ = await asyncio.wait({future}, timeout=left)
        if done:
            future.exception()  # looked at, so that asyncio does not complain; ``_servable`` raises its own
            return
        error = NotReady(f"model {self.name!r} is still loading in this process; try again shortly")
        not_served(self.name, error)
        raise error

    def _answered(
        self, servable: Servable, prediction: Prediction, result: Result, began: float
    ) -> Prediction:
        servable.telemetry.predicted(self._clock() - began, result.queued, inline=result.inline)
        return prediction

    def _load_quietly(self, process: Process) -> None:
        try:
            self._servable(process.slot)
        except Exception as error:  # noqa: BLE001 - the probe asks again; requests get the error itself
            process.log_once(f"loading {self.name}: {error}")

    # --- following the source ----------------------------------------------------------------------

    def _watch(self, process: Process) -> None:
        if self._pinned is None:
            process.watch(self._poll, self._poll_interval)

    def _names(self) -> list[str]:
        names = [version.name for version in self._source.versions()]
        if not names:
            raise BundleError(f"{self._source!r} holds no version yet; make one with inprocml.pack")
        return names

    def _first(self) -> Servable:
        """Build for the first use: the pinned version, or the newest that loads.

        A worker that starts while a broken bundle lies on top must serve what its siblings serve: a bad
        publish may not take the site down one restart at a time.
        """
        if self._pinned is not None:
            return self._load(self._pinned, "first_use")
        process = self._process()
        try:
            names = self._names()
        except Exception as error:
            load_finished(self.name, 0.0, trigger="first_use", error=type(error))
            raise
        failures: list[Exception] = []
        for name in process.following.first(names):
            try:
                servable = self._load(name, "first_use")
            except Exception as error:  # noqa: BLE001 - raised below, if nothing older loads
                failures.append(error)
                process.refuse(name, error)
            else:
                process.following.serves(name, names)
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
            names = self._names()
            for name in process.following.newer(names):
                try:
                    process.slot.swap(functools.partial(self._load, name, "watch"))
                except Exception as error:  # noqa: BLE001 - the old version goes on
                    process.refuse(name, error)
                else:
                    process.following.serves(name, names)
                    return
        finally:
            process.moving.release()

    # --- composition -------------------------------------------------------------------------------

    def _load(self, version: str, trigger: str) -> Servable:
        """Fetch, verify, build, replay the golden rows; nothing is visible to callers before all of it."""
        began = self._clock()
        try:
            return self._build(version)
        finally:
            kind = sys.exc_info()[0]
            load_finished(self.name, self._clock() - began, trigger=trigger, error=kind)

    def _build(self, version: str) -> Servable:
        found = self._source.fetch(version)
        bundle = Bundle.open(found.path, name=self.name, version=found.name)
        backend = self._open(bundle)
        try:
            bundle.replay(backend)
        except BaseException:
            backend.close()
            raise
        telemetry = self._telemetry(bundle, backend)
        counts = RowCounts(bundle.transform.unseen_columns, bundle.input_name)
        runner = Runner(
            backend,
            name=self.name,
            max_batch_size=self._max_batch_size,
            max_queue_delay=self._max_queue_delay,
            max_queue_size=self._max_queue_size,
            clock=self._clock,
            observers=(telemetry, counts),
        )
        telemetry.loaded()
        return Servable(
            name=self.name,
            version=bundle.version,
            digest=bundle.digest,
            transform=bundle.transform,
            output=bundle.output,
            runner=runner,
            backend=backend,
            input_name=bundle.input_name,
            max_batch_size=self._max_batch_size,
            baseline=bundle.baseline,
            counts=counts,
            telemetry=telemetry,
            new_id=prediction_ids(),
            leases=Leases(),
        )

    def _telemetry(self, bundle: Bundle, backend: Backend) -> ModelTelemetry:
        return ModelTelemetry(
            model=self.name,
            version=bundle.version,
            runtime=backend.name,
            device=backend.device,
            digest=bundle.digest[-12:],
        )

    def _open(self, bundle: Bundle) -> Backend:
        if callable(self._backend):
            return self._backend(bundle)
        return open_backend(
            self._backend or bundle.runtime,
            bundle.model,
            device=self._device,
            threads=self._threads,
            module=bundle.module,
            input_name=bundle.input_name,
            output_name=bundle.output_name,
        )


def _check_limits(batch: int, delay: float, queue: int, interval: float) -> None:
    if batch < 1 or queue < 1:
        raise ValueError("max_batch_size and max_queue_size must be at least 1")
    if delay < 0 or interval <= 0:
        raise ValueError("max_queue_delay must be 0 or more seconds, poll_interval more than 0")
