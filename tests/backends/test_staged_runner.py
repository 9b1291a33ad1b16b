"""The runner over a staged backend: many callers, two batches in flight, every answer to its question."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from inprocml.backends.staged import Staged
from inprocml.batching import Runner
from inprocml.errors import BackendFailed, DeviceLost, Unavailable
from inprocml.testing import SimulatedDevice


def square(inputs):
    return {"features": inputs["features"] ** 2}


def row(number):
    return {"features": np.array([[number, number + 0.25]], np.float32)}


def opened(**options):
    staged = Staged(SimulatedDevice(square, **options))
    staged.prepare(row(1.0), 16)
    return staged, Runner(staged, name="staged", max_batch_size=16)


def crowd(runner, callers, each):
    """Every caller asks ``each`` questions; returns what went wrong."""
    wrong, errors = [], []

    def call(start):
        for number in range(start, start + each):
            try:
                answer = runner.run(row(float(number))).outputs["features"]
            except (BackendFailed, Unavailable) as error:
                errors.append(error)
                continue
            if not np.array_equal(answer, row(float(number))["features"] ** 2):
                wrong.append(number)

    threads = [threading.Thread(target=call, args=(1000 * index,)) for index in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    return errors


def test_a_crowd_gets_its_own_answers_in_batches():
    staged, runner = opened()
    before = len(staged.accelerator.runs)
    assert crowd(runner, 16, 30) == []
    runs = staged.accelerator.runs[before:]
    assert sum(runs) >= 480
    assert set(runs) <= {1, 2, 4, 8, 16}
    staged.accelerator.check()
    assert runner.close(20)


def test_a_crowd_on_a_device_that_runs_out_of_memory_gets_its_answers_too():
    staged, runner = opened(workspace=10_000, memory=2_000_000)
    free, _ = staged.accelerator.memory()
    staged.accelerator.others = free - 15_000
    assert crowd(runner, 12, 20) == []
    staged.accelerator.check()
    assert runner.close(20)


def test_one_poisoned_row_fails_its_caller_alone():
    staged, runner = opened()
    staged.accelerator.poison = 3005.0
    errors = crowd(runner, 8, 20)
    assert len(errors) == 1
    assert runner.close(20)


def test_a_lost_device_fails_all_and_hangs_nobody():
    staged, runner = opened()
    staged.accelerator.lose(3)
    errors = crowd(runner, 8, 5)
    assert any(isinstance(error, DeviceLost) for error in errors)
    assert not staged.healthy
    with pytest.raises((BackendFailed, Unavailable)):
        runner.run(row(1.0))
