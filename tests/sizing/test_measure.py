"""Measuring: what was asked is run, what cannot run is said, callers see what happens to them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tests.sizing.kit import Echo

from inprocml.batching import Result
from inprocml.errors import BackendFailed, Overloaded
from inprocml.sizing import BundleSubject, measure
from inprocml.sizing.drive import closed_loop, open_loop
from inprocml.testing import FakeBackend

ANSWER = Result({}, 0.0, inline=True, batch_rows=1)


def test_powers_of_two_and_the_last_are_measured_in_turn():
    subject = Echo()
    found = measure(subject, max_batch_size=12, seconds=0.2)
    assert found.timing.sizes == (1, 2, 4, 8, 12)
    assert found.notes == ()
    ran = subject.backend.batches
    assert set(ran) <= {1, 2, 4, 8, 12}
    rounds = ran[3 * 5 :][:15]
    assert rounds == [1, 2, 4, 8, 12] * 3
    told = found.to_dict()
    assert told["sizes"][0]["rows"] == 1
    assert told["overhead"].keys() == {"before", "after", "call", "hand", "wake"}
    assert all(seconds > 0 for seconds in told["overhead"].values())


def test_sizes_that_do_not_run_are_left_out_and_named():
    def narrow(inputs):
        return MemoryError("too wide") if len(inputs["features"]) > 4 else None

    found = measure(Echo(FakeBackend(fault=narrow)), max_batch_size=64, seconds=0.2)
    assert found.timing.sizes == (1, 2, 4)
    assert found.notes == ("batches of 8 rows and more do not run here (MemoryError)",)


def test_sizes_that_are_too_slow_are_left_out_and_named():
    pause = threading.Event()

    def slow(inputs):
        pause.wait(0.01 * len(inputs["features"]))
        return {"features": inputs["features"].copy()}

    found = measure(Echo(FakeBackend(slow)), max_batch_size=1024, seconds=0.5)
    assert found.timing.sizes[0] == 1
    assert found.timing.sizes[-1] < 64
    assert "were not measured" in found.notes[0]


def test_a_model_that_runs_no_row_says_so():
    broken = FakeBackend(fault=lambda _: RuntimeError("no such kernel"))
    with pytest.raises(BackendFailed, match="echo 1: not one row runs .RuntimeError: no such kernel"):
        measure(Echo(broken), seconds=0.2)


def test_a_bundle_is_measured_with_its_golden_rows(_packed):
    from inprocml.bundle import Bundle

    subject = BundleSubject.open(Bundle.open(_packed / "1"), threads=1)
    try:
        rows = len(subject.bundle.golden.rows)
        (batch,) = subject.batch(2 * rows).values()
        assert len(batch) == 2 * rows
        assert np.array_equal(batch[:rows], batch[rows:])
        for number in (0, rows - 1, rows):
            outputs = subject.backend.run(subject.encode(number))
            value, *_ = subject.decode(outputs)
            assert value in {"ok", "fraud"}
            (one,) = subject.encode(number).values()
            assert np.array_equal(one[0], batch[number])
        assert measure(subject, max_batch_size=4, seconds=0.2).backend == "onnx"
    finally:
        subject.close()


def test_every_request_of_a_closed_loop_is_counted_once():
    numbers: list[int] = []

    def ask(number):
        numbers.append(number)
        if number % 5 == 4:
            raise Overloaded("full")
        return ANSWER

    seen = closed_loop(ask, callers=4, seconds=0.1, think=0.001)
    assert sorted(numbers) == list(range(len(numbers)))
    assert seen.answered + seen.refused == len(numbers)
    assert seen.refused == len(numbers) // 5
    assert seen.mean_batch == 1


def test_an_open_loop_asks_at_its_rate_whatever_is_answered():
    asked: list[int] = []
    seen = open_loop(lambda number: asked.append(number) or ANSWER, rate=1000.0, seconds=0.5, seed=1)
    again = open_loop(lambda _: ANSWER, rate=1000.0, seconds=0.5, seed=1)
    assert seen.answered == again.answered == len(set(asked))
    assert 400 < seen.answered < 600  # by chance, but seeded: no clock decides it


def test_who_comes_late_counts_from_when_it_was_due():
    """One caller, 10 ms each, 200 a second: each is later than the one before."""
    pause = threading.Event()
    seen = open_loop(lambda _: pause.wait(0.01) or ANSWER, rate=200.0, seconds=0.3, callers=1)
    assert seen.latencies[-1] > 10 * 0.01


def test_what_a_caller_raises_ends_the_loop_and_is_raised():
    def ask(number):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        closed_loop(ask, callers=8, seconds=30.0)
    with pytest.raises(ZeroDivisionError, match="mine"):
        open_loop(ask, rate=10.0, seconds=30.0)


def test_a_device_is_prepared_as_when_a_model_loads(_packed, monkeypatch):
    """Golden rows and the largest batch reach a GPU's backend; one that cannot be prepared is closed."""
    from inprocml.backends import open_backend
    from inprocml.bundle import Bundle
    from inprocml.sizing import subject as subject_module

    opened = []

    class Prepared:
        name, device = "onnx", "cuda:0"

        def __init__(self, *given, device, **named):
            self.real, self.closed, self.prepared = open_backend(*given, **named), False, None
            self.run = self.real.run
            assert device == "cuda"
            opened.append(self)

        def prepare(self, rows, most):
            self.prepared = ({name: len(array) for name, array in rows.items()}, most)
            if most > 99:
                raise MemoryError

        def close(self):
            self.closed = True
            self.real.close()

    monkeypatch.setattr(subject_module, "open_backend", Prepared)
    bundle = Bundle.open(_packed / "1")
    subject = BundleSubject.open(bundle, device="cuda", max_batch_size=16)
    (given,) = bundle.inputs.values()
    assert opened[0].prepared == ({given: len(bundle.golden.rows)}, 16)
    subject.close()
    with pytest.raises(MemoryError):
        BundleSubject.open(bundle, device="cuda", max_batch_size=100)
    assert [one.closed for one in opened] == [True, True]
