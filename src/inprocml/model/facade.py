"""``Model``: what a host declares, and every door to an answer."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from inprocml.bundle import Policy
from inprocml.errors import InprocmlError, NotReady, UnknownVersion, anew
from inprocml.model.attempt import Attempt
from inprocml.model.bulk import ManyRows
from inprocml.model.options import BackendChoice, Device, Options, as_pins, check_version, deadline_of
from inprocml.model.versions import Versions
from inprocml.model.watched import Watched
from inprocml.monitoring import Monitoring
from inprocml.protocols import Source, Watchable
from inprocml.serving import (
    Following,
    Memory,
    Pointed,
    Process,
    Rollout,
    Servable,
    Slot,
    Standing,
    as_rollouts,
    check_share,
)
from inprocml.sources import open_source, place_name
from inprocml.telemetry import not_served
from inprocml.values import Prediction, Readiness, Row

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


class Model(ManyRows, Watched):
    """A model that answers from inside this process; declaring it does nothing.

    The first use in each process loads the newest version of the store at ``path``, verifies it, and from
    then on watches for newer ones; ``alias=`` follows what an alias such as ``"production"`` means instead,
    and ``version=`` pins one. ``path`` may be a store, one bundle, the URL of either, or any ``Source``.
    ``rollout`` lets a candidate in beside the serving version: ``{"5": 0.1}``, or a ``Rollout``; ``pins`` are
    versions that a request may ask for by name. ``policy`` says what a bundle must fulfil, such as a
    signature.

    ``device``: ``"cpu"``, ``"cuda"`` (or ``"cuda:1"``), ``"tensorrt"``, ``"auto"``, or several; on each,
    ``instances`` of the model run side by side, with ``threads`` each (default: this worker's share of the
    cores it may use). Models at one GPU, and those on the CPU that name a ``weight``, take turns in
    proportion to it. ``precision`` may be ``"auto"``, ``"tf32"``, ``"bf16"`` or ``"fp16"`` on a GPU, if the
    golden rows allow it. ``memory`` is a budget that models share. With ``deterministic``, an answer depends
    on its row alone, to the last bit, and costs more. ``backend`` replaces the runtime that the bundle names:
    ``"numpy"`` for the slow reference, or a function from ``Bundle`` to ``Backend``.

    ``slo_ms`` is the latency to keep, in milliseconds: batches stay small enough for it, and rows that could
    not be answered in that time are refused at once. ``max_batch_size`` rows at most run together;
    ``max_queue_delay`` seconds a row may wait for company (0: never on purpose); ``max_queue_size`` rows may
    wait before callers get ``Overloaded``. A run of the model that takes longer than ``run_timeout`` seconds
    is given up, and the model loaded anew. ``monitoring`` says how rows are watched for drift; False: not.
    ``poll_interval`` is in seconds.
    """

    def __init__(  # noqa: PLR0913  (keyword-only, one per thing a host may want otherwise)
        self,
        path: str | os.PathLike[str] | Source,
        *,
        alias: str | None = None,
        version: str | None = None,
        rollout: Rollout | Sequence[Rollout] | Mapping[str, float] | None = None,
        pins: Iterable[str] = (),
        policy: Policy | None = None,
        name: str | None = None,
        backend: BackendChoice = None,
        device: Device = "cpu",
        precision: str = "fp32",
        instances: int = 1,
        weight: float | None = None,
        threads: int | None = None,
        memory: Memory | None = None,
        deterministic: bool = False,
        slo_ms: float | None = None,
        max_batch_size: int = 64,
        max_queue_delay: float = 0.0,
        max_queue_size: int = 1024,
        run_timeout: float = 60.0,
        monitoring: Monitoring | bool = True,
        poll_interval: float = 5.0,
    ) -> None:
        self._options = Options(
            name=name,
            version=version,
            alias=alias,
            pins=as_pins(pins),
            rollouts=as_rollouts(rollout),
            policy=policy,
            backend=backend,
            device=device,
            precision=precision,
            instances=instances,
            weight=weight,
            threads=threads,
            memory=memory,
            deterministic=deterministic,
            slo_ms=slo_ms,
            max_batch_size=max_batch_size,
            max_queue_delay=max_queue_delay,
            max_queue_size=max_queue_size,
            run_timeout=run_timeout,
            monitoring=monitoring,
            poll_interval=poll_interval,
        )
        if isinstance(path, str | os.PathLike):
            source: Source = open_source(path)
            name = name or place_name(path)
        elif isinstance(path, Source):
            source, name = path, name or "model"
        else:
            raise TypeError(f"path must be a store, a bundle, a URL or a Source, not {type(path).__name__}")
        self._clock = time.monotonic
        self._versions = Versions(source, self._options, name, clock=self._clock)
        self._processes: dict[int, Process] = {}
        self._inherited: list[dict[int, Process]] = []
        self._pins = {pin: self._pin(pin) for pin in self._options.pins}
        _models.add(self)

    def _pin(self, version: str) -> Model:
        """Return a model like this one that serves ``version`` and follows nothing."""
        return Model(self._versions.source, version=version, **self._options.computing())

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self._versions.source!r})"

    @property
    def name(self) -> str:
        """What the model is called in telemetry and messages."""
        return self._versions.name

    # --- answers -----------------------------------------------------------------------------------

    def predict(
        self,
        row: Row,
        *,
        timeout: float | None = None,
        key: str | None = None,
        version: str | None = None,
        priority: int = 0,
    ) -> Prediction:
        """Answer one row, from any thread; concurrent callers share batches.

        ``timeout`` is in seconds. Of the rows that wait, those of a higher ``priority`` (-8 to 8) and with
        less time left go first. During a rollout, requests with one ``key`` (a user's id) get one version;
        ``version`` asks for one by name, of those in ``pins``, serving or on trial.

        Raises ``InvalidRow`` (every bad field at once), ``Overloaded``, ``DeadlineExceeded``,
        ``BackendFailed``, ``NotReady`` (the first load takes longer than ``timeout``), ``UnknownVersion``,
        and ``BundleError`` when the first use cannot load.
        """
        process = self._process()
        pinned = self._pinned(process, version)
        if pinned is not None:
            return pinned.predict(row, timeout=timeout, priority=priority)
        deadline = deadline_of(self._clock, timeout, priority)
        attempt = Attempt(process, row, key, version, self._clock)
        while True:
            try:
                servable = attempt.choose(self._servable(process, deadline))
            except UnknownVersion:
                if version not in self._pins:
                    raise
                # swapped away a moment ago
                return self._pins[version].predict(row, timeout=timeout, priority=priority)
            try:
                prediction, result = servable.predict(row, deadline, priority)
            except Exception as error:
                if attempt.goes_on(error):
                    continue
                raise
            return attempt.answered(prediction, result)

    async def apredict(
        self,
        row: Row,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as predict
        key: str | None = None,
        version: str | None = None,
        priority: int = 0,
    ) -> Prediction:
        """As ``predict``, for asyncio: neither loading nor the model ever blocks the event loop."""
        process = self._process()
        pinned = self._pinned(process, version)
        if pinned is not None:
            return await pinned.apredict(row, timeout=timeout, priority=priority)
        deadline = deadline_of(self._clock, timeout, priority)
        attempt = Attempt(process, row, key, version, self._clock)
        while True:
            if process.slot.peek() is None:
                await self._loaded(process, deadline)
            try:
                servable = attempt.choose(self._servable(process))
            except UnknownVersion:
                if version not in self._pins:
                    raise
                return await self._pins[version].apredict(row, timeout=timeout, priority=priority)
            try:
                prediction, result = await servable.apredict(row, deadline, priority)
            except Exception as error:
                if attempt.goes_on(error):
                    continue
                raise
            return attempt.answered(prediction, result)

    # --- versions ----------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """The version that answers in this process; loads on first use."""
        return self._servable(self._process()).version

    @property
    def ready(self) -> Readiness:
        """Whether a version is loaded here; when not, asking starts loading in the background.

        A load balancer sends no traffic before the probe says yes, so the probe itself is a first use. True
        for ``READY`` and for ``STALE``: an older version answers than should, and ``failure`` says why.
        """
        process = self._process()
        process.slot.give_up()
        if process.slot.peek() is not None or process.slot.evicted is not None:
            return Readiness.READY if process.stale is None else Readiness.STALE
        if process.closed:
            return Readiness.FAILED
        process.load(lambda: self._load_quietly(process))
        return Readiness.LOADING if process.slot.failure is None else Readiness.FAILED

    @property
    def failure(self) -> str | None:
        """Why this process does not serve what it should, ``None`` where it does.

        The class of the error with which the last first load ended, e.g. ``"Corrupt"``; or, in words, what
        keeps a newer version from serving.
        """
        process = self._process()
        process.slot.give_up()
        failure = process.slot.failure
        if process.closed:
            return "closed"
        return process.stale if failure is None else type(failure).__name__

    def reload(self, version: str | None = None) -> str:
        """Swap now: to what this model follows, or to ``version`` (a roll-back holds until that moves on).

        Returns the version once it serves and the old one is drained. Raises ``UnknownVersion`` or
        ``BundleError``; the old version then goes on.
        """
        check_version(version)
        process = self._process()
        served = self._versions.reload(process, version)
        self._watch(process)
        return served

    def shift(self, version: str, share: float, *, why: str = "") -> None:
        """Give the candidate ``version`` another share of this process's requests, from 0 to 1, at once.

        With ``rollout={"5": 0.0}`` both versions stay loaded and 1.0 switches to the new one, 0.0 back again
        (blue-green). Raises ``UnknownVersion`` while there is no such candidate.
        """
        check_version(version)
        check_share(share)
        self._versions.trials.shift(self._process(), version, share, why)  # waits for no load or drain

    @property
    def rollout(self) -> Standing:
        """How the candidates stand in this process, and what was decided about them; ``print`` shows it."""
        process = self._process()
        return self._versions.trials.standing(process, self._servable(process).version)

    @property
    def offered(self) -> tuple[str, ...]:
        """The versions that ``predict(row, version=...)`` answers for: the pins, and what is loaded here."""
        return tuple(sorted({*self._process().loaded, *self._pins}))

    @property
    def counters(self) -> Mapping[str, Any]:
        """What this process's version has answered: ``rows``, ``batches``, ``unseen`` categories by field."""
        return self._servable(self._process()).counts.snapshot()

    def close(self) -> None:
        """Stop watching, finish what waits, free the runtime; this process can no longer use the model."""
        for pin in self._pins.values():
            pin.close()
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
        rules = Pointed if self._options.alias is not None else Following
        return Process(self.name, Slot(self.name, self._first, clock=self._clock), rules(self._clock))

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

    def _load_quietly(self, process: Process) -> None:
        try:
            self._servable(process)
        except Exception as error:  # noqa: BLE001 - the probe asks again; requests get the error itself
            process.log_once(f"loading {self.name}: {error}")

    def _first(self) -> Servable:
        process = self._process()
        servable = self._versions.first(process)
        self._watch(process)  # here, for any door may have been the first use
        return servable

    def _watch(self, process: Process) -> None:
        options = self._options
        if options.version is None or options.rollouts:
            source = self._versions.source
            wait = source.watch() if isinstance(source, Watchable) else None
            process.watch(self._poll, options.poll_interval, wait)

    def _poll(self) -> None:
        self._versions.poll(self._process())

    def _pinned(self, process: Process, version: str | None) -> Model | None:
        """Return the model that answers for ``version``, ``None`` where this one does or must refuse it.

        A pin is a model of its own that follows nothing: it loads when it is first asked for, and stays.
        """
        if version is None:
            return None
        check_version(version)
        pin = self._pins.get(version)
        return None if pin is None or version in process.loaded else pin
