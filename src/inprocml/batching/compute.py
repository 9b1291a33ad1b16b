"""One batch through one backend: join the callers' tensors, run, check what came back, cut it apart.

Pure functions over a backend. Everything that a model can do wrong ends here as ``BackendFailed``, so that
the threads above deal with one kind of failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from inprocml.batching.shapes import Shapes, lengthened
from inprocml.errors import BackendFailed
from inprocml.protocols import Backend
from inprocml.values import Tensors

__all__ = ["check_inputs", "compute", "cut", "failed", "join", "receive"]

_ANY = Shapes()


def check_inputs(inputs: Tensors, rows: int) -> None:
    """Refuse tensors whose first axis is not ``rows``: joined, they would shift the answers of others."""
    if rows < 1:
        raise ValueError(f"rows is {rows} and must be at least 1")
    for name, array in inputs.items():
        shape = array.shape
        if not shape or shape[0] != rows:
            raise ValueError(
                f"input {name!r} has shape {shape}; its first axis must be the {rows} rows of this call"
            )


def join(parts: Sequence[Tensors], shapes: Shapes = _ANY) -> Tensors:
    """Put the tensors of several callers one after the other, name by name.

    Shapes (but for the rows), dtypes and names must agree; ``ValueError`` or ``TypeError`` otherwise. No
    dtype is converted: a caller's answer must not depend on who shares its batch. Lengths may differ where
    ``shapes`` says so: shorter rows end in the padding that it names.

    Always a new array, though a kept one would save a twentieth of the copying: observers may keep a batch's
    inputs, and nobody may see them change.
    """
    first = parts[0]
    if any(part.keys() != first.keys() for part in parts):
        raise ValueError(f"the callers of one batch name different inputs than {sorted(first)}")
    joined = {}
    for name, array in first.items():
        arrays = [part[name] for part in parts]
        how = shapes.ragged.get(name)
        if how is not None:
            length = shapes.longest(name, arrays)
            arrays = [lengthened(one, length, how) for one in arrays]
        joined[name] = np.concatenate(arrays, dtype=array.dtype, casting="no")
    return joined


def compute(backend: Backend, inputs: Tensors, rows: int, *, model: str) -> Tensors:
    """Run the backend and check its answer; an ``Exception`` from it becomes ``BackendFailed``."""
    try:  # as in ``receive``: a call more is felt by a lone caller
        outputs = backend.run(inputs)
    except BackendFailed:
        raise
    except Exception as error:
        raise failed(backend, model, f"raised {type(error).__name__}") from error
    return _checked(backend, outputs, rows, model)


def receive(backend: Backend, land: Callable[[], Tensors], rows: int, *, model: str) -> Tensors:
    """Return what a flight brings, if it is an answer to ``rows`` rows; else raise ``BackendFailed``."""
    try:
        outputs = land()
    except BackendFailed:
        raise
    except Exception as error:
        raise failed(backend, model, f"raised {type(error).__name__}") from error
    return _checked(backend, outputs, rows, model)


def _checked(backend: Backend, outputs: Tensors, rows: int, model: str) -> Tensors:
    if type(outputs) is not dict and not isinstance(outputs, Mapping):
        raise failed(backend, model, f"answered with {type(outputs).__name__}, not a mapping of arrays")
    if not outputs:
        raise failed(backend, model, "answered with no output")
    for name, array in outputs.items():
        if not isinstance(array, np.ndarray):
            raise failed(backend, model, f"gave output {name!r} as {type(array).__name__}, not an array")
        if not array.shape or array.shape[0] != rows:
            raise failed(backend, model, f"gave output {name!r} shape {array.shape} for {rows} rows")
    return outputs


def failed(backend: Backend, model: str, what: str) -> BackendFailed:
    """Name the model, the runtime and the device; the runtime's own words stay in ``__cause__``."""
    return BackendFailed(
        f"model {model!r}: the {backend.name} backend on {backend.device} {what}; "
        "see the cause, and check the model against the features it is sent"
    )


def cut(outputs: Tensors, start: int, rows: int) -> Tensors:
    """Copy one caller's rows out of a batch.

    A copy, not a view: a view kept by one caller would hold the whole batch in memory, and writing to it
    would reach into an array that others read.
    """
    own = {}
    for name, array in outputs.items():
        own[name] = array[start : start + rows].copy()
    return own
