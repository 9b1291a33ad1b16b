"""While one model is recorded CUDA refuses to wait for the device, for all models of a process.

Sources: CUDA Programming Guide, "Prohibited and Unhandled Operations" of stream capture; TensorRT#2888, where
waiting for the device failed with 900 in other threads too, whatever the mode.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

from inprocml.backends.accelerator import Trouble
from inprocml.backends.staged import Staged
from inprocml.testing import SimulatedDevice
from inprocml.testing.device import SimulatedError

ROW = {"features": np.ones((1, 2), np.float32)}


class Context:
    """What the devices of one process have in common: whether a model is being recorded."""

    def __init__(self):
        self.recording = False
        self.began, self.refused = threading.Event(), threading.Event()

    def check(self):
        if self.recording:
            self.refused.set()
            raise SimulatedError("operation not permitted when stream is capturing", Trouble.RECORDING)


class Device(SimulatedDevice):
    """Refuses what CUDA refuses; its own recording takes until ``meanwhile`` has been called."""

    def __init__(self, shared, meanwhile=lambda: None):
        super().__init__()
        self.shared, self.meanwhile = shared, meanwhile

    def capture(self, stream, inputs):
        self.shared.recording = True
        self.meanwhile()
        self.shared.recording = False
        return super().capture(stream, inputs)

    def synchronise(self, event):
        self.shared.check()
        super().synchronise(event)

    def drain(self):
        self.shared.check()
        super().drain()

    def release(self):
        self.shared.check()
        super().release()

    def block(self, size):
        self.shared.check()
        return super().block(size)


def test_a_run_that_fails_while_another_model_is_recorded_loses_no_device(caplog):
    shared = Context()
    ours = Staged(Device(shared))
    expected = ours.run(ROW)

    def meanwhile():
        shared.began.set()
        shared.refused.wait(20)

    ours.accelerator.fail()
    flight = ours.start([ROW], 1)
    other = Staged(Device(shared, meanwhile))
    beside = threading.Thread(target=other.prepare, args=(ROW, 1))
    beside.start()
    assert shared.began.wait(20)
    with pytest.raises(SimulatedError, match="fails"):
        flight.wait()
    beside.join(20)
    assert ours.healthy
    np.testing.assert_array_equal(ours.run(ROW)["features"], expected["features"])


def test_a_batch_that_ends_while_another_model_is_recorded_is_answered():
    shared = Context()
    ours = Staged(Device(shared))

    def meanwhile():
        shared.began.set()
        shared.refused.wait(20)

    flight = ours.start([ROW], 1)
    beside = threading.Thread(target=Staged(Device(shared, meanwhile)).prepare, args=(ROW, 1))
    beside.start()
    assert shared.began.wait(20)
    np.testing.assert_array_equal(flight.wait()["features"], ROW["features"])
    beside.join(20)
    assert shared.refused.is_set()
    assert ours.healthy


def test_a_warm_up_disturbs_no_recording_of_another_model():
    shared = Context()
    second = Staged(Device(shared))
    threads = []

    def meanwhile():
        if not threads:
            threads.append(threading.Thread(target=second.prepare, args=(ROW, 4)))
            threads[0].start()
            shared.refused.wait(0.2)

    first = Staged(Device(shared, meanwhile))
    first.prepare(ROW, 4)
    threads[0].join(20)
    assert not shared.refused.is_set()
    assert first.recorded == second.recorded == (1, 2, 4)
