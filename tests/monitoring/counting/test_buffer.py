"""The line between requests and counting: bounded, in order, and nobody waits."""

from __future__ import annotations

import threading
from collections import UserDict

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inprocml.monitoring.counting import Buffer


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
