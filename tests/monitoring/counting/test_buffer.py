"""The line between requests and counting: bounded, in order, and nobody waits."""

from __future__ import annotations

import threading
import tracemalloc
from collections import UserDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inprocml.monitoring.counting import Buffer
from inprocml.monitoring.counting.buffer import MOST_BYTES


class Buffers(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.buffer = Buffer(most=5)
        self.waiting, self.dropped, self.number = [], 0, 0

    @rule()
    def put(self):
        self.number += 1
        self.buffer.put({"n": self.number}, {}, str(self.number))
        if len(self.waiting) < 5:
            self.waiting.append(self.number)
        else:
            self.dropped += 1

    @rule(most=st.integers(0, 7))
    def take(self, most):
        taken = [seen.row["n"] for seen in self.buffer.take(most)]
        assert taken == self.waiting[:most]
        del self.waiting[:most]

    @rule()
    def drops(self):
        assert self.buffer.drops() == self.dropped
        self.dropped = 0

    @invariant()
    def bounded(self):
        assert len(self.buffer) == len(self.waiting) <= 5


TestBuffers = Buffers.TestCase


def test_a_row_that_its_owner_uses_again_is_counted_as_it_was():
    buffer = Buffer()
    row, other = {"x": 1}, UserDict({"x": 1})
    buffer.put(row, {}, "a")
    buffer.put(other, {}, "b")
    row["x"] = other["x"] = 2
    assert [seen.row for seen in buffer.take(2)] == [{"x": 1}, {"x": 1}]


def test_no_row_of_many_threads_is_lost_or_counted_twice():
    buffer = Buffer(most=2_000)

    def put(thread):
        for n in range(1_000):
            buffer.put({"n": (thread, n)}, {}, "")

    threads = [threading.Thread(target=put, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    taken = []
    while any(thread.is_alive() for thread in threads):
        taken += buffer.take(100)
    taken += buffer.take(10_000)
    seen = [row.row["n"] for row in taken]
    assert len(seen) == len(set(seen))
    assert len(seen) + buffer.drops() == 4_000
    for k in range(4):
        mine = [n for thread, n in seen if thread == k]
        assert mine == sorted(mine)


LARGEST = 300_000
FILES = st.integers(0, LARGEST).map(bytes) | st.integers(0, 3_000).map(lambda many: [0.5] * many)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | FILES, max_size=60), st.integers(0, 30))
def test_files_that_wait_are_bounded_by_their_bytes(files, taken):
    most = 2**20
    buffer = Buffer(heavy=["photo"], most_bytes=most)
    held = 0
    for file in files:
        before = len(buffer)
        buffer.put({"photo": file, "n": 1}, {}, "id")
        size = len(file or b"") * (8 if isinstance(file, list) else 1)
        held += size * (len(buffer) - before)
        assert held <= most + LARGEST  # the row that fills it
    assert len(buffer) + buffer.drops() == len(files)
    if buffer.take(taken):
        before = len(buffer)
        buffer.put({"photo": b"", "n": 1}, {}, "id")
        assert len(buffer) - before == (buffer.drops() == 0)
    buffer.take(100)
    for place in range(20):  # emptied, it takes as much as ever
        buffer.put({"photo": bytes(20_000)}, {}, str(place))
    assert len(buffer) == 20


@pytest.mark.parametrize(
    "photo", [lambda: bytes(400_000), lambda: [float(k) for k in range(12_000)], lambda: np.zeros(50_000)]
)
def test_a_line_full_of_pictures_or_sound_takes_no_more_memory_than_it_says(photo):
    buffer = Buffer(heavy=["photo"])
    tracemalloc.start()
    try:
        while not buffer.drops():
            buffer.put({"photo": photo()}, {}, "id", (np.zeros((3, 18, 18), np.float32),))
        took, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(buffer) > 50
    assert took < 1.05 * MOST_BYTES


def test_a_line_of_small_pictures_takes_no_more_either():
    buffer = Buffer(heavy=["photo"])
    tracemalloc.start()
    try:
        for _ in range(buffer.most):
            buffer.put({"photo": bytes(500)}, {}, "id", (np.zeros((3, 18, 18), np.float32),))
        took, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert buffer.drops()
    assert len(buffer) > 8_000
    assert took < 1.05 * MOST_BYTES


def test_many_threads_leave_the_load_as_it_was():
    buffer = Buffer(heavy=["photo"], most_bytes=2**20)

    def put():
        for _ in range(500):
            buffer.put({"photo": bytes(50_000)}, {}, "")

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    taken = 0
    while any(thread.is_alive() for thread in threads):
        taken += len(buffer.take(7))
    taken += len(buffer.take(10_000))
    assert taken + buffer.drops() == 2_000
    for _ in range(100):
        buffer.put({"photo": bytes(50_000)}, {}, "")
    assert len(buffer) == 20  # 256 units of 4 KiB, 13 a row


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30))
def test_what_was_handed_out_and_still_waits_counts_against_the_bound(handed):
    buffer = Buffer(heavy=["photo"], most_bytes=2**20)
    held = []
    for many in handed:
        for _ in range(3):
            buffer.put({"photo": bytes(100_000)}, {}, "id")
        held += buffer.take(many, hold=True)
        assert sum(len(each.row["photo"]) for each in held) + 100_000 * len(buffer) <= 2**20 + 100_000
    buffer.free(held)
    buffer.take(100)
    buffer.drops()
    for _ in range(5):
        buffer.put({"photo": bytes(100_000)}, {}, "id")
    assert (len(buffer), buffer.drops()) == (5, 0)
