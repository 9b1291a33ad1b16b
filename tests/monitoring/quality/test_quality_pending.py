"""Predictions in bounded memory: held against a dict, in any order, with duplicates, eviction and time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inprocml.monitoring.quality import Pending
from inprocml.serving.servable import prediction_ids
from inprocml.values import Remembered


def remember(pending, ids, at, score=0.5, choice=1, slices=7):
    rows = len(ids)
    pending.remember(ids, np.full(rows, score), np.full(rows, choice), np.full(rows, slices), at)


def test_what_was_remembered_comes_back_once_as_new():
    pending = Pending(capacity=10)
    remember(pending, ["a1b2c3d4e5f6-1f"], 1000.0, score=0.25, choice=3, slices=0xFFFF00FF)
    found = pending.join("a1b2c3d4e5f6-1f", 1060.0)
    assert found == Remembered("a1b2c3d4e5f6-1f", 1000.0, 0.25, 3, 0xFFFF00FF, joined=False)
    assert pending.join("a1b2c3d4e5f6-1f", 1061.0) == found._replace(joined=True)
    assert pending.join("a1b2c3d4e5f6-20", 1061.0) is None


def test_a_prediction_takes_24_bytes_and_not_more_for_ever():
    pending = Pending(capacity=1000)
    assert pending.nbytes == 24_000
    new_id = prediction_ids()
    for turn in range(20):
        remember(pending, [new_id() for _ in range(777)], 1000.0 + turn)
        assert pending.nbytes == 24_000
        assert len(pending.dump()) == 24 * len(pending)
    assert len(pending) == 1000
    assert pending.evicted == 20 * 777 - 1000


@given(st.permutations(range(40)))
def test_labels_join_in_any_order(order):
    pending = Pending(capacity=64)
    ids = [f"a1b2c3d4e5f6-{number:x}" for number in range(40)]
    pending.remember(ids, np.arange(40) / 64, np.arange(40), np.arange(40), 5.0)
    for number in order:
        assert pending.join(ids[number], 6.0) == Remembered(ids[number], 5.0, number / 64, number, number)
    assert all(pending.join(each, 7.0).joined for each in ids)


def test_ids_of_many_servables_never_meet():
    pending = Pending(capacity=50_000)
    sources = [prediction_ids() for _ in range(50)]
    for source in sources:
        remember(pending, [source() for _ in range(1000)], 1.0)
    keys = np.frombuffer(pending.dump()[: 8 * 50_000], np.uint64)
    assert len(np.unique(keys)) == 50_000


def test_the_oldest_leave_first_and_only_those_without_a_label_were_lost():
    pending = Pending(capacity=3)
    remember(pending, ["a", "b", "c"], 1.0)
    pending.join("a", 2.0)
    remember(pending, ["d", "e"], 3.0)
    assert pending.evicted == 1  # b; a had its label
    assert [pending.join(each, 4.0) is None for each in "abcde"] == [True, True, False, False, False]


def test_more_than_there_is_room_for_keeps_the_newest():
    pending = Pending(capacity=3)
    remember(pending, list("abcdefgh"), 1.0)
    assert pending.evicted == 5
    assert [each for each in "abcdefgh" if pending.join(each, 1.0)] == ["f", "g", "h"]


def test_a_clock_that_steps_back_loses_nothing():
    pending = Pending(capacity=10, ttl=100.0)
    remember(pending, ["a"], 1000.0)
    remember(pending, ["b", "c"], 10.0)
    assert pending.join("b", 20.0).at == 10.0
    assert pending.join("a", 1100.0).at == 1000.0
    assert pending.join("c", 1100.0) is None  # it is behind what is not too old, and still too old
    assert pending.join("a", 1101.0) is None
    assert len(pending) == 0
    assert pending.expired == 1  # the others had their labels


def test_what_has_left_stays_away_also_when_the_clock_steps_back():
    pending = Pending(capacity=10, ttl=100.0)
    remember(pending, ["a"], 1000.0)
    remember(pending, ["b"], 1950.0)
    assert pending.join("x", 2000.0) is None
    assert pending.expired == 1
    assert pending.join("a", 1000.0) is None
    assert pending.join("b", 1000.0).at == 1950.0


def test_of_an_id_remembered_twice_one_counts():
    pending = Pending(capacity=10)
    remember(pending, ["a"], 1.0, score=0.25)
    remember(pending, ["a"], 2.0, score=0.75)
    found = pending.join("a", 3.0)
    assert pending.join("a", 3.0) == found._replace(joined=True)


def test_a_ring_that_was_dumped_goes_on_where_it_stood():
    pending = Pending(capacity=5)
    remember(pending, list("abcdefg"), 1.0)
    pending.join("d", 2.0)
    for capacity, kept in ((5, "cdefg"), (8, "cdefg"), (2, "fg")):
        other = Pending(capacity=capacity)
        other.load(pending.dump())
        assert len(other) == len(kept)
        found = [other.join(each, 3.0) for each in kept]
        assert [each.joined for each in found] == [each == "d" for each in kept]
        assert other.join("a", 3.0) is None


@given(st.binary(max_size=120))
def test_damage_is_a_value_error_or_a_sound_ring(content):
    pending = Pending(capacity=5)
    try:
        pending.load(content)
    except ValueError:
        assert len(pending) == 0
    else:
        assert len(pending) == len(content) // 24
        assert pending.dump() == content


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"ttl": 0.0}, {"ttl": -1.0}, {"ttl": float("nan")}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        Pending(**wrong)


class Against(RuleBasedStateMachine):
    """A dict that forgets by hand says what the ring must say."""

    def __init__(self):
        super().__init__()
        self.pending = Pending(capacity=6, ttl=10.0)
        self.model: dict[str, list] = {}  # id -> [at, score, joined], oldest first
        self.now = 100
        self.made = 0
        self.evicted = self.expired = 0

    def forget(self):
        for name in [name for name, (at, *_) in self.model.items() if at < self.now - 10]:
            self.expired += not self.model.pop(name)[2]

    @rule(rows=st.integers(0, 9), step=st.integers(-3, 8))
    def predict(self, rows, step):
        self.now = max(self.now, self.now + step)
        self.forget()
        ids = [f"a1b2c3d4e5f6-{self.made + place:x}" for place in range(rows)]
        self.made += rows
        scores = np.arange(self.made - rows, self.made) / 1024
        self.pending.remember(ids, scores, np.zeros(rows, int), np.zeros(rows, int), self.now)
        for name, score in zip(ids, scores.tolist(), strict=True):
            self.model[name] = [self.now, score, False]
        while len(self.model) > 6:
            self.evicted += not self.model.pop(next(iter(self.model)))[2]

    @precondition(lambda self: self.made)
    @rule(choose=st.integers(0, 10**6), step=st.integers(0, 6))
    def label(self, choose, step):
        self.now += step
        self.forget()
        name = f"a1b2c3d4e5f6-{max(0, self.made - 1 - choose % 10):x}"
        found, expected = self.pending.join(name, self.now), self.model.get(name)
        if expected is None:
            assert found is None
            return
        assert found == Remembered(name, float(expected[0]), expected[1], 0, 0, joined=expected[2])
        expected[2] = True

    @rule()
    def restart(self):
        content = self.pending.dump()
        self.pending.load(content)
        assert self.pending.dump() == content

    @invariant()
    def counts_agree(self):
        assert len(self.pending) <= 6
        assert (self.pending.evicted, self.pending.expired) == (self.evicted, self.expired)


TestAgainstADict = Against.TestCase
TestAgainstADict.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
