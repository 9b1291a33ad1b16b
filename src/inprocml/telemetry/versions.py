"""Which versions a process has and how they stand, read once an export; nothing here is recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from inprocml.telemetry import names
from inprocml.telemetry.living import Living
from inprocml.telemetry.monitored import monitors_memory
from inprocml.telemetry.shadows import observe_shadows

__all__ = [
    "Attributes",
    "Loaded",
    "Queue",
    "create_observables",
    "entered",
    "left",
    "note_share",
    "note_stale",
]

Attributes = Mapping[str, str | bool | int | float]


class Queue(NamedTuple):
    """A version's queue: the rows that wait now, those in flight, and how many may wait."""

    depth: Callable[[], int]
    active: Callable[[], int]
    limit: int


class Loaded(Protocol):
    """What a loaded version tells; ``queue`` and ``memory`` are none before and after that."""

    @property
    def attributes(self) -> Attributes: ...

    @property
    def queue(self) -> Queue | None: ...

    @property
    def memory(self) -> Callable[[], Mapping[str, int]] | None: ...

    @property
    def rollout(self) -> str | None: ...  # live | canary | shadow; none where that is not known yet


_loaded: Living[Loaded, Attributes] = Living()
_stale: Living[object, tuple[str, bool]] = Living()
_shares: dict[tuple[str, str], tuple[int, float]] = {}


def entered(version: Loaded, attributes: Attributes) -> None:
    """Observe ``version`` for as long as it lives, in this process and not in its children."""
    _loaded.note(version, attributes)


def left(version: Loaded) -> None:
    """Observe ``version`` no more."""
    _loaded.forget(version)


def note_stale(process: object, model: str, *, stale: bool | None) -> None:
    """Take note whether ``process`` serves what it should; ``None`` once it serves nothing."""
    if stale is None:
        _stale.forget(process)
    else:
        _stale.note(process, (model, stale))


def note_share(model: str, version: str, share: float | None) -> None:
    """Take note of a candidate's share; ``None`` once it is no candidate any more."""
    if share is None:
        _shares.pop((model, version), None)
    else:
        _shares[model, version] = (os.getpid(), share)


def create_observables(meter: metrics.Meter) -> None:
    """Create what is read once an export of versions, processes and candidates; once in a process."""
    meter.create_observable_up_down_counter(
        names.LOADED,
        callbacks=[_observe_loaded],
        unit="{model}",
        description="1 for each version loaded in this process.",
    )
    meter.create_observable_up_down_counter(
        names.QUEUE_USAGE,
        callbacks=[_observe_queues(lambda queue: queue.depth())],
        unit="{prediction}",
        description="Rows that wait for the device.",
    )
    meter.create_observable_up_down_counter(
        names.QUEUE_LIMIT,
        callbacks=[_observe_queues(lambda queue: queue.limit)],
        unit="{prediction}",
        description="Rows that may wait before callers are refused.",
    )
    meter.create_observable_gauge(
        names.STALE,
        callbacks=[_observe_stale],
        unit="1",
        description="1 where this process serves an older version than it should, else 0.",
    )
    meter.create_observable_gauge(
        names.SHARE,
        callbacks=[_observe_shares],
        unit="1",
        description="Share of the requests that a candidate version answers.",
    )
    _create_more(meter)


def _create_more(meter: metrics.Meter) -> None:
    meter.create_observable_up_down_counter(
        names.ACTIVE,
        callbacks=[_observe_queues(lambda queue: queue.active())],
        unit="{prediction}",
        description="Rows in flight: those that wait for the device, and those that it computes.",
    )
    meter.create_observable_up_down_counter(
        names.MEMORY_USAGE,
        callbacks=[_observe_memory, monitors_memory],
        unit="By",
        description="Memory that a version takes, as far as is known.",
    )
    meter.create_observable_gauge(
        names.DISAGREEMENT,
        callbacks=[observe_shadows],
        unit="1",
        description="Share of the shadowed rows that the candidate failed or answered otherwise.",
    )


def _observe_loaded(_options: CallbackOptions) -> Iterable[Observation]:
    """One observation per version loaded here; what it is, is asked now: a candidate may serve by now."""
    told = [(attributes, version.rollout) for version, attributes in _loaded.items()]
    return [
        Observation(1, {**attributes, names.ROLLOUT: rollout})
        for attributes, rollout in told
        if rollout is not None
    ]


def _observe_queues(value: Callable[[Queue], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(value(queue), version.attributes)
            for version in _loaded.things()
            if (queue := version.queue) is not None
        ]

    return observe


def _observe_memory(_options: CallbackOptions) -> Iterable[Observation]:
    return [
        Observation(size, {**version.attributes, names.MEMORY_TYPE: where, names.MEMORY_PART: "model"})
        for version in _loaded.things()
        if (memory := version.memory) is not None
        for where, size in memory().items()
    ]


def _observe_stale(_options: CallbackOptions) -> Iterable[Observation]:
    return [Observation(int(stale), {names.MODEL_NAME: model}) for _, (model, stale) in _stale.items()]


def _observe_shares(_options: CallbackOptions) -> Iterable[Observation]:
    pid = os.getpid()
    return [
        Observation(share, {names.MODEL_NAME: model, names.MODEL_VERSION: version})
        for (model, version), (owner, share) in list(_shares.items())
        if owner == pid
    ]
