"""A signal handler may raise between any two steps of a caller; the device and the others must survive it.

``Interrupter`` raises at the n-th step that a caller takes inside ``inprocml.batching`` or the start of a
thread, for every n. A step is a line, a function's beginning, or (``fine``) any place after a call or a jump
back, which is where CPython looks for signals. The end of a ``with`` block is none: there a tracer can raise
before the lock is released, and no signal handler can.
"""

from __future__ import annotations

import asyncio
import contextlib
import dis
import functools
import linecache
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from tests.batching.callers import PATIENCE, until

import inprocml.batching
from inprocml.batching import Runner
from inprocml.batching.calls import finish
from inprocml.testing import FakeBackend, poisoned

FOLDER = str(Path(inprocml.batching.__file__).parent)
MOST_STEPS = 2000


class Boom(BaseException):
    """What a signal handler raises."""


def apart(test):
    """Run ``test`` on a thread of its own.

    A tracer that raises inside a handler leaves its thread's record of the exception being handled in
    disorder, which tests that follow on the main thread would see.
    """

    @functools.wraps(test)
    def run(*args, **kwargs):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(test, *args, **kwargs).result()

    return run


class Interrupter:
    """Raises ``Boom`` at step ``at`` of this thread, once; ``steps`` counts them."""

    def __init__(self, at, fine):
        self.at, self.fine, self.steps, self.where = at, fine, 0, None
        self.last = {}  # frame -> the opcode before this one

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.call)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def call(self, frame, event, arg):
        code = frame.f_code
        if code is threading.Thread.start.__code__:
            code = frame.f_back.f_code  # the worker's start, not that of the others
        if not code.co_filename.startswith(FOLDER) or code is finish.__code__:  # that one is asyncio's
            return None
        frame.f_trace_opcodes = self.fine
        frame.f_trace_lines = not self.fine
        self.step(frame)
        return self.local

    def local(self, frame, event, arg):
        if event == "line" and not self.leaves_with(frame):
            self.step(frame)
        elif event == "opcode":
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            before, self.last[frame] = self.last.get(frame, ""), name
            if before.startswith(("CALL", "JUMP_BACKWARD")):
                self.step(frame)
        return self.local

    def leaves_with(self, frame):
        line = frame.f_lineno
        if not linecache.getline(frame.f_code.co_filename, line).lstrip().startswith("with "):
            return False
        return frame.f_lasti > min(at for at, number in dis.findlinestarts(frame.f_code) if number == line)

    def step(self, frame):
        self.steps += 1
        if self.steps == self.at:
            self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
            raise Boom


def ask(runner, value=1.0, **how):
    return runner.run({"x": np.array([[value]], np.float32)}, **how).outputs["x"].item()


class Other(threading.Thread):
    """Somebody else's request, which must be answered whatever happens to the interrupted one."""

    def __init__(self, runner, value, **how):
        super().__init__(daemon=True)
        self.runner, self.value, self.how, self.answer = runner, value, how, None
        self.start()

    def run(self):
        self.answer = ask(self.runner, self.value, **self.how)

    def end(self, where):
        self.join(PATIENCE)
        assert not self.is_alive(), f"a caller hangs after an interruption at {where}"
        assert self.answer == self.value


class Scene:
    """A runner, the interrupted caller's part (``act``), and the others."""

    limits: ClassVar = {}
    fault = None

    def __init__(self):
        self.backend = FakeBackend(self.compute, fault=self.fault)
        self.runner = Runner(self.backend, name="interrupted", **self.limits)
        self.others = []
        self.over = threading.Event()

    def compute(self, inputs):
        return {"x": inputs["x"].copy()}

    def queue_up(self, value, **how):
        depth = self.runner.depth
        self.others.append(Other(self.runner, value, **how))
        until(lambda: self.runner.depth > depth)

    def prepare(self):
        pass

    def act(self):
        ask(self.runner)


class Lone(Scene):
    pass


class OthersWait(Scene):
    """Two queue up while the interrupted caller computes: it owes them the worker, and its start."""

    def compute(self, inputs):
        if not self.others and not self.over.is_set():
            self.queue_up(2.0)
            self.queue_up(3.0)
        return super().compute(inputs)


class WorkerStarted(OthersWait):
    """As before, with a worker that is there already."""

    def prepare(self):
        ask(self.runner, 9.0)
        until(lambda: self.runner.idle)
        self.others = []


class Delayed(Scene):
    """The interrupted caller itself wakes the worker."""

    limits: ClassVar = {"max_queue_delay": 0.0005}


class Busy(Scene):
    """Somebody holds the device until the interrupted caller waits, or is gone."""

    how: ClassVar = {}

    def prepare(self):
        self.hold = self.backend.hold()
        self.hold.__enter__()
        self.others.append(Other(self.runner, 2.0))
        self.backend.wait_running()
        self.fill()
        self.ending = threading.Thread(target=self.let_go, daemon=True)
        self.ending.start()

    def fill(self):
        pass

    def let_go(self):
        until(lambda: self.over.is_set() or self.inside())
        self.hold.__exit__(None, None, None)

    def inside(self):
        return self.runner.depth == 1

    def act(self):
        ask(self.runner, **self.how)


class BusyPatient(Busy):
    """The queue is full: the interrupted caller waits for room, and another behind it."""

    limits: ClassVar = {"max_queue_size": 1}
    how: ClassVar = {"patient": True}

    def fill(self):
        self.queue_up(3.0)
        self.others.append(Other(self.runner, 4.0, patient=True))
        until(lambda: self.outside() == 1)

    def inside(self):
        return self.outside() == 2

    def outside(self):
        return len(self.runner._core.queue._line.outside)


class Leads(Busy):
    """The interrupted caller is the first of its batch, and wakes some of the others."""

    def let_go(self):
        until(lambda: self.over.is_set() or self.inside())
        self.others += [Other(self.runner, value) for value in (3.0, 4.0, 5.0, 6.0, 7.0)]
        until(lambda: self.runner.depth >= 5)
        super().let_go()

    def inside(self):
        return self.runner.depth >= 1


class BusyLate(Busy):
    """The interrupted caller's time is up while it waits."""

    def inside(self):
        return False

    def act(self):
        ask(self.runner, deadline=time.monotonic() + 0.002)


class Late(BusyLate):
    """... and others wait behind it."""

    def fill(self):
        self.queue_up(3.0)


class Fails(Scene):
    fault = staticmethod(poisoned(1.0))


class Twice(OthersWait):
    """The model itself is interrupted first: the steps are those of the way out."""

    fault = staticmethod(poisoned(1.0, KeyboardInterrupt))

    def prepare(self):
        fault, self.backend.fault = self.backend.fault, self.crowd
        self.first = fault

    def crowd(self, inputs):
        error = self.first(inputs)
        if error is not None and not self.others and not self.over.is_set():
            self.queue_up(2.0)
        return error


class Coroutine(Scene):
    def act(self):
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self.runner.arun({"x": np.ones((1, 1), np.float32)}))
        finally:
            loop.close()


class Closer(Other):
    def run(self):
        assert self.runner.close()
        self.answer = self.value


class Closing(OthersWait):
    """Somebody waits in ``close`` for the device to come free; afterwards nobody asks any more."""

    def compute(self, inputs):
        if not self.others and not self.over.is_set():
            self.others.append(Closer(self.runner, None))
            until(lambda: self.runner._core.idle_gates)
        return Scene.compute(self, inputs)


WAITING = (Busy, BusyPatient, Leads, BusyLate, Late)
SCENES = (Lone, OthersWait, WorkerStarted, Delayed, *WAITING, Fails, Twice, Coroutine, Closing)


def interrupt(scene_class, at, fine):
    """Play the scene, interrupted at step ``at``; return the steps it took."""
    scene = scene_class()
    scene.prepare()
    with Interrupter(at, fine) as interrupter, contextlib.suppress(BaseException):
        scene.act()
    scene.over.set()
    where = interrupter.where
    if isinstance(scene, Busy):
        scene.ending.join(PATIENCE)
    for other in scene.others:
        other.end(where)
    if scene_class is not Closing:
        Other(scene.runner, 7.0).end(where)
    assert scene.runner.close(PATIENCE), f"the device is held for ever after an interruption at {where}"
    assert scene.runner.depth == 0, where
    assert scene.runner.idle, where
    assert scene.backend.most_at_once <= 1, where
    return interrupter.steps


@pytest.mark.parametrize("fine", [False, True], ids=["lines", "after calls"])
@pytest.mark.parametrize("scene", SCENES)
@apart
def test_an_interruption_at_any_step_strands_nobody(scene, fine):
    at = 1
    while interrupt(scene, at, fine) >= at:
        at += 1
        assert at < MOST_STEPS
    assert at > 8, "the scene was not traced"


@pytest.fixture(autouse=True)
def _clear_limbo():
    """Strike threads off the interpreter's list that were interrupted inside ``start`` and never were."""
    yield
    for thread in threading.enumerate():
        if thread.name == "inprocml-interrupted" and not thread.is_alive():
            threading._limbo.pop(thread, None)
