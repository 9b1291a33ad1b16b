"""A version -> a servable: fetched, verified, built, its golden rows replayed; only then is it shown."""

from __future__ import annotations

from dataclasses import replace

from inprocml.backends import cache_folder, open_backend
from inprocml.batching import Ragged, Runner, Shapes
from inprocml.bundle import Bundle
from inprocml.errors import BackendFailed, InprocmlError
from inprocml.model.options import Options
from inprocml.monitoring import RowCounts
from inprocml.protocols import Backend, Clock, Source
from inprocml.serving import Leases, Servable, Sizes, prediction_ids, warm
from inprocml.telemetry import ModelTelemetry
from inprocml.values import Version

__all__ = ["build"]


def build(
    source: Source, version: Version, options: Options, sizes: tuple[int, ...], *, clock: Clock
) -> Servable:
    """Build ``version`` of ``source`` and warm it up at the batch sizes ``sizes``.

    What the source, the bundle or the backend raises passes through.
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
    backend = _open(bundle, options)
    try:
        bundle.replay(backend)
        rows = {given: bundle.golden.tensors[name] for name, given in bundle.inputs.items()}
        prepare = getattr(backend, "prepare", None)  # of a GPU: batch sizes that fit, recorded runs
        if prepare is not None:
            prepare(rows, options.max_batch_size)
        warm(backend, rows, sizes, clock=clock)
        return _assemble(bundle, backend, options, clock)
    except BaseException:
        backend.close()
        raise


def _assemble(bundle: Bundle, backend: Backend, options: Options, clock: Clock) -> Servable:
    telemetry = ModelTelemetry(
        model=bundle.name,
        version=bundle.version,
        runtime=backend.name,
        device=backend.device,
        digest=bundle.digest[-12:],
    )
    counts, sizes = RowCounts(_unseen(bundle)), Sizes()
    runner = Runner(
        backend,
        name=bundle.name,
        max_batch_size=options.max_batch_size,
        max_queue_delay=options.max_queue_delay,
        max_queue_size=options.max_queue_size,
        clock=clock,
        observers=(telemetry, counts, sizes),
        shapes=_shapes(bundle),
    )
    telemetry.loaded()
    return Servable(
        name=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        transform=bundle.transform,
        output=bundle.output,
        runner=runner,
        backend=backend,
        inputs=bundle.inputs,
        baseline=bundle.baseline,
        counts=counts,
        sizes=sizes,
        telemetry=telemetry,
        new_id=prediction_ids(),
        leases=Leases(),
    )


def _unseen(bundle: Bundle) -> dict[str, tuple[str, int | None, float]]:
    """Where the model's inputs show values that training has not seen."""
    return {
        name: (bundle.inputs[tensor], column, value)
        for name, (tensor, column, value) in bundle.transform.unseen.items()
        if tensor in bundle.inputs
    }


def _shapes(bundle: Bundle) -> Shapes:
    """The inputs whose length varies from row to row, and what fills them up; all else a transform fixes."""
    ragged = [spec for spec in bundle.transform.tensors if spec.ragged and spec.name in bundle.inputs]
    return Shapes(
        {bundle.inputs[spec.name]: Ragged(spec.pad, spec.axis, spec.ends) for spec in ragged}, fixed=True
    )


def _open(bundle: Bundle, options: Options) -> Backend:
    """Open the runtime; what the host's own factory raises becomes ``BackendFailed``."""
    try:
        if callable(options.backend):
            return options.backend(bundle)
        return open_backend(
            options.backend or bundle.runtime,
            bundle.model,
            device=options.device,
            threads=options.threads,
            allow_loops=options.policy is not None and options.policy.allow_loops,
            module=bundle.module,
            input_name=next(iter(bundle.inputs.values())),
            output_name=bundle.output_name,
            cache=cache_folder(bundle.path, bundle.digest) if options.device.startswith("tensorrt") else None,
        )
    except InprocmlError:
        raise
    except Exception as error:
        raise BackendFailed(
            f"model {bundle.name!r} version {bundle.version}: its backend could not be opened "
            f"({type(error).__name__}: {error}); see the cause"
        ) from error
