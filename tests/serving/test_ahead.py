"""One item ahead: every result once, in order, whatever is slow and whatever fails."""

from __future__ import annotations

import gc
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocml.serving import Ahead


class Clock:
    """Moves by hand: preparing costs nothing, computing what the item says."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def ahead(costs, clock=None, *, urgent=frozenset(), fails=None, raises=None):
    clock = clock or Clock()

    def items():
        for place, cost in enumerate(costs):
            if place == raises:
                raise OSError("no more")
            clock.now += 1.0
            yield place, cost

    def compute(item, wanted):
        if item[0] == fails:
            raise ValueError("failed")
        clock.now += item[1]
        return item[0] * 10

    took = []
    return Ahead(
        items(),
        compute,
        urgent=lambda item: item[0] in urgent,
        took=lambda item, seconds: took.append(item[0]),
        clock=clock,
    )


@given(st.lists(st.sampled_from([0.0, 0.4, 5.0]), max_size=20), st.sets(st.integers(0, 19)))
def test_results_come_in_order_and_once(costs, urgent):
    results = list(ahead(costs, urgent=urgent))
    assert [(item[0], result) for item, result in results] == [(n, 10 * n) for n in range(len(costs))]


@given(st.lists(st.sampled_from([0.0, 5.0]), min_size=1, max_size=9), st.integers(0, 8), st.booleans())
def test_a_failure_comes_after_the_results_before_it(costs, place, computing):
    place = min(place, len(costs) - 1)
    running = iter(ahead(costs, **({"fails": place} if computing else {"raises": place})))
    for expected in range(place):
        assert next(running)[0][0] == expected
    with pytest.raises(ValueError if computing else OSError):
        next(running)


def test_the_next_item_is_prepared_while_one_computes():
    prepared = threading.Event()

    def items():
        yield 0
        yield 1
        prepared.set()
        yield 2

    def compute(item, wanted):
        if item == 1:
            assert prepared.wait(20), "it waited for the result before it prepared the next"
        return item

    ticks = iter(range(10**6))
    both = Ahead(
        items(), compute, urgent=lambda _: False, took=lambda *_: None, clock=lambda: float(next(ticks))
    )
    assert [result for _, result in both] == [0, 1, 2]


def test_a_computation_that_nobody_waits_for_is_told():
    entered, told = threading.Event(), []

    def items():
        yield from (0, 1)
        assert entered.wait(20)
        yield 2

    def compute(item, wanted):
        if item == 1:
            entered.set()
        while item == 2 and wanted():
            threading.Event().wait(0.005)
        told.append((item, wanted()))
        return item

    ticks = iter(range(10**6))
    both = Ahead(
        items(), compute, urgent=lambda _: False, took=lambda *_: None, clock=lambda: float(next(ticks))
    )
    running = iter(both)
    assert [next(running)[1], next(running)[1]] == [0, 1]
    running.close()  # item 2 computes for as long as anybody waits
    both.join()
    assert told == [(0, True), (1, True), (2, False)]


def test_what_the_collector_finds_waits_for_no_thread():
    """The collector runs wherever memory is asked for: under a lock, perhaps, that the computation wants."""
    lock, entered = threading.Lock(), threading.Event()

    def items():
        yield from (0, 1)
        assert entered.wait(20)
        yield 2

    def compute(item, wanted):
        if item == 2:
            with lock:
                ended.set()
        elif item == 1:
            entered.set()
        return item

    def drop():
        ticks = map(float, range(10**6))
        both = Ahead(
            items(), compute, urgent=lambda _: False, took=lambda *_: None, clock=lambda: next(ticks)
        )
        cycle = [iter(both)]
        del both
        cycle.append(cycle)
        assert [next(cycle[0])[1], next(cycle[0])[1]] == [0, 1]

    ended, collected = threading.Event(), threading.Event()

    def collect():
        with lock:
            drop()
            gc.collect()
        collected.set()

    threading.Thread(target=collect, daemon=True).start()
    assert collected.wait(10), "the collector waits for a thread that waits for its lock"
    assert ended.wait(20)
