"""Public test kit: a clock moved by hand, a backend that fails on demand, suites that check a plug.

Nothing here needs pytest: a failed check is an ``AssertionError`` that says what was broken and by whom.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from inprocml.errors import BundleError, UnknownVersion
from inprocml.protocols import Backend, Observer, Source
from inprocml.values import BatchRecord, Tensors, Version

__all__ = ["FakeBackend", "ManualClock", "check_backend", "check_observer", "check_source", "poisoned"]


class ManualClock:
    """Monotonic seconds that stand still until ``advance`` is called.

    Whoever waits on this clock subscribes, so that a jump is acted upon at once and no test has to sleep.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._callbacks: list[weakref.WeakMethod[Callable[[], None]]] = []

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by ``seconds`` (0 or more), then tell everybody who waits."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock cannot go back by {-seconds} s")
        self._now += seconds
        for reference in list(self._callbacks):
            callback = reference()
            if callback is None:
                self._callbacks.remove(reference)
            else:
                callback()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call a bound method after every jump, for as long as its object lives."""
        self._callbacks.append(weakref.WeakMethod(callback))


class FakeBackend:
    """A backend in plain Python that does as it is told.

    ``fn`` maps inputs to outputs; by default every input comes back under its own name, so that an answer
    identifies its question. ``fault`` may return an exception to raise instead (see ``poisoned``); it may be
    changed at any time. With ``clock`` and ``seconds``, every run takes that long on a ``ManualClock``.

    ``batches`` lists the rows of each run, ``threads`` the names of the threads that ran them,
    ``most_at_once`` the largest number of runs in progress together: more than 1 breaks the protocol.
    """

    def __init__(
        self,
        fn: Callable[[Tensors], Tensors] | None = None,
        *,
        fault: Callable[[Tensors], BaseException | None] | None = None,
        clock: ManualClock | None = None,
        seconds: float = 0.0,
        name: str = "fake",
        device: str = "cpu",
    ) -> None:
        self.fault = fault
        self.batches: list[int] = []
        self.threads: list[str] = []
        self.most_at_once = 0
        self.closed = False
        self._fn = fn or _echo
        self._clock = clock
        self._seconds = seconds
        self._name, self._device = name, device
        self._at_once = 0
        self._changed = threading.Condition()
        self._held = False

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self._name

    @property
    def device(self) -> str:
        """Where it says it runs."""
        return self._device

    def run(self, inputs: Tensors) -> Tensors:
        """Answer, fail or wait, as told."""
        with self._changed:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.batches.append(len(next(iter(inputs.values()), ())))
            self.threads.append(threading.current_thread().name)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._held)
        try:
            return self._run(inputs)
        finally:
            with self._changed:
                self._at_once -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Refuse to run from now on."""
        self.closed = True

    @contextmanager
    def hold(self) -> Iterator[FakeBackend]:
        """Keep every run from ending until the block is left."""
        with self._changed:
            self._held = True
        try:
            yield self
        finally:
            with self._changed:
                self._held = False
                self._changed.notify_all()

    def wait_running(self, timeout: float = 10.0) -> None:
        """Return once a run is in progress; ``TimeoutError`` after ``timeout`` real seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._at_once > 0, timeout):
                raise TimeoutError(f"no run began within {timeout} s")

    def _run(self, inputs: Tensors) -> Tensors:
        if self.closed:
            raise RuntimeError("the fake backend is closed")
        if not inputs:
            raise ValueError("the fake backend got no input")
        if self._clock is not None:
            self._clock.advance(self._seconds)
        error = None if self.fault is None else self.fault(inputs)
        if error is not None:
            raise error
        return self._fn(inputs)


def _echo(inputs: Tensors) -> Tensors:
    return {name: array.copy() for name, array in inputs.items()}


def poisoned(
    value: float, error: type[BaseException] = RuntimeError
) -> Callable[[Tensors], BaseException | None]:
    """Return a ``fault`` that raises ``error`` for every batch holding ``value`` in any of its numbers."""

    def fault(inputs: Tensors) -> BaseException | None:
        if any((array == value).any() for array in inputs.values()):
            return error("a row of this batch is poisoned")
        return None

    return fault


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


def check_source(source: Source) -> None:
    """Check that ``source``, which holds at least one version, keeps the ``Source`` protocol.

    Names are unique and listing changes nothing; each version listed is fetched under its own name, to a path
    that is there; an unknown name raises ``UnknownVersion`` or ``BundleError``. Raises ``AssertionError``.
    """
    who = type(source).__name__
    assert isinstance(source, Source), f"{who} lacks a member of inprocml.protocols.Source"
    listed = list(source.versions())
    assert listed, f"{who} lists no version; check_source needs at least one"
    for version in listed:
        assert isinstance(version, Version), f"{who}.versions() gave {type(version).__name__}, not Version"
    names = [version.name for version in listed]
    assert len(set(names)) == len(names), f"{who}.versions() names a version twice: {names}"
    for name in names:
        fetched = source.fetch(name)
        assert fetched.name == name, f"{who}.fetch({name!r}) gave version {fetched.name!r}"
        assert fetched.path.exists(), f"{who}.fetch({name!r}) gave a path that is not there: {fetched.path}"
    assert [v.name for v in source.versions()] == names, f"{who} lists other versions once they are fetched"
    for alias, meant in source.aliases().items():
        assert isinstance(meant, Version), f"{who}.aliases() gave {type(meant).__name__} for {alias!r}"
    unknown = "".join(names) + "-unknown"
    try:
        source.fetch(unknown)
    except (BundleError, UnknownVersion):
        return
    except Exception as error:
        raise AssertionError(f"{who}.fetch of an unknown version raised {type(error).__name__}") from error
    raise AssertionError(f"{who}.fetch({unknown!r}) gave a version that it does not list")


def check_observer(observer: Observer, inputs: Tensors, *, patience: float = 5.0) -> None:
    """Check that ``observer`` keeps the ``Observer`` protocol. Raises ``AssertionError``.

    It takes records of inline runs, of batches and of failures, from several threads at once, of which each
    must be done within ``patience`` seconds; it raises nothing and leaves the read-only inputs alone.
    """
    who = type(observer).__name__
    assert isinstance(observer, Observer), f"{who} lacks a member of inprocml.protocols.Observer"
    rows = len(next(iter(inputs.values())))
    frozen = {name: array.copy() for name, array in inputs.items()}
    one = {name: array[:1].copy() for name, array in inputs.items()}
    for array in (*frozen.values(), *one.values()):
        array.flags.writeable = False
    records = (
        BatchRecord(1, 1, 0.001, inline=True, inputs=one),
        BatchRecord(rows, rows, 0.002, inline=False, inputs=frozen),
        BatchRecord(rows, 1, 0.0, inline=False, inputs=frozen, error="BackendFailed"),
    )
    faults: list[Exception] = []

    def watch() -> None:
        try:
            for record in records:
                observer.observe(record)
        except Exception as error:  # noqa: BLE001  carried to the caller's thread
            faults.append(error)

    threads = [threading.Thread(target=watch, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
        assert not thread.is_alive(), f"{who}.observe blocks: not done after {patience} s"
    if faults:
        raise AssertionError(f"{who}.observe raised {type(faults[0]).__name__}") from faults[0]
    for name, array in frozen.items():
        assert np.array_equal(array, inputs[name]), f"{who}.observe changed input {name!r}"


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
