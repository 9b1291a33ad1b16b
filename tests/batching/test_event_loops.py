"""Callers that are coroutines: their loop never stands still, and is told of a batch once."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import threading

import numpy as np
import pytest
from tests.batching.callers import PATIENCE

from inprocml.batching import Runner
from inprocml.testing import FakeBackend


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request):
    """What makes an event loop, of each kind that is here."""
    try:
        return importlib.import_module(request.param).new_event_loop
    except ImportError:
        pytest.skip(f"{request.param} is not installed here: pip install {request.param}")


@pytest.fixture
def make():
    """Make runners that are closed in the end."""
    runners = []

    def make(backend, **limits):
        runners.append(Runner(backend, **limits))
        return runners[-1]

    yield make
    for runner in runners:
        assert runner.close(PATIENCE)
        assert runner.idle
        assert not runner.depth


def play(loop, coroutine):
    """Run a coroutine on a loop of its own, and close that."""
    try:
        return loop.run_until_complete(asyncio.wait_for(coroutine, PATIENCE))
    finally:
        loop.close()


def asking(runner, value, **how):
    return asyncio.ensure_future(runner.arun({"x": np.array([[value]], np.float32)}, **how))


async def until(condition):
    while not condition():  # noqa: ASYNC110  what it waits for knows of no loop
        await asyncio.sleep(0.001)


def values(answers):
    return [answer.outputs["x"].item() for answer in answers]


def test_a_loop_goes_on_while_the_model_runs_and_its_coroutines_share_a_batch(make, new_loop):
    backend = FakeBackend()
    runner = make(backend)

    async def scene():
        with backend.hold():
            tasks = [asking(runner, float(number)) for number in range(9)]
            await until(lambda: runner.depth == 8)  # a loop that stood still would never get here
            assert not any(task.done() for task in tasks)
        return values(await asyncio.gather(*tasks))

    assert play(new_loop(), scene()) == [float(number) for number in range(9)]
    assert backend.batches == [1, 8]


def test_two_loops_share_batches_and_each_is_told_of_a_batch_once(make, new_loop):
    backend = FakeBackend()
    runner = make(backend)
    told, loops = [], {"first": new_loop(), "second": new_loop()}
    for name, loop in loops.items():
        told_of = loop.call_soon_threadsafe

        def tell(function, *args, name=name, told_of=told_of, **how):
            if args:
                told.append((name, len(args[0])))
            return told_of(function, *args, **how)

        if type(loop).__module__.startswith("asyncio"):
            loop.call_soon_threadsafe = tell

    async def ask(first, count):
        return values(await asyncio.gather(*(asking(runner, first + number) for number in range(count))))

    answers = {}

    def second():
        answers["second"] = play(loops["second"], ask(10.0, 4))

    async def scene():
        with backend.hold():
            running = asking(runner, -1.0)
            await until(lambda: backend.batches)
            thread.start()
            tasks = asyncio.ensure_future(ask(0.0, 4))
            await until(lambda: runner.depth == 8)
        answers["first"] = values([await running]) + await tasks

    thread = threading.Thread(target=second)
    play(loops["first"], scene())
    thread.join(PATIENCE)
    assert answers == {"first": [-1.0, 0.0, 1.0, 2.0, 3.0], "second": [10.0, 11.0, 12.0, 13.0]}
    assert backend.batches == [1, 8]
    if told:  # the methods of loops in C cannot be replaced
        assert sorted(told) == [("first", 1), ("first", 4), ("second", 4)]


def test_a_loop_that_is_closed_takes_nobody_else_with_it(make, new_loop):
    backend = FakeBackend()
    runner = make(backend, max_batch_size=8)

    async def leave():
        tasks = [asking(runner, 1.0), asking(runner, 2.0)]
        many = np.zeros((20, 1), np.float32)
        tasks.append(asyncio.ensure_future(runner.arun({"x": many}, rows=20)))
        await until(lambda: runner.depth == 21)
        return tasks

    with backend.hold():
        tasks = play(loop := new_loop(), leave())  # closed, with calls in flight that nobody cancelled
        assert loop.is_closed()
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(runner.run({"x": np.ones((1, 1), np.float32)})), daemon=True
        )
        thread.start()
    thread.join(PATIENCE)
    assert values(answers) == [1.0]
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task._log_destroy_pending = False  # this is what was wanted


def test_coroutines_cancelled_at_any_turn_of_the_loop_leave_nothing_behind(make, new_loop):
    backend = FakeBackend()
    runner = make(backend, max_batch_size=4)

    async def scene():
        for turns, rows in itertools.product(range(6), (1, 3, 11)):
            many = np.full((rows, 1), turns, np.float32)
            tasks = [asyncio.ensure_future(runner.arun({"x": many}, rows=rows)) for _ in range(4)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(np.array_equal(task.result().outputs["x"], many) for task in tasks[1::2])

    play(new_loop(), scene())
