"""A version -> a servable: fetched, verified, built, its golden rows replayed; only then is it shown."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from inprocml.batching import Pool, Runner
from inprocml.bundle import Bundle
from inprocml.bundle.outputs import Classes
from inprocml.errors import BundleError
from inprocml.model.instances import close_all, open_instances, run_instances
from inprocml.model.options import Options
from inprocml.model.replayed import accepted_columns, glimpses_of, output_columns
from inprocml.model.watched import Exported
from inprocml.monitoring import Monitor, Monitoring, Quality, RowCounts, Slices, ValueBins, layout_of
from inprocml.monitoring.scalars import heavy_fields
from inprocml.monitoring.series import Layout
from inprocml.protocols import Backend, Clock, Source
from inprocml.serving import Leases, Servable, Sizes, Slot, prediction_ids
from inprocml.telemetry import ModelTelemetry, Queue, caller
from inprocml.values import Tensors, Version

if TYPE_CHECKING:
    from inprocml.monitoring.capture import Capture, Recorder
    from inprocml.monitoring.watching.reading import Columns

__all__ = ["build"]


def build(
    source: Source,
    version: Version,
    options: Options,
    slot: Slot,
    sizes: tuple[int, ...],
    *,
    clock: Clock,
    candidate: bool = False,
) -> Servable:
    """Build ``version`` of ``source`` for ``slot`` and warm it up at the batch sizes ``sizes``.

    Room is made in the memory that models share, if one was given. What the source, the bundle or the
    backend raises passes through.
    """
    found = source.fetch(version.name)
    bundle = Bundle.open(
        found.path,
        name=options.name,
        version=None if found.own_name else found.name,
        digest=version.digest or None,
        policy=options.policy,
    )
    if found.own_name:
        bundle = replace(bundle, version=found.name)
    if options.watching is not None:
        _slices(bundle, options.watching)  # before anything is opened: what does not fit is said here
    room = contextlib.nullcontext() if options.memory is None else _room(bundle, options, slot)
    with room:
        backends = open_instances(bundle, options, sizes, slot.left_behind, clock=clock)
    try:
        servable = _assemble(bundle, backends, options, clock, candidate=candidate)
    except BaseException:
        close_all(backends)
        raise
    if options.memory is not None:
        options.memory.landed(slot, servable)
    return servable


def _room(bundle: Bundle, options: Options, slot: Slot) -> contextlib.AbstractContextManager[None]:
    size = len(bundle.model) * options.instances * len(options.devices)
    assert options.memory is not None
    return options.memory.loading(slot, bundle.digest, size)


def _assemble(
    bundle: Bundle, backends: tuple[Backend, ...], options: Options, clock: Clock, *, candidate: bool
) -> Servable:
    telemetry = ModelTelemetry(
        model=bundle.name,
        version=bundle.version,
        runtime=backends[0].name,
        device=backends[0].device,
        digest=bundle.digest[-12:],
    )
    counts, sizes = RowCounts(_unseen(bundle)), Sizes()
    runner = run_instances(bundle, backends, options, (telemetry, counts, sizes), mark=caller, clock=clock)
    alive, limit = weakref.ref(runner), options.max_queue_size * len(backends)
    telemetry.loaded(
        Queue(partial(_depth, alive), partial(_active, alive), limit),
        partial(_memory, options, bundle.digest, len(bundle.model)),
        candidate=candidate,
    )
    new_id = prediction_ids()
    monitor = _monitor(bundle, options, telemetry, new_id)
    return Servable(
        name=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        transform=bundle.transform,
        output=bundle.output,
        runner=runner,
        backends=backends,
        inputs=bundle.inputs,
        baseline=bundle.baseline,
        counts=counts,
        sizes=sizes,
        telemetry=telemetry,
        monitor=monitor,
        new_id=new_id,
        leases=Leases(),
    )


def _monitor(
    bundle: Bundle, options: Options, telemetry: ModelTelemetry, new_id: Callable[[], str]
) -> Monitor | None:
    if options.watching is None:
        return None
    outputs, slices = partial(output_columns, bundle.output), _slices(bundle, options.watching)
    monitor = Monitor(
        _layout(bundle, options.watching),
        model=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        inputs=accepted_columns(bundle.transform, bundle.baseline),
        outputs=outputs,
        settings=options.watching,
        recorder=_recorder(bundle, options.watching.capture, outputs),
        quality=_quality(bundle, options.watching, slices, telemetry),
        slices=slices,
        glimpses=glimpses_of(bundle.transform, bundle.baseline),
        heavy=heavy_fields(bundle.transform.schema),
        prefix=new_id().partition("-")[0],
        training=bundle.baseline,
    )
    telemetry.watch(Exported(monitor))
    return monitor


def _layout(bundle: Bundle, settings: Monitoring) -> Layout:
    layout = layout_of(bundle.baseline, settings.private)
    fields = bundle.transform.schema.names
    for name in settings.private:
        if name not in fields:
            raise BundleError(
                f"Monitoring(private=...) names the field {name[:60]!r}, which {bundle.name} "
                f"{bundle.version} does not have: its fields are {', '.join(sorted(fields))[:400]}. "
                "Name one of these."
            )
    for series in layout.series:
        if series.private and not isinstance(series.bins, ValueBins):
            raise BundleError(
                f"Monitoring(private=...) names the field {series.name[:60]!r}, whose bins have ends and not "
                "names. Name categories and texts alone."
            )
    return layout


def _recorder(
    bundle: Bundle, capture: Capture | None, outputs: Callable[[Tensors], Columns]
) -> Recorder | None:
    if capture is None:
        return None
    from inprocml.monitoring.capture import Recorder

    return Recorder(
        capture,
        version=bundle.version,
        digest=bundle.digest,
        fields=[field.name for field in bundle.transform.schema.fields],
        render=bundle.transform.render,
        outputs=outputs,
    )


def _depth(alive: weakref.ref[Runner | Pool]) -> int:
    runner = alive()
    return 0 if runner is None else runner.depth


def _active(alive: weakref.ref[Runner | Pool]) -> int:
    runner = alive()
    return 0 if runner is None else runner.active


def _memory(options: Options, digest: str, size: int) -> dict[str, int]:
    """Return what was measured, where models share a budget; else the weights, once for each instance."""
    measured = None if options.memory is None else options.memory.measured(digest)
    devices = sum(device != "cpu" for device in options.devices)
    if measured is not None and not devices:
        return {"host": measured}
    held = {"host": len(options.devices) - devices, "device": devices}
    return {where: count * options.instances * size for where, count in held.items() if count}


def _slices(bundle: Bundle, settings: Monitoring) -> Slices:
    return Slices(settings.slices, bundle.transform.schema, of=f"{bundle.name} {bundle.version}")


def _quality(bundle: Bundle, settings: Monitoring, slices: Slices, telemetry: ModelTelemetry) -> Quality:
    output = bundle.output
    kind: Literal["classes", "regression"] = "classes" if isinstance(output, Classes) else "regression"
    classes = output.labels if isinstance(output, Classes) else ()
    judged = replace(settings.judged(kind, classes), slices=slices.values, reference=bundle.holdout)
    return Quality(judged, store=settings.store, version=bundle.digest, delayed=telemetry.delayed)


def _unseen(bundle: Bundle) -> dict[str, tuple[str, int | None, float]]:
    """Where the model's inputs show values that training has not seen."""
    return {
        name: (bundle.inputs[tensor], column, value)
        for name, (tensor, column, value) in bundle.transform.unseen.items()
        if tensor in bundle.inputs
    }
