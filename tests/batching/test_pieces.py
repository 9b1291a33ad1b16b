"""Calls of many rows: cut into pieces that fill the batches of others, and put together again."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.batching.callers import PATIENCE, Caller, answer, features, until

from inprocml.batching import Runner
from inprocml.errors import BackendFailed, DeadlineExceeded, Overloaded
from inprocml.testing import FakeBackend, poisoned


def test_an_idle_device_computes_a_whole_batch_of_one_caller_at_once():
    backend = FakeBackend()
    runner = Runner(backend, max_batch_size=8)
    assert runner.run(features(*range(8)), rows=8).inline
    assert backend.batches == [8]
    assert runner.close(PATIENCE)


@pytest.mark.parametrize("rows", [9, 16, 21, 1000])
def test_more_rows_than_a_batch_holds_run_in_several(rows):
    backend = FakeBackend()
    runner = Runner(backend, max_batch_size=8, max_queue_size=64)
    result = runner.run(features(*range(rows)), rows=rows)
    assert answer(result) == list(range(rows))
    assert (result.inline, result.batch_rows) == (False, 8)
    assert max(backend.batches) == 8
    assert sum(backend.batches) == rows
    assert runner.close(PATIENCE)


def test_pieces_fill_up_the_batches_of_others():
    backend = FakeBackend()
    runner = Runner(backend, max_batch_size=8)
    with backend.hold():
        first = Caller(runner, -1)
        backend.wait_running()
        callers = []
        for values in (range(7), range(10, 17), (20,), (30,)):
            depth = runner.depth
            callers.append(Caller(runner, *values))
            until(lambda depth=depth, values=values: runner.depth == depth + len(values))
    assert answer(first.end()) == [-1]
    answers = [answer(caller.end()) for caller in callers]
    assert answers == [list(range(7)), list(range(10, 17)), [20], [30]]
    assert backend.batches == [1, 7, 8, 1]  # whole calls would have made 7, 7, 2
    assert runner.close(PATIENCE)


def test_a_bad_row_fails_its_whole_call_and_nobody_else():
    backend = FakeBackend(fault=poisoned(13))
    runner = Runner(backend, max_batch_size=8)
    with backend.hold():
        Caller(runner, -1)
        backend.wait_running()
        bad, good = Caller(runner, *range(10, 20)), Caller(runner, *range(30, 40))
        until(lambda: runner.depth == 20)
    assert isinstance(bad.end(), BackendFailed)
    assert answer(good.end()) == list(range(30, 40))
    assert runner.close(PATIENCE)


def test_a_full_queue_refuses_a_large_call_whole_and_keeps_nothing_of_it():
    backend = FakeBackend()
    runner = Runner(backend, max_batch_size=8, max_queue_size=4)
    with backend.hold():
        Caller(runner, -1)
        backend.wait_running()
        waiting = [Caller(runner, k) for k in range(4)]
        until(lambda: runner.depth == 4)
        with pytest.raises(Overloaded):
            runner.run(features(*range(20)), rows=20)
        assert runner.depth == 4
    assert sorted(answer(caller.end())[0] for caller in waiting) == [0, 1, 2, 3]
    assert runner.close(PATIENCE)


def test_a_deadline_ends_all_pieces():
    backend = FakeBackend()
    runner = Runner(backend, max_batch_size=8)
    with backend.hold():
        Caller(runner, -1)
        backend.wait_running()
        late = Caller(runner, *range(20), deadline=time.monotonic() + 0.05)
        assert isinstance(late.end(), DeadlineExceeded)
        assert runner.depth == 0
    assert runner.close(PATIENCE)


def test_a_cancelled_coroutine_takes_all_its_pieces_along():
    async def ask():
        backend = FakeBackend()
        runner = Runner(backend, max_batch_size=8)
        with backend.hold():
            first = asyncio.ensure_future(runner.arun(features(-1)))
            await asyncio.to_thread(backend.wait_running)
            large = asyncio.ensure_future(runner.arun(features(*range(50)), rows=50))
            other = asyncio.ensure_future(runner.arun(features(*range(60, 90)), rows=30))
            await asyncio.sleep(0.01)
            assert runner.depth == 80
            large.cancel()
            with pytest.raises(asyncio.CancelledError):
                await large
            assert runner.depth == 30
        assert answer(await first) == [-1]
        assert answer(await other) == list(range(60, 90))
        assert await asyncio.to_thread(runner.close, PATIENCE)

    asyncio.run(ask())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 16), st.integers(1, 64))
def test_every_row_of_every_call_has_its_own_answer(sizes, batch, room):
    backend = FakeBackend(lambda inputs: {"x": inputs["x"] * 2, "y": inputs["x"] + 1})
    runner = Runner(backend, max_batch_size=batch, max_queue_size=room)
    callers = [
        Caller(runner, *range(1000 * k, 1000 * k + rows), patient=True) for k, rows in enumerate(sizes)
    ]
    for k, (caller, rows) in enumerate(zip(callers, sizes, strict=True)):
        asked = np.arange(1000 * k, 1000 * k + rows)
        result = caller.end()
        assert answer(result) == (asked * 2).tolist()
        assert result.outputs["y"][:, 0].tolist() == (asked + 1).tolist()
        assert result.batch_rows <= batch
    assert runner.close(PATIENCE)
