"""``predict_many`` over a device that holds two batches: the next is copied in while one computes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.conftest import make_rows

from inprocml import Model
from inprocml.backends import open_backend
from inprocml.backends.staged import Staged
from inprocml.testing import SimulatedDevice, overlap

ROWS, _ = make_rows(1000, seed=3)


@pytest.fixture
def opened(_packed):
    """A model on a simulated device, on which a copy takes as long as a run; and that device."""
    devices = []

    def backend(bundle):
        plain = open_backend(bundle.runtime, bundle.model)
        device = SimulatedDevice(
            plain.run, inputs=plain.inputs, outputs=plain.outputs, a=1e-3, c=0.0, bandwidth=256e3
        )
        devices.append(device)
        return Staged(device)

    with Model(_packed / "1", backend=backend, max_batch_size=16) as model:
        model.predict(ROWS[0])
        yield model, devices[0]


@pytest.mark.parametrize("errors", ["keep", "raise"])
@pytest.mark.parametrize("source", [iter, lambda rows: rows], ids=["iterator", "table"])
def test_two_batches_are_on_their_way(opened, source, errors):
    model, device = opened
    before = len(device.trace)
    answers = list(model.predict_many(source(ROWS), errors=errors))
    assert overlap(device.trace[before:]) > 0.5
    device.check()
    alone = [model.predict(row) for row in ROWS[:100]]
    assert len(answers) == 1000
    assert [answer.value for answer in answers[:100]] == [answer.value for answer in alone]
    np.testing.assert_allclose(
        [answer.probability for answer in answers[:100]], [answer.probability for answer in alone], atol=1e-6
    )


def test_a_stream_reads_no_further_ahead_than_its_blocks(opened):
    model, _ = opened
    taken = itertools.count()
    source = (row for row, _ in zip(itertools.cycle(ROWS), taken, strict=False))
    with model.predict_many(source) as answers:
        for _ in range(20):
            next(answers)
    assert next(taken) <= 3 * 4096
