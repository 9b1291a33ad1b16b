"""Everything at once on one runner, for as long as it is told: whose answer it is, that none is lost, memory.

Threads, coroutines that are cancelled, deadlines, calls of many rows, forks in the middle, and a backend that
raises, answers with too few rows or with NaN. A question says by its numbers what will become of it, so an
answer that went astray, or the fault of another, shows. ``make soak SECONDS=600`` runs the long one; a few
seconds of it run always.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from inprocml.batching import Runner
from inprocml.errors import BackendFailed, DeadlineExceeded, InprocmlError, Overloaded

SECONDS = float(os.environ.get("SOAK_SECONDS", "0"))
SHORT = 4.0
PATIENCE = 40.0
THREADS, COROUTINES, CROWD = 8, 16, 10_000
MOST_THREADS = 1_000
RAISES, SHORTENS, NOT_A_NUMBER = 101, 103, 107  # questions divisible by them: what becomes of them
LARGEST = 2**40  # of a question: its double is exact in float64


class Doubling:
    """Answers with twice the question, or fails as the question says."""

    name, device = "doubling", "cpu"

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.at_once = self.most_at_once = self.largest = 0
        self._never = threading.Event()

    def run(self, inputs):
        x = inputs["x"]
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.largest = max(self.largest, len(x))
        try:
            if self.seconds:
                self._never.wait(self.seconds)
            if (x % RAISES == 0).any():
                raise random.choice([ValueError, MemoryError, KeyError])("no such row")
            y = np.where(x % NOT_A_NUMBER == 0, np.nan, x * 2)
            return {"y": y[:-1] if (x % SHORTENS == 0).any() else y}
        finally:
            self.at_once -= 1

    def close(self):
        pass


def question(rng, rows):
    first = rng.randrange(1, LARGEST)
    return {"x": np.arange(first, first + rows, dtype=np.float64).reshape(-1, 1)}


def harmless(rng):
    """Return a question to which there is an answer: no divisor of it makes trouble."""
    return {"x": np.array([[RAISES * SHORTENS * NOT_A_NUMBER * rng.randrange(1, 10**6) + 1.0]])}


def judge(asked, outcome, *, hurried=False, patient=False, cancelled=False):
    """Say how a call ended; whatever its question did not ask for is an error."""
    x = asked["x"]
    bad = bool(((x % RAISES == 0) | (x % SHORTENS == 0)).any())
    if isinstance(outcome, BackendFailed):
        assert bad, "a good row got the fault of another"
        return "failed"
    if isinstance(outcome, DeadlineExceeded):
        assert hurried, "refused for a deadline that nobody set"
        return "late"
    if isinstance(outcome, Overloaded):
        assert not patient, "a patient caller was turned away"
        return "refused"
    if isinstance(outcome, asyncio.CancelledError):
        assert cancelled, "cancelled by nobody"
        return "cancelled"
    assert not isinstance(outcome, BaseException), outcome
    assert not bad, "a bad row got an answer"
    expected = np.where(x % NOT_A_NUMBER == 0, np.nan, x * 2)
    assert np.array_equal(outcome.outputs["y"], expected, equal_nan=True), "somebody else's answer"
    return "nan" if np.isnan(expected).any() else "answered"


class Soak:
    """One runner under all its callers; every caller counts what it asked and how each call ended."""

    def __init__(self, seconds: float) -> None:
        self.backend = Doubling()
        self.runner = Runner(self.backend, name="soak", max_batch_size=16, max_queue_size=64)
        self.until = time.monotonic() + seconds
        self.ended: list[Counter[str]] = []
        self.asked: list[int] = []
        self.errors: list[BaseException] = []
        self.memory: list[float] = []

    def over(self) -> bool:
        return time.monotonic() >= self.until or bool(self.errors)

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except BaseException as error:
            self.errors.append(error)

    def book(self):
        """Give a caller its page: where it notes what it asked, and how it ended."""
        self.ended.append(Counter())
        self.asked.append(0)
        return len(self.asked) - 1

    def thread(self, seed):
        rng, page = random.Random(seed), self.book()
        while not self.over():
            asked = question(rng, rng.choice([1, 1, 1, 1, 3, 40]))
            hurried, patient = rng.random() < 0.1, rng.random() < 0.3
            deadline = time.monotonic() + rng.choice([0.0, 0.0002, 0.002]) if hurried else None
            self.asked[page] += 1
            try:
                outcome = self.runner.run(asked, rows=len(asked["x"]), deadline=deadline, patient=patient)
            except InprocmlError as error:
                outcome = error
            self.ended[page][judge(asked, outcome, hurried=hurried, patient=patient)] += 1

    async def coroutine(self, seed):
        rng, page = random.Random(seed), self.book()
        while not self.over():
            asked = question(rng, rng.choice([1, 1, 1, 5, 20]))
            hurried, cancelled = rng.random() < 0.1, rng.random() < 0.1
            deadline = time.monotonic() + rng.choice([0.0002, 0.002]) if hurried else None
            self.asked[page] += 1
            task = asyncio.ensure_future(self.runner.arun(asked, rows=len(asked["x"]), deadline=deadline))
            if cancelled:
                await asyncio.sleep(rng.choice([0, 0, 0.0005]))
                task.cancel()
            try:
                outcome = await task
            except (InprocmlError, asyncio.CancelledError) as error:
                outcome = error
            self.ended[page][judge(asked, outcome, hurried=hurried, cancelled=cancelled)] += 1

    def loop(self):
        async def many():
            await asyncio.gather(*(self.coroutine(1000 + n) for n in range(COROUTINES)))

        asyncio.run(many())

    def forks(self):
        """Fork now and then; each child asks a runner of its own, and says by its exit how that went."""
        rng, page = random.Random(9), self.book()
        while not self.over():
            self.asked[page] += 1
            child = os.fork()
            if not child:
                in_child(rng.randrange(1, LARGEST))
            status = reaped(child)
            assert status == 0, f"a forked child ended with {status}"
            self.ended[page]["forked"] += 1
            threading.Event().wait(0.2)

    def watch(self):
        while not self.over():
            self.memory.append(resident())
            threading.Event().wait(0.05)

    def run(self):
        works = [(self.thread, n) for n in range(THREADS)] + [(self.loop,), (self.forks,), (self.watch,)]
        workers = [threading.Thread(target=self.guarded, args=work, daemon=True) for work in works]
        for worker in workers:
            worker.start()
        until = self.until + PATIENCE
        for worker in workers:
            worker.join(max(0.0, until - time.monotonic()))
        hanging = [worker for worker in workers if worker.is_alive()]
        if self.errors:
            raise self.errors[0]
        assert not hanging, "a caller hangs"
        return sum(self.ended, Counter())


def in_child(seed):
    """Ask a new runner from two threads; leave without a word, never into the test's own frames."""
    code = 1
    try:
        signal.alarm(20)
        runner = Runner(Doubling(), name="child", max_batch_size=8)
        seen = []

        def ask(n):
            asked = harmless(random.Random(seed + n))
            seen.extend(judge(asked, runner.run(asked)) for _ in range(20))

        others = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
        for other in others:
            other.start()
        for other in others:
            other.join()
        code = 0 if seen == ["answered"] * 40 and runner.close(5) else 2
    finally:
        os._exit(code)


def reaped(child):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        threading.Event().wait(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "no exit"


def resident():
    """Megabytes of this process that are in memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(memory):
    """Megabytes by which the last third of the samples lies above the second; the first is warming up."""
    third = len(memory) // 3
    return statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third])


def soak(seconds, allowed):
    gc.collect()
    run = Soak(seconds)
    total = run.run()
    assert sum(run.asked) == sum(total.values()), "a call was lost"
    assert run.runner.close(PATIENCE)
    assert run.runner.depth == 0
    assert run.backend.most_at_once == 1
    assert run.backend.largest <= 16
    seen = {"answered", "failed", "late", "cancelled", "nan", "forked"}
    assert seen <= total.keys(), total
    assert growth(run.memory) <= allowed, f"{growth(run.memory):.1f} MB more; {len(run.memory)} samples"
    return total


FORKING = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads memory from /proc")
WARNED = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # of 3.12 on, at a fork


@FORKING
@WARNED
def test_a_few_seconds_of_everything():
    soak(SHORT, allowed=16)


@FORKING
@WARNED
@pytest.mark.nightly
@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.skipif(not SECONDS, reason="nightly: `make soak` runs it, for ten minutes")
def test_soak():
    total = soak(SECONDS, allowed=4)
    print(f"\n{SECONDS:.0f} s: {dict(total)}")


def crowd_of_threads(runner, gate, outcomes, most):
    """Start as many threads as there are to be had, each with one question; the gate lets all ask at once."""

    def caller(number, asked):
        gate.wait()
        try:
            outcomes[number] = (asked, runner.run(asked))
        except BaseException as error:
            outcomes[number] = (asked, error)

    rng, threads = random.Random(3), []
    size = threading.stack_size(256 * 1024)
    try:
        for number in range(most):
            thread = threading.Thread(target=caller, args=(number, harmless(rng)), daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:  # no more threads here: the others are coroutines
        pass
    finally:
        threading.stack_size(size)
    return threads


async def crowd_of_coroutines(runner, gate, outcomes, numbers):
    async def caller(number, asked):
        try:
            outcomes[number] = (asked, await runner.arun(asked))
        except InprocmlError as error:
            outcomes[number] = (asked, error)

    rng = random.Random(4)
    questions = {number: harmless(rng) for number in numbers}
    gate.set()
    await asyncio.gather(*(caller(number, asked) for number, asked in questions.items()))


@pytest.mark.parametrize("room", [512, 2 * CROWD], ids=["refusing", "room for all"])
def test_ten_thousand_at_once_are_answered_or_refused(room):
    """Threads as many as the machine gives, up to a thousand, and coroutines: ten thousand calls."""
    backend = Doubling(seconds=0.0005)
    runner = Runner(backend, name="crowd", max_batch_size=64, max_queue_size=room)
    gate, outcomes = threading.Event(), {}
    threads = crowd_of_threads(runner, gate, outcomes, MOST_THREADS)
    asyncio.run(crowd_of_coroutines(runner, gate, outcomes, range(len(threads), CROWD)))
    until = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), "a caller hangs"
    assert outcomes.keys() == set(range(CROWD)), "a call was lost"
    total = Counter(judge(*outcome) for outcome in outcomes.values())
    assert total["answered"] >= min(room, CROWD)
    assert total.keys() <= {"answered", "refused"}
    assert room < CROWD or not total["refused"]
    assert runner.close(PATIENCE)
    assert backend.most_at_once == 1
