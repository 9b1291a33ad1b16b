"""Models that take turns at one device: nobody waits for whoever waits for him, and waiting is no hang."""

from __future__ import annotations

import threading
import time

import numpy as np
from tests.batching.callers import PATIENCE, Caller, until
from tests.batching.test_pipeline import Device

from inprocml.batching import Runner, Turns
from inprocml.testing import FakeBackend, ManualClock


def crowded(runner, backend, callers):
    """Full batches, one behind the other, behind an inline caller."""
    values = [Caller(runner, k) for k in range(100, 101 + callers)]
    backend.wait_started(1)
    until(lambda: runner.depth >= callers)
    return values


def test_two_models_with_two_flights_each_never_wait_for_one_another():
    turns = Turns(2)
    devices = [Device(held=True), Device(held=True)]
    runners = [Runner(device, max_batch_size=2, turn=turns.join()) for device in devices]
    crowds = [crowded(*pair, 12) for pair in zip(runners, devices, strict=True)]
    for device in devices:
        device.gate.release(100)
    for callers in crowds:
        assert [caller.said() for caller in callers] == [2 * k for k in range(100, 113)]
    assert all(runner.close(PATIENCE) for runner in runners)
    assert not turns._holders
    assert not turns._waiting


def test_a_model_that_waits_for_its_turn_is_not_stuck_and_does_not_pay_for_the_wait():
    clock, turns = ManualClock(), Turns()
    long, backend = turns.join(), FakeBackend(clock=clock, seconds=1.0)
    place = turns.join()
    runner = Runner(backend, clock=clock, turn=place, run_timeout=10.0)
    assert long.claim("a long run")
    answers = []
    x = {"x": np.ones((1, 1))}
    caller = threading.Thread(target=lambda: answers.append(runner.run(x)), daemon=True)
    caller.start()
    until(lambda: turns._waiting)
    clock.advance(60)
    assert runner.lost is None
    long.release("a long run", 60.0)
    caller.join(PATIENCE)
    assert answers[0].outputs["x"].item() == 1.0
    assert place.virtual <= 1.0
    assert runner.close(PATIENCE)


def test_a_pipelined_model_does_not_pay_for_its_wait():
    turns, device = Turns(1), Device()
    long, place = turns.join(), turns.join()
    runner = Runner(device, turn=place)
    assert long.claim("a long run")
    caller = Caller(runner, 4)
    until(lambda: turns._waiting)
    time.sleep(0.3)
    long.release("a long run", 0.3)
    assert caller.said() == 8
    assert place.virtual < 0.2
    assert runner.expected() < 0.2
    assert runner.close(PATIENCE)
