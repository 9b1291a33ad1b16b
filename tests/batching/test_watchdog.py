"""Runs that never return, and devices that are lost: callers are told, and nothing in use is freed."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.batching.callers import PATIENCE, Caller, features, line_up, until

from inprocml.batching import Drained, Runner
from inprocml.batching.watchdog import watchdog
from inprocml.errors import BackendFailed, DeviceLost
from inprocml.testing import FakeBackend, ManualClock


def hung(backend, clock=None):
    """A runner whose worker is inside a run of two rows that does not return."""
    runner = Runner(backend, name="late", run_timeout=10.0, **({"clock": clock} if clock else {}))
    with backend.hold():
        first = Caller(runner, 0)
        backend.wait_running()
        batch = line_up(runner, 1, 2)
        backend.batches.clear()
    first.said()
    return runner, batch


class Stuck(FakeBackend):
    """Hangs on every batch of more than one row until it is let go."""

    def __init__(self):
        self.go = threading.Event()
        super().__init__(self.compute)

    def compute(self, inputs):
        if len(inputs["x"]) > 1:
            self.go.wait(PATIENCE)
        return {"x": inputs["x"].copy()}


def test_a_batch_that_never_returns_fails_its_callers_and_sends_the_others_elsewhere():
    clock, backend = ManualClock(), Stuck()
    runner, batch = hung(backend, clock)
    until(lambda: backend.batches == [2])
    behind = line_up(runner, 3, 4)
    clock.advance(9)
    assert runner.lost is None
    clock.advance(2)
    for caller in batch:
        assert isinstance(caller.said(), BackendFailed)
        assert "'late'" in str(caller.outcome)
        assert "has not returned for 11.0 s" in str(caller.outcome)
    for caller in behind:
        assert isinstance(caller.said(), Drained)
    with pytest.raises(Drained):
        runner.run(features(5))
    assert isinstance(runner.lost, BackendFailed)
    assert not runner.close(0.05), "the backend may be freed under a run"
    assert not runner.close(), "without a limit, too, a thread that does not return is not waited for"
    backend.go.set()
    until(lambda: runner.close(0.05))


def test_an_inline_run_that_never_returns_fails_nobody_behind_it_and_keeps_its_backend():
    clock, backend = ManualClock(), FakeBackend()
    runner = Runner(backend, clock=clock, run_timeout=10.0)
    with backend.hold():
        first = Caller(runner, 1)
        backend.wait_running()
        behind = line_up(runner, 2, 3)
        clock.advance(11)
        assert all(isinstance(caller.said(), Drained) for caller in behind)
        assert not runner.close(0.05)
    assert first.said() == 1.0, "who computes itself has its answer when the model returns"
    assert runner.close(PATIENCE)


def test_a_long_batch_of_a_slow_model_is_no_hang():
    clock = ManualClock()
    backend = FakeBackend(clock=clock, seconds=5.0)
    runner = Runner(backend, clock=clock, run_timeout=10.0)
    runner.run(features(0))  # one row takes 5 s
    with backend.hold():
        first = Caller(runner, 1)
        backend.wait_running()
        clock.advance(49)  # ten times as long
        assert runner.lost is None
    assert first.said() == 1.0
    assert runner.close(PATIENCE)


def test_coroutines_are_told_too():
    async def ask():
        clock, backend = ManualClock(), Stuck()
        runner = Runner(backend, clock=clock, run_timeout=1.0)
        asked = [asyncio.ensure_future(runner.arun(features(1, 2), rows=2)) for _ in range(2)]
        await asyncio.to_thread(until, lambda: backend.batches)
        clock.advance(2)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [BackendFailed, Drained]
        backend.go.set()
        await asyncio.to_thread(until, lambda: runner.close(0.05))

    asyncio.run(ask())


def test_in_real_time_a_thread_watches_and_sleeps_when_nothing_runs():
    backend = Stuck()
    runner = Runner(backend, run_timeout=1.0)
    with backend.hold():
        Caller(runner, 0)
        backend.wait_running()
        callers = line_up(runner, 1, 2)
        assert not watchdog().asleep
    for caller in callers:
        assert isinstance(caller.said(), BackendFailed)
    backend.go.set()
    until(lambda: runner.close(0.05))
    until(lambda: watchdog().asleep)


def test_a_lost_device_ends_the_runner_and_nobody_is_computed_one_by_one():
    def fault(inputs):
        return (
            DeviceLost("CUDA error: an illegal memory access was encountered") if 13 in inputs["x"] else None
        )

    backend = FakeBackend(fault=fault)
    runner = Runner(backend, max_batch_size=2)
    with backend.hold():
        first = Caller(runner, 0)
        backend.wait_running()
        callers = line_up(runner, 13, 1, 2, 3)
    assert first.said() == 0.0
    assert [type(caller.said()) for caller in callers] == [DeviceLost, DeviceLost, Drained, Drained]
    assert backend.batches == [1, 2]
    assert isinstance(runner.lost, DeviceLost)
    assert runner.close(PATIENCE)


def test_a_device_lost_inline_ends_the_runner_as_well():
    runner = Runner(FakeBackend(fault=lambda _: DeviceLost("gone")))
    with pytest.raises(DeviceLost):
        runner.run(features(1))
    assert isinstance(runner.lost, DeviceLost)
    with pytest.raises(Drained):
        runner.run(features(1))
    assert runner.close(PATIENCE)
