"""Several instances of one model: idle ones first, then whichever is done first, never a lost one."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest
from tests.batching.callers import PATIENCE

from inprocml.batching import Drained, Pool, Runner, Shapes
from inprocml.errors import DeviceLost
from inprocml.testing import FakeBackend, ManualClock

ONE = {"x": np.ones((1, 1), np.float32)}


def call(pool):
    thread = threading.Thread(target=pool.run, args=(ONE,), daemon=True)
    thread.start()
    return thread


class Refused(threading.Thread):
    """A call that ends in an error."""

    def __init__(self, pool):
        super().__init__(daemon=True)
        self.pool, self.error = pool, None
        self.start()

    def run(self):
        try:
            self.pool.run(ONE)
        except Exception as error:
            self.error = error


def pool_of(*backends, **limits):
    return Pool([Runner(backend, name="late", **limits) for backend in backends])


def test_a_second_caller_finds_the_idle_instance():
    first, second = FakeBackend(), FakeBackend()
    pool = pool_of(first, second)
    assert pool.idle
    with first.hold():
        thread = call(pool)
        first.wait_running()
        assert not pool.idle
        assert pool.run(ONE).inline
        assert (len(first.batches), len(second.batches)) == (1, 1)
    thread.join(PATIENCE)
    assert pool.close(PATIENCE)


def test_two_unlike_devices_share_callers_in_proportion_to_their_speed():
    """In virtual time: the quick one is three times as fast."""
    clock = ManualClock()
    slow, quick = FakeBackend(clock=clock, seconds=0.3), FakeBackend(clock=clock, seconds=0.1)
    pool = pool_of(slow, quick, clock=clock)
    for runner in pool._runners:
        for _ in range(10):
            runner.run(ONE)
    slow.batches.clear()
    for _ in range(20):
        pool.run(ONE)
    assert slow.batches == []  # both idle: the quick one has it done first
    assert pool.expected() == pytest.approx(0.1)
    assert pool.close(PATIENCE)


def test_a_lost_instance_gets_no_more_calls_and_the_last_one_ends_the_pool():
    gone = DeviceLost("gone")
    first, second = FakeBackend(fault=lambda _: gone), FakeBackend()
    pool = pool_of(first, second)
    with pytest.raises(DeviceLost):
        pool.run(ONE)
    for _ in range(5):
        assert pool.run(ONE).outputs["x"].item() == 1.0
    assert pool.lost is None
    second.fault = lambda _: gone
    with pytest.raises(DeviceLost):
        pool.run(ONE)
    assert isinstance(pool.lost, DeviceLost)
    with pytest.raises(Drained):
        pool.run(ONE)
    assert pool.close(PATIENCE)


def test_a_drained_pool_refuses_and_serves_those_who_wait():
    async def ask():
        pool = pool_of(FakeBackend(), FakeBackend())
        assert (await pool.arun(ONE)).outputs["x"].item() == 1.0
        pool.drain()
        with pytest.raises(Drained):
            await pool.arun(ONE)
        with pytest.raises(Drained):
            pool.run(ONE)
        assert await asyncio.to_thread(pool.close, PATIENCE)

    asyncio.run(ask())


def test_many_callers_at_three_instances_have_their_own_answers():
    backends = [FakeBackend(lambda inputs: {"x": inputs["x"] * 2}) for _ in range(3)]
    pool = pool_of(*backends, max_batch_size=4)
    wrong = []

    def ask(k):
        for i in range(50):
            value = float(1000 * k + i)
            got = pool.run({"x": np.array([[value]])}).outputs["x"].item()
            if got != 2 * value:
                wrong.append((value, got))
            time.sleep(0)

    threads = [threading.Thread(target=ask, args=(k,), daemon=True) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not wrong
    assert all(backend.most_at_once <= 1 for backend in backends)
    assert sum(sum(backend.batches) for backend in backends) == 600
    assert pool.close(PATIENCE)


def test_a_pool_needs_an_instance():
    with pytest.raises(ValueError, match="at least one"):
        Pool([])


def test_callers_of_a_model_with_shapes_go_where_their_own_shape_is_done_first():
    """What waits counts at what its shape costs, and not as if nothing were known."""
    first, second = FakeBackend(), FakeBackend()
    pool = pool_of(first, second, shapes=Shapes())
    for runner in pool._runners:
        for rows in (1, 2, 4, 8) * 3:
            runner._core.queue.ran(Shapes().of(ONE), rows, 0.5 * rows, time.monotonic())
    with first.hold(), second.hold():
        threads = [call(pool), call(pool)]
        first.wait_running()
        second.wait_running()
        threads += [call(pool) for _ in range(8)]
        limit = time.monotonic() + PATIENCE
        while pool.depth < 8:
            assert time.monotonic() < limit
        depths = [runner.depth for runner in pool._runners]
    for thread in threads:
        thread.join(PATIENCE)
    assert min(depths) >= 2, depths
    assert pool.close(PATIENCE)


def test_a_run_that_does_not_return_ends_the_pool_which_can_be_loaded_anew():
    first, second = FakeBackend(), FakeBackend()
    pool = pool_of(first, second, run_timeout=0.2)
    with first.hold():
        stuck = call(pool)
        first.wait_running()
        with second.hold():
            busy = call(pool)
            second.wait_running()
            waits = Refused(pool)
            waits.join(PATIENCE)
        busy.join(PATIENCE)
        assert isinstance(waits.error, Drained)
        assert pool.lost is not None
        with pytest.raises(Drained):
            pool.run(ONE)
    stuck.join(PATIENCE)
    assert pool.close(PATIENCE)
