"""A bundle -> what computes it: a backend for each device and instance, checked, and their runner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator

from inprocml.backends import Variant, cache_folder, choose_precision, open_backend
from inprocml.batching import Pool, Runner, Turn, Turns, fixed
from inprocml.bundle import Bundle
from inprocml.errors import BackendFailed, InprocmlError
from inprocml.model.options import Options
from inprocml.model.replay import replay
from inprocml.protocols import Backend, Clock, Observer, Pipelined
from inprocml.serving import warm
from inprocml.values import Tensors, repeated

__all__ = ["close_all", "open_instances", "run_instances"]

_LESSONS = 4  # pairs of runs, a small one and a large one, that a queue with an objective starts with
_LESSON_ROWS = 32
_LESSON_SECONDS = 1.0
_FIRST_RUN_SECONDS = 2.0  # a first run takes longer than others, whatever run_timeout says of those
_FLIGHTS = 2  # runs at once on a device that computes one batch while it copies the next
_turns: dict[tuple[int, str], Turns] = {}  # by process and device
os.register_at_fork(after_in_child=_turns.clear)  # a child may get the number of an ancestor


def open_instances(
    bundle: Bundle, options: Options, sizes: tuple[int, ...], hung: Callable[[], None], *, clock: Clock
) -> tuple[Backend, ...]:
    """Open the backends of ``bundle``, each with its golden rows replayed and warmed up at ``sizes``.

    What a backend raises passes through; what the host's own factory raises becomes ``BackendFailed``, and
    so does a backend that does not return from its golden rows: ``hung`` is then called.
    """
    rows = bundle.golden_inputs
    devices = [device for device in options.devices for _ in range(options.instances)]
    opened: list[Backend] = []
    made: list[Backend] = []  # as they were opened
    try:
        for device in devices:
            made.append(_open(bundle, options, device, rows))
            _check_own(bundle, made)
            opened.append(made[-1])
            replay(bundle, opened, _limit(options, device), hung)
            opened[-1] = backend = _prepared(bundle, opened[-1], options, rows)
            warm(backend, rows, sizes, clock=clock)
    except BaseException:
        close_all(opened)
        raise
    return tuple(opened)


def _check_own(bundle: Bundle, made: list[Backend]) -> None:
    if any(made[-1] is other for other in made[:-1]):
        raise BackendFailed(
            f"model {bundle.name!r}: the function given as backend= returned the same backend twice; each "
            "instance needs one of its own"
        )


def _limit(options: Options, device: str) -> float | None:
    """How long the first run may take; TensorRT builds its engine in it, which takes minutes."""
    return None if device.startswith("tensorrt") else max(options.run_timeout, _FIRST_RUN_SECONDS)


def _prepared(bundle: Bundle, backend: Backend, options: Options, rows: Tensors) -> Backend:
    """Make a backend that has answered its golden rows ready to serve."""
    prepare = getattr(backend, "prepare", None)  # of a GPU: batch sizes that fit, recorded runs
    if prepare is not None:
        prepare(rows, options.max_batch_size)
    if not options.deterministic:
        return backend
    return fixed(
        backend,
        rows,
        mixes=getattr(backend, "mixes", False),
        shapes=bundle.shapes(whole=True),
        model=bundle.name,
    )


def run_instances(
    bundle: Bundle,
    backends: tuple[Backend, ...],
    options: Options,
    observers: Iterable[Observer],
    *,
    mark: Callable[[], object],
    clock: Clock,
) -> Runner | Pool:
    """Return the runner of one backend, or the pool of several."""
    runners = [
        Runner(
            backend,
            name=bundle.name,
            max_batch_size=options.max_batch_size,
            max_queue_delay=options.max_queue_delay,
            max_queue_size=options.max_queue_size,
            slo=options.slo,
            clock=clock,
            observers=observers,
            shapes=bundle.shapes(whole=isinstance(backend, Pipelined)),
            turn=_turn(backend.device, options),
            run_timeout=options.run_timeout,
            mark=mark,
        )
        for backend in backends
    ]
    if options.slo is not None:
        for runner, backend in zip(runners, backends, strict=True):
            _teach(runner, backend, bundle.golden_inputs, min(options.max_batch_size, _LESSON_ROWS), clock)
    return runners[0] if len(runners) == 1 else Pool(runners)


def _teach(runner: Runner, backend: Backend, rows: Tensors, most: int, clock: Clock) -> None:
    """Time some runs, so that the objective holds from the first crowd on and not from the ninth batch."""
    until = clock() + _LESSON_SECONDS
    for size in (1, most) * _LESSONS:
        inputs = repeated(rows, size)
        began = clock()
        backend.run(inputs)
        ended = clock()
        runner.learn(inputs, size, ended - began)
        if ended > until:
            return


def close_all(backends: Iterable[Backend]) -> None:
    """Close every one, whatever another raises."""
    with contextlib.ExitStack() as stack:
        for backend in backends:
            stack.callback(backend.close)


def _turn(device: str, options: Options) -> Turn | None:
    """Return the place at a device that models share: any GPU, and the CPU for those that ask for it.

    On the CPU the system shares the cores out already; one model at a time helps only where it is wanted.
    """
    cpu = device == "cpu"
    if cpu and options.weight is None:
        return None
    turns = _turns.setdefault((os.getpid(), device), Turns(1 if cpu else _FLIGHTS))
    return turns.join((options.weight or 1.0) / options.instances)


def _open(bundle: Bundle, options: Options, device: str, rows: Tensors) -> Backend:
    with _told(bundle):
        if callable(options.backend):
            made = options.backend(bundle)
            if not isinstance(made, Backend):
                raise BackendFailed(
                    f"model {bundle.name!r}: the function given as backend= made {type(made).__name__}, "
                    "which is no Backend: it lacks name, device, run or close (inprocml.protocols)"
                )
            return made
        if options.precision == "fp32":
            return _open_as(bundle, options, device, Variant())
        golden = bundle.manifest.golden
        return choose_precision(
            options.precision,
            lambda variant: _open_as(bundle, options, device, variant),
            rows,
            absolute=golden.absolute,
            relative=golden.relative,
        ).backend


def _open_as(bundle: Bundle, options: Options, device: str, variant: Variant) -> Backend:
    return open_backend(
        options.backend if isinstance(options.backend, str) else bundle.runtime,
        bundle.model,
        device=device,
        threads=options.threads,
        allow_loops=options.policy is not None and options.policy.allow_loops,
        module=bundle.module,
        input_name=next(iter(bundle.inputs.values())),
        output_name=bundle.output_name,
        precision=variant.precision,
        channels_last=variant.channels_last,
        cache=cache_folder(bundle.path, bundle.digest) if device.startswith("tensorrt") else None,
    )


@contextlib.contextmanager
def _told(bundle: Bundle) -> Iterator[None]:
    try:
        yield
    except InprocmlError:
        raise
    except Exception as error:
        raise BackendFailed(
            f"model {bundle.name!r} version {bundle.version}: its backend could not be opened "
            f"({type(error).__name__}: {error}); see the cause"
        ) from error
