"""Whether a backend keeps its protocol."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from inprocml.protocols import Backend
from inprocml.values import Tensors

__all__ = ["check_backend"]


def check_backend(
    backend: Backend,
    inputs: Tensors,
    *,
    expected: Tensors | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    """Check that ``backend`` keeps the ``Backend`` protocol, and close it. Raises ``AssertionError``.

    ``inputs`` are at least two different rows that it can compute; ``expected`` what it must answer. Beside
    names and shapes: rows do not depend on each other, answers are not overwritten by later runs, inputs
    are left alone and may be read-only, any thread may call, a failed run breaks nothing, ``close`` may be
    called twice and ends it.
    """
    _check_identity(backend)
    rows = len(next(iter(inputs.values())))
    assert rows >= 2, "check_backend needs at least two rows to tell rows apart"
    before = {name: array.copy() for name, array in inputs.items()}
    outputs = _run(backend, inputs)
    _same(backend, "changed its inputs", inputs, before, 0, 0)
    if expected is not None:
        _same(backend, "gave another answer than expected", outputs, expected, rtol, atol)
    _check_freshness(backend, inputs, outputs)
    _check_independence(backend, inputs, outputs, rtol, atol)
    _check_threads(backend, inputs, outputs, rtol, atol)
    _check_failure(backend, inputs, outputs, rtol, atol)
    backend.close()
    backend.close()
    assert _raises(backend, inputs), f"backend {backend.name!r} still runs after close()"


def _check_identity(backend: Backend) -> None:
    assert isinstance(backend, Backend), (
        f"{type(backend).__name__} lacks a member of inprocml.protocols.Backend"
    )
    for word in ("name", "device"):
        value = getattr(backend, word)
        assert isinstance(value, str), f"{type(backend).__name__}.{word} is {type(value).__name__}, not str"
        assert value, f"{type(backend).__name__}.{word} is empty"


def _check_independence(
    backend: Backend, inputs: Tensors, outputs: Tensors, rtol: float, atol: float
) -> None:
    for row in range(min(len(next(iter(inputs.values()))), 8)):
        alone = _run(backend, {name: array[row : row + 1] for name, array in inputs.items()})
        batch = {name: array[row : row + 1] for name, array in outputs.items()}
        _same(backend, f"answers row {row} differently alone and in a batch", alone, batch, rtol, atol)


def _check_freshness(backend: Backend, inputs: Tensors, outputs: Tensors) -> None:
    kept = {name: array.copy() for name, array in outputs.items()}
    again = _run(backend, {name: np.ascontiguousarray(array[::-1]) for name, array in inputs.items()})
    _same(backend, "overwrote an earlier answer in a later run", outputs, kept, 0, 0)
    for name, array in again.items():
        shared = np.shares_memory(array, outputs[name])
        assert not shared, f"backend {backend.name!r} gave two answers in the same memory (output {name!r})"


def _check_threads(backend: Backend, inputs: Tensors, outputs: Tensors, rtol: float, atol: float) -> None:
    locked = {name: array.copy() for name, array in inputs.items()}
    for array in locked.values():
        array.flags.writeable = False
    answers: list[Any] = []

    def call() -> None:
        try:
            answers.append(backend.run(locked))
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread
            answers.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    answer = answers[0]
    if isinstance(answer, BaseException):
        fault = f"backend {backend.name!r} failed on read-only inputs in another thread"
        raise AssertionError(fault) from answer  # noqa: TRY004  a failed check
    _same(backend, "answers differently in another thread", answer, outputs, rtol, atol)


def _check_failure(backend: Backend, inputs: Tensors, outputs: Tensors, rtol: float, atol: float) -> None:
    assert _raises(backend, {}), f"backend {backend.name!r} answered though it got no input"
    _same(backend, "answers differently after a failed run", _run(backend, inputs), outputs, rtol, atol)


def _raises(backend: Backend, inputs: Tensors) -> bool:
    try:
        backend.run(inputs)
    except Exception:  # noqa: BLE001  which one is the runtime's own affair
        return True
    return False


def _run(backend: Backend, inputs: Tensors) -> Tensors:
    rows = len(next(iter(inputs.values())))
    outputs = backend.run(inputs)
    assert isinstance(outputs, Mapping), f"backend {backend.name!r} answered with {type(outputs).__name__}"
    assert outputs, f"backend {backend.name!r} answered with no output"
    for name, array in outputs.items():
        assert isinstance(array, np.ndarray), f"output {name!r} is {type(array).__name__}, not an array"
        assert array.shape[:1] == (rows,), f"output {name!r} has shape {array.shape} for {rows} rows"
    return outputs


def _same(backend: Backend, fault: str, ours: Tensors, theirs: Tensors, rtol: float, atol: float) -> None:
    assert ours.keys() == theirs.keys(), f"backend {backend.name!r} {fault}: {set(ours)} and {set(theirs)}"
    for name, array in ours.items():
        np.testing.assert_allclose(
            array, theirs[name], rtol=rtol, atol=atol, err_msg=f"backend {backend.name!r} {fault}: {name!r}"
        )
