"""Nobody is forgotten: workers that cannot begin, callers who go while they are woken, watchers that fail."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import warnings
import weakref

import numpy as np
import pytest
from tests.batching.callers import PATIENCE, Caller, line_up, until

from inprocml.batching import Runner
from inprocml.batching.calls import Call, wake
from inprocml.batching.watchdog import Watchdog, watchdog
from inprocml.batching.watchdog import _dogs as watchdogs
from inprocml.errors import BackendFailed, DeviceLost
from inprocml.testing import FakeBackend, ManualClock

ONE = {"x": np.ones((1, 1), np.float32)}


def waiting_call():
    call = Call(ONE, 1, float("inf"))
    call.gate = threading.Lock()
    call.gate.acquire()
    return call


def test_a_backend_that_cannot_say_how_deep_it_is_fails_its_callers():
    class Odd(FakeBackend):
        depth, sizes = None, ()

        def start(self, parts, rows):
            raise AssertionError("never started")

    runner = Runner(Odd())

    async def ask():
        return await asyncio.wait_for(runner.arun(ONE), PATIENCE)

    with pytest.raises(BackendFailed, match="TypeError"):
        asyncio.run(ask())


def test_whoever_goes_between_its_answer_and_its_waking_leaves_nobody_asleep():
    """The first of many wakes others; a signal may have sent it away before it was told whom."""
    runner = Runner(FakeBackend())
    calls = [waiting_call() for _ in range(9)]
    for call in calls[:3]:
        runner._core.leave(call)  # as after a KeyboardInterrupt
    wake(calls)
    assert all(call.gate.acquire(timeout=0) for call in calls[3:]), "these would sleep for ever"


class Core:
    run_timeout = 0.02

    def __init__(self, check=lambda: None):
        self.busy, self.looks, self._check = True, 0, check

    def check(self):
        self.looks += 1
        self._check()


def test_a_runner_that_cannot_be_looked_at_leaves_the_others_watched():
    def fail():
        raise OSError("the device is gone")

    dog, bad, good = Watchdog(), Core(fail), Core()
    for core in (bad, good):
        dog.watch(core)
    dog.rouse()
    until(lambda: bad.looks > 3 and good.looks > 3)
    bad.busy = good.busy = False
    until(lambda: dog.asleep)


def test_who_begins_to_wait_while_the_watchdog_lies_down_is_watched():
    dog = Watchdog()
    roused = []

    class Late(Core):
        @property
        def busy(self):
            if not roused:  # just after the dog has looked, a caller comes and looks whether it is awake
                roused.append(dog.asleep)
                return False
            return True

        @busy.setter
        def busy(self, value):
            pass

    core = Late()
    dog.watch(core)
    dog.asleep = False
    left = dog._look()
    assert left is not None or roused == [True]


def test_errors_of_many_callers_are_not_one_object_and_keep_no_inputs():
    clock = ManualClock()
    stuck = threading.Event()

    def compute(inputs):
        if len(inputs["x"]) == 3:
            raise DeviceLost("gone")
        stuck.wait(PATIENCE)
        return inputs

    runner = Runner(FakeBackend(compute), clock=clock)
    first = Caller(runner, 0)
    until(lambda: not runner.idle)
    callers = line_up(runner, 1, 2, 3)
    stuck.set()
    first.said()
    errors = [caller.said() for caller in callers]
    assert {type(error) for error in errors} == {DeviceLost}
    assert len({id(error) for error in errors}) == 3


def test_pieces_that_all_fail_keep_no_inputs():
    def fail(inputs):
        raise ValueError("always")

    runner = Runner(FakeBackend(fail), max_batch_size=4)
    inputs = {"x": np.ones((8, 1), np.float32)}
    kept = weakref.ref(inputs["x"])
    gc.disable()
    try:
        with pytest.raises(BackendFailed):
            runner.run(inputs, rows=8)
        assert runner.close(PATIENCE)
        del inputs
        assert kept() is None
    finally:
        gc.enable()


def test_a_process_that_was_stopped_meanwhile_gives_no_run_up_at_the_first_look():
    """Or whose clock was set forward: a run that is well has ended by the second look."""
    ahead, backend = [0.0], FakeBackend()
    runner = Runner(backend, clock=lambda: time.monotonic() + ahead[0], run_timeout=60.0)
    with backend.hold():
        first = Caller(runner, 0)
        backend.wait_running()
        behind = line_up(runner, 1)
        ahead[0] = 3600.0
        runner._core.check()
    assert [caller.said() for caller in (first, *behind)] == [0.0, 1.0]
    assert runner.lost is None
    assert runner.close(PATIENCE)


def test_a_process_id_that_returns_brings_no_parent_back():
    """A child may get the number of an ancestor, with whose watchdog nobody watches any more."""
    dog = watchdog()
    watchdogs[os.getpid() + 10**6] = dog
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: this child only looks
        child = os.fork()
    if child == 0:
        os.write(write, b"yes" if dog in watchdogs.values() else b"no.")
        os._exit(0)
    os.waitpid(child, 0)
    told = os.read(read, 3)
    del watchdogs[os.getpid() + 10**6]
    os.close(read)
    os.close(write)
    assert told == b"no."
