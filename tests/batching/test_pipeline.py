"""A backend that holds two batches: order, overlap, failures that spoil nobody else's answer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tests.batching.callers import PATIENCE, Caller, line_up, until

from inprocml.batching import Runner
from inprocml.errors import BackendFailed, DeviceLost
from inprocml.protocols import Backend, Pipelined


class Device:
    """Two flights at most; they land when ``go`` is called, in the order in which they started."""

    name, device, depth = "piped", "fake:0", 2

    def __init__(self, sizes=(), *, held=False):
        self.sizes = sizes
        self.started, self.landed, self.most = [], [], 0
        self.flying = 0
        self.gate = threading.Semaphore(0 if held else 10**6)
        self.changed = threading.Condition()

    def start(self, parts, rows):
        values = np.concatenate([part["x"] for part in parts])
        if 7 in values:
            raise ValueError("refused at the start")
        with self.changed:
            self.started.append(rows)
            self.flying += 1
            self.most = max(self.most, self.flying)
            assert self.flying <= self.depth, "more flights than the backend holds"
            number = len(self.started)
            self.changed.notify_all()
        return _Flight(self, values, number)

    def run(self, inputs):
        return self.start([inputs], len(inputs["x"])).wait()

    def close(self):
        pass

    def wait_started(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.started) >= count, PATIENCE)


class _Flight:
    def __init__(self, device, values, number):
        self.device, self.values, self.number = device, values, number

    def wait(self):
        device = self.device
        assert device.gate.acquire(timeout=PATIENCE)
        with device.changed:
            device.flying -= 1
            device.landed.append(self.number)
        if 13 in self.values:
            raise ValueError("a bad row")
        if 66 in self.values:
            raise DeviceLost("gone")
        return {"x": self.values * 2}


def crowd(runner, device, *values):
    """One inline caller holds the device; the others queue up in order; then all may land."""
    first = Caller(runner, 1)
    device.wait_started(1)
    return [first, *line_up(runner, *values)]


def test_it_is_both():
    assert isinstance(Device(), Backend)
    assert isinstance(Device(), Pipelined)


def test_the_next_full_batch_starts_while_one_computes_and_they_land_in_order():
    device = Device(held=True)
    runner = Runner(device, max_batch_size=2)
    callers = crowd(runner, device, 2, 3, 4, 5, 6)
    device.gate.release()  # the inline one
    device.wait_started(3)
    assert device.started == [1, 2, 2]  # two in flight, none has landed
    assert device.landed == [1]
    device.gate.release(10)
    assert [caller.said() for caller in callers] == [2, 4, 6, 8, 10, 12]
    assert device.landed == [1, 2, 3, 4]
    assert device.most == 2
    assert runner.close(PATIENCE)


def test_a_failed_flight_is_computed_one_by_one_after_the_one_behind_it():
    device = Device(held=True)
    runner = Runner(device, max_batch_size=2)
    callers = crowd(runner, device, 13, 3, 4, 5)
    device.gate.release(20)
    outcomes = [caller.said() for caller in callers]
    assert isinstance(outcomes[1], BackendFailed)
    assert [outcome for k, outcome in enumerate(outcomes) if k != 1] == [2, 6, 8, 10]
    assert device.started == [1, 2, 2, 1, 1]
    assert runner.close(PATIENCE)


def test_a_batch_that_cannot_start_is_computed_one_by_one():
    device = Device(held=True)
    runner = Runner(device, max_batch_size=4)
    callers = crowd(runner, device, 7, 8)
    device.gate.release(20)
    outcomes = [caller.said() for caller in callers]
    assert [outcomes[0], outcomes[2]] == [2, 16]
    assert "refused at the start" in str(outcomes[1].__cause__)
    assert runner.close(PATIENCE)


def test_a_lost_device_fails_its_batch_and_what_flies_behind_it_still_lands():
    device = Device(held=True)
    runner = Runner(device, max_batch_size=1)
    callers = crowd(runner, device, 66, 3)
    device.gate.release(20)
    outcomes = [caller.said() for caller in callers]
    assert outcomes[0] == 2
    assert isinstance(outcomes[1], DeviceLost)
    assert outcomes[2] == 6 or type(outcomes[2]).__name__ == "Drained"
    assert runner.close(PATIENCE)


def test_batches_obey_the_sizes_that_the_device_has_now():
    device = Device((1, 2, 4), held=True)
    runner = Runner(device, max_batch_size=64)
    callers = crowd(runner, device, *range(20, 30))
    device.sizes = (1, 2)
    device.gate.release(100)
    assert [caller.said() for caller in callers[1:]] == [2 * k for k in range(20, 30)]
    assert max(device.started) <= 2
    assert runner.close(PATIENCE)


def test_under_load_every_answer_is_its_own():
    device = Device()
    runner = Runner(device, max_batch_size=4)
    wrong = []

    def ask(k):
        for i in range(100):
            value = 100 + 1000 * k + i
            got = runner.run({"x": np.array([[value]])}).outputs["x"].item()
            if got != 2 * value:
                wrong.append((value, got))

    threads = [threading.Thread(target=ask, args=(k,), daemon=True) for k in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not wrong
    assert device.landed == sorted(device.landed)
    assert runner.close(PATIENCE)


@pytest.mark.parametrize("rows", [3, 9])
def test_observers_see_what_the_device_gathered(rows):
    seen = []

    class Observer:
        def observe(self, record):
            seen.append((record.rows, len(record.inputs["x"])))

    runner = Runner(Device(), max_batch_size=4, observers=[Observer()])
    runner.run({"x": np.arange(100, 100 + rows).reshape(-1, 1)}, rows=rows)
    until(lambda: sum(rows for rows, _ in seen) == rows)
    assert all(rows == inputs for rows, inputs in seen)
    assert runner.close(PATIENCE)
