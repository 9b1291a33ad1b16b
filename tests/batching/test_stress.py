"""Everything at once: threads, event loops, deadlines, cancellations and faults on one runner.

The backend answers with twice the question, so an answer that went astray shows; every call must end.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter

import numpy as np
import pytest

from inprocml.batching import Runner
from inprocml.errors import BackendFailed, DeadlineExceeded, Overloaded
from inprocml.testing import FakeBackend

PATIENCE = 40
BAD = 13  # questions divisible by it are refused by the backend


def fault(inputs):
    numbers = inputs["x"]
    if (numbers % BAD == 0).any():
        return random.choice([ValueError, SystemExit, MemoryError])("no such row")
    return None


def ask(first, rows):
    return {"x": np.arange(first, first + rows, dtype=np.int64).reshape(-1, 1)}


def judge(question, rows, outcome):
    """Say how a call ended; anything wrong is an error here."""
    numbers = ask(question, rows)["x"]
    if isinstance(outcome, BackendFailed | SystemExit):  # inline, a SystemExit passes to its own caller
        assert (numbers % BAD == 0).any(), "a good row got the error of a bad one"
        return "failed"
    if isinstance(outcome, BaseException):
        return type(outcome).__name__
    assert not (numbers % BAD == 0).any(), "a bad row got an answer"
    assert (outcome.outputs["y"] == numbers * 2).all(), "somebody else's answer"
    assert outcome.outputs["y"].shape == numbers.shape
    return "inline" if outcome.inline else "batched"


def thread_caller(runner, base, count, tally, seed):
    rng = random.Random(seed)
    for i in range(count):
        question, rows = base + 10 * i, rng.choice([1, 1, 1, 3])
        hurry = rng.random() < 0.1
        deadline = time.monotonic() + rng.choice([0.0001, 0.001]) if hurry else None
        try:
            outcome = runner.run(ask(question, rows), rows=rows, deadline=deadline)
        except (BackendFailed, SystemExit, DeadlineExceeded, Overloaded) as error:
            outcome = error
        tally[judge(question, rows, outcome)] += 1


async def async_caller(runner, base, count, tally, seed):
    rng = random.Random(seed)
    for i in range(count):
        question, rows = base + 10 * i, rng.choice([1, 1, 3])
        task = asyncio.ensure_future(runner.arun(ask(question, rows), rows=rows))
        if rng.random() < 0.15:
            await asyncio.sleep(0)
            task.cancel()
        try:
            outcome = await task
        except (BackendFailed, Overloaded, asyncio.CancelledError) as error:
            outcome = error
        tally[judge(question, rows, outcome)] += 1


@pytest.mark.parametrize("limits", [{}, {"max_queue_delay": 0.0005}, {"max_queue_size": 6}], ids=str)
def test_every_call_ends_with_its_own_answer(limits):
    backend = FakeBackend(lambda inputs: {"y": inputs["x"] * 2}, fault=fault)
    runner = Runner(backend, max_batch_size=8, **limits)
    threads, coroutines, count = 8, 8, 100
    tallies = [Counter() for _ in range(threads + 1)]
    errors = []

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except BaseException as error:
            errors.append(error)

    async def many():
        await asyncio.gather(
            *(
                async_caller(runner, 10**6 * (100 + k), count, tallies[-1], seed=100 + k)
                for k in range(coroutines)
            )
        )

    workers = [
        threading.Thread(
            target=guarded, args=(thread_caller, runner, 10**6 * k, count, tallies[k], k), daemon=True
        )
        for k in range(threads)
    ]
    workers.append(threading.Thread(target=guarded, args=(lambda: asyncio.run(many()),), daemon=True))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(PATIENCE)
        assert not worker.is_alive(), "a caller hangs"
    assert not errors, errors
    total = sum(tallies, Counter())
    assert sum(total.values()) == (threads + coroutines) * count
    assert total["batched"], total
    assert total["failed"], total
    assert total["CancelledError"], total
    assert backend.most_at_once == 1
    assert runner.close(PATIENCE)
    assert runner.depth == 0
    assert max(backend.batches) <= 8
