"""Rows of several lengths in one queue: who shares a batch, and what a device that gathers by itself gets."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from inprocml.batching import Ragged, Runner, Shapes
from inprocml.testing import FakeBackend

SHAPES = {"ids": Ragged(0)}


def text(length):
    return {"ids": np.arange(1, length + 1, dtype=np.int64)[None]}


def doubled(inputs):
    return {"tags": inputs["ids"] * 2}


class Device(FakeBackend):
    """Gathers the callers' tensors itself, and keeps in mind what it was given."""

    depth = 2
    sizes = ()

    def __init__(self):
        super().__init__(doubled)
        self.parts = []

    def start(self, parts, rows):
        self.parts.append([part["ids"].shape for part in parts])
        joined = {"ids": np.concatenate([part["ids"] for part in parts])}
        assert len(joined["ids"]) == rows
        flight = type("Flight", (), {"wait": lambda _: self.run(joined)})
        return flight()


def ask_all(runner, backend, lengths):
    """One caller a thread, all but the first while the device is busy; their answers."""
    found = [None] * len(lengths)

    def ask(place):
        found[place] = runner.run(text(lengths[place])).outputs["tags"]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(lengths))]
    with backend.hold():
        threads[0].start()
        backend.wait_running()
        for thread in threads[1:]:
            thread.start()
        while runner.depth < len(lengths) - 1:
            pass
    for thread in threads:
        thread.join()
    runner.close()
    return found


LENGTHS = [5, 6, 300, 7, 310, 8, 350, 3]


def test_a_long_text_does_not_lengthen_the_batch_of_short_ones():
    ran = []
    backend = FakeBackend(lambda inputs: (ran.append(inputs["ids"].shape), doubled(inputs))[1])
    runner = Runner(backend, max_batch_size=8, shapes=Shapes(SHAPES, fixed=True, follows={"tags": "ids"}))
    found = ask_all(runner, backend, LENGTHS)
    assert ran[0] == (1, 5)
    assert sorted(ran[1:]) == [(3, 350), (4, 8)]
    assert [answer.tolist() for answer in found] == [(text(length)["ids"] * 2).tolist() for length in LENGTHS]


def test_a_device_that_gathers_by_itself_gets_one_length_a_batch_the_groups_own():
    device = Device()
    shapes = Shapes(SHAPES, fixed=True, whole=True, follows={"tags": "ids"})
    found = ask_all(Runner(device, max_batch_size=8, shapes=shapes), device, LENGTHS)
    assert sorted(device.parts) == [[(1, 8)] * 4, [(1, 384)] * 3]
    assert [answer.tolist() for answer in found] == [(text(length)["ids"] * 2).tolist() for length in LENGTHS]


def test_pictures_of_another_size_wait_for_their_own_batch():
    ran = []
    backend = FakeBackend(lambda inputs: (ran.append(inputs["ids"].shape), doubled(inputs))[1])
    lengths = [4, 4, 6, 4, 6]
    found = ask_all(Runner(backend, max_batch_size=8, shapes=Shapes()), backend, lengths)
    assert ran[0] == (1, 4)
    assert sorted(ran[1:]) == [(2, 4), (2, 6)]
    assert [answer.shape[1] for answer in found] == lengths


def test_an_input_without_its_length_is_refused_before_it_queues():
    runner = Runner(FakeBackend(doubled), shapes=Shapes(SHAPES, fixed=True))
    with pytest.raises(ValueError, match="axis 1 must be there"):
        runner.run({"ids": np.ones(1, np.int64)})
    assert runner.depth == 0
