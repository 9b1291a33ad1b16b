"""Callers that are greenlets of gevent: they wait on their hub, and the model runs beside it."""

from __future__ import annotations

import functools
import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.batching.callers import PATIENCE
from tests.conftest import elsewhere

from inprocml.batching import Runner, calls
from inprocml.errors import DeadlineExceeded
from inprocml.testing import FakeBackend, poisoned

gevent = pytest.importorskip("gevent", reason="gevent is not installed here: pip install gevent")


def on_hub(test):
    """Run ``test`` on a thread of its own, which gets a hub: the main thread must never have one."""

    def body(*args, **kwargs):
        gevent.get_hub()
        try:
            with gevent.Timeout(PATIENCE):
                test(*args, **kwargs)
        finally:
            gevent.get_hub().destroy()

    @functools.wraps(test)
    def run(*args, **kwargs):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(body, *args, **kwargs).result()

    return run


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
    assert all(runner.idle and not runner.depth for runner in runners)


def ask(runner, value, **how):
    return runner.run({"x": np.array([[value]], np.float32)}, **how)


def asking(runner, value, **how):
    return gevent.spawn(ask, runner, value, **how)


def value_of(greenlet):
    return greenlet.get().outputs["x"].item()


def until(condition):
    while not condition():
        gevent.sleep(0.001)


def quick(seconds):
    """A clock by which everything takes ``seconds``, however busy this machine is."""
    return functools.partial(next, itertools.count(1.0, seconds))


@on_hub
def test_others_go_on_while_the_model_runs_and_those_who_ask_share_a_batch(make):
    backend = FakeBackend()
    runner = make(backend, name="late")
    with backend.hold():
        callers = [asking(runner, float(number)) for number in range(9)]
        until(lambda: runner.depth == 8)  # sleeps on the hub: one that stood still would never get here
        assert not any(caller.ready() for caller in callers)
    assert [value_of(caller) for caller in callers] == [float(number) for number in range(9)]
    assert backend.batches == [1, 8]
    assert set(backend.threads) == {"inprocml-late"}
    assert not any(caller.get().inline for caller in callers)


@on_hub
def test_a_hub_with_nothing_else_to_do_waits(make):
    assert ask(make(FakeBackend()), 3.0).outputs["x"].item() == 3.0


@on_hub
def test_a_lone_greenlet_computes_itself_what_is_known_to_be_quick(make):
    backend = FakeBackend()
    runner = make(backend, clock=quick(1e-6))
    answers = [ask(runner, float(number)) for number in range(40)]
    assert [answer.outputs["x"].item() for answer in answers] == [float(number) for number in range(40)]
    assert not answers[0].inline, "nothing was known then"
    assert answers[-1].inline
    assert backend.threads[-1] == threading.current_thread().name


@on_hub
def test_many_rows_are_taken_to_cost_as_many_times_as_one(make):
    runner = make(FakeBackend(), clock=quick(1e-6))
    for number in range(40):
        ask(runner, float(number))
    many = {"x": np.zeros((16, 1), np.float32)}
    assert runner.run(many, rows=16).inline
    runner = make(FakeBackend(), clock=quick(50e-6))
    for number in range(40):
        last = ask(runner, float(number))
    assert last.inline
    assert not runner.run(many, rows=16).inline


@on_hub
def test_a_slow_model_never_runs_on_the_hub(make):
    backend = FakeBackend()
    runner = make(backend, name="slow", clock=quick(0.01))
    assert not any(ask(runner, float(number)).inline for number in range(40))
    assert set(backend.threads) == {"inprocml-slow"}


@on_hub
def test_greenlets_that_come_together_are_not_alone_and_one_is_again_when_they_are_gone(make):
    runner = make(FakeBackend(), clock=quick(1e-6))
    while not ask(runner, 0.0).inline:
        pass
    callers = [asking(runner, float(number)) for number in range(8)]
    assert [value_of(caller) for caller in callers] == [float(number) for number in range(8)]
    assert not any(caller.get().inline for caller in callers)
    assert any(ask(runner, 0.0).inline for _ in range(3))


@on_hub
def test_a_killed_greenlet_leaves_the_queue_and_a_timeout_is_the_callers_own(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        running = asking(runner, 1.0)
        until(lambda: not runner.idle)
        killed, timed, staying = asking(runner, 2.0), gevent.spawn(timed_out, runner), asking(runner, 4.0)
        until(lambda: runner.depth == 3)
        killed.kill()
        until(lambda: runner.depth == 1)
        assert isinstance(killed.value, gevent.GreenletExit)
        assert timed.get() == "timed out"
        running.kill()  # its row is being computed: the answer is dropped
    assert value_of(staying) == 4.0
    assert backend.batches == [1, 1]


def timed_out(runner):
    with gevent.Timeout(0.01, False):
        return ask(runner, 3.0)
    return "timed out"


@on_hub
def test_a_greenlet_killed_while_it_lets_others_go_first_was_never_there(make):
    runner = make(FakeBackend(), clock=quick(1e-6))
    while not ask(runner, 0.0).inline:
        pass
    killed = asking(runner, 1.0)
    gevent.sleep(0)  # it has started
    killed.kill()
    assert isinstance(killed.value, gevent.GreenletExit)
    assert any(ask(runner, 2.0).inline for _ in range(3)), "the dead one is taken for company"


@on_hub
def test_greenlets_killed_at_any_turn_of_the_hub_leave_nothing_behind(make):
    runner = make(FakeBackend(), max_batch_size=4, clock=quick(1e-6))
    for turns, rows in itertools.product(range(6), (1, 3, 11)):
        many = np.full((rows, 1), turns, np.float32)
        callers = [gevent.spawn(runner.run, {"x": many}, rows=rows) for _ in range(4)]
        for _ in range(turns):
            gevent.sleep(0)
        gevent.killall(callers[::2])
        assert all(np.array_equal(caller.get().outputs["x"], many) for caller in callers[1::2])


@on_hub
def test_a_deadline_ends_the_wait(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        running = asking(runner, 1.0)
        until(lambda: not runner.idle)
        with pytest.raises(DeadlineExceeded):
            ask(runner, 2.0, deadline=time.monotonic() + 0.01)
        assert runner.depth == 0
    assert value_of(running) == 1.0


@on_hub
def test_a_failing_row_is_its_own_callers_error(make):
    backend = FakeBackend(fault=poisoned(3.0))
    runner = make(backend)
    with backend.hold():
        callers = [asking(runner, float(number)) for number in range(6)]
        until(lambda: runner.depth == 5)
    gevent.joinall(callers)
    assert [caller.successful() for caller in callers] == [number != 3 for number in range(6)]
    assert type(callers[3].exception).__name__ == "BackendFailed"


@on_hub
def test_more_rows_than_a_batch_holds_come_back_whole_and_in_order(make):
    backend = FakeBackend()
    runner = make(backend, max_batch_size=8)
    rows = np.arange(50, dtype=np.float32).reshape(50, 1)
    other = asking(runner, -1.0)
    assert np.array_equal(runner.run({"x": rows}, rows=50).outputs["x"], rows)
    assert value_of(other) == -1.0
    assert max(backend.batches) <= 8


@on_hub
def test_patient_greenlets_wait_for_room(make):
    backend = FakeBackend()
    runner = make(backend, max_queue_size=2)
    with backend.hold():
        callers = [asking(runner, float(number), patient=True) for number in range(12)]
        until(lambda: runner.depth == 2)
    assert [value_of(caller) for caller in callers] == [float(number) for number in range(12)]


@on_hub
def test_a_greenlet_that_closes_lets_the_others_have_their_answers():
    backend = FakeBackend()
    runner = Runner(backend)
    with backend.hold():
        callers = [asking(runner, float(number)) for number in range(4)]
        until(lambda: runner.depth == 3)
        closing = gevent.spawn(runner.close)
        gevent.sleep(0.01)
        assert not closing.ready()
    assert closing.get() is True
    assert [value_of(caller) for caller in callers] == [0.0, 1.0, 2.0, 3.0]


@on_hub
def test_a_thread_beside_the_hub_is_a_thread_and_shares_its_batches(make):
    backend = FakeBackend()
    runner = make(backend)
    with ThreadPoolExecutor(1) as pool:
        alone = pool.submit(ask, runner, 1.0)
        until(alone.done)
        assert alone.result().inline
        with backend.hold():
            first = asking(runner, 2.0)
            until(lambda: not runner.idle)
            thread, greenlet = pool.submit(ask, runner, 3.0), asking(runner, 4.0)
            until(lambda: runner.depth == 2)
        assert value_of(greenlet) == 4.0
        assert value_of(first) == 2.0
        until(thread.done)
        assert thread.result().outputs["x"].item() == 3.0
        assert thread.result().batch_rows == greenlet.get().batch_rows == 2


@on_hub
def test_two_hubs_share_batches_and_each_is_woken_once(make, monkeypatch):
    backend = FakeBackend()
    runner = make(backend)
    woken = []
    told = calls.open_gates
    monkeypatch.setattr(calls, "open_gates", lambda hub, gates: (woken.append(len(gates)), told(hub, gates)))
    there = threading.Thread(target=on_another_hub, args=(runner, answers := []))
    with backend.hold():
        first = asking(runner, 1.0)
        until(lambda: not runner.idle)
        there.start()
        callers = [asking(runner, float(number)) for number in range(5)]
        until(lambda: runner.depth == 10)
    assert [value_of(caller) for caller in callers] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert value_of(first) == 1.0
    until(lambda: not there.is_alive())
    assert answers == [10.0, 11.0, 12.0, 13.0, 14.0]
    assert sorted(woken) == [1, 5, 5]


def on_another_hub(runner, answers):
    callers = [asking(runner, 10.0 + number) for number in range(5)]
    answers += [value_of(caller) for caller in callers]
    gevent.get_hub().destroy()


def test_a_hub_that_is_destroyed_takes_nobody_else_with_it(make):
    backend = FakeBackend()
    runner = make(backend)

    @on_hub
    def leave():
        asking(runner, 1.0)
        asking(runner, 2.0)
        until(lambda: runner.depth == 1)

    with ThreadPoolExecutor(1) as pool:
        with backend.hold():
            leave()
            other = pool.submit(ask, runner, 3.0)
        assert other.result(PATIENCE).outputs["x"].item() == 3.0


PATCHED = """
    from gevent import monkey; monkey.patch_all()
    import json, logging, sys, threading, time, gevent, numpy as np
    from inprocml.batching import Runner, Turns
    native_sleep = monkey.get_original("time", "sleep")
    native_ident = monkey.get_original("_thread", "get_ident")
    here, ran_on, names = native_ident(), set(), set()

    class Slow:
        name, device = "slow", "cpu"
        def run(self, inputs):
            ran_on.add(native_ident())
            names.add(threading.current_thread().name)
            native_sleep(0.05)
            if (inputs["x"] < 0).any():
                raise RuntimeError("negative")
            return {"x": inputs["x"] * 2}
        def close(self):
            pass

    class Failing:
        def observe(self, record):
            raise ValueError("what an observer raises is logged, on the worker")

    logged = []
    class Keep(logging.Handler):
        def emit(self, record):
            logged.append(record.threadName)
    logging.getLogger("inprocml").addHandler(Keep())

    runner = Runner(Slow(), name="late", turn=Turns().join(), observers=[Failing()])
    ticks, seen = [], []
    def tick():
        while len(seen) < 20:
            ticks.append(runner.idle)
            gevent.sleep(0.001)
    def one(value):
        result = runner.run({"x": np.array([[value]], np.float32)}, deadline=time.monotonic() + 30)
        seen.append([value, result.outputs["x"].item(), result.batch_rows])
    gevent.joinall([gevent.spawn(tick), *(gevent.spawn(one, float(value)) for value in range(20))])
    native = []
    def on_a_thread():
        native.append(runner.run({"x": np.array([[21.0]], np.float32)}).inline)
    gevent.get_hub().threadpool.spawn(on_a_thread).get()
    worker = runner._core.thread
    print(json.dumps({
        "answers": sorted(seen), "ticks_while_busy": ticks.count(False), "hub_ran_it": here in ran_on,
        "names": sorted(names), "logged": logged, "thread_inline": native, "worker": worker.name,
        "closed": runner.close(10), "over": not worker.is_alive(),
    }))
"""


def run_script(script):
    done = elsewhere(script)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_where_gevent_has_patched_everything_the_worker_is_a_native_thread():
    told, complaints = run_script(PATCHED)
    assert [(value, answer) for value, answer, _ in told["answers"]] == [(v, 2.0 * v) for v in range(20)]
    assert max(rows for *_, rows in told["answers"]) > 1
    assert told["ticks_while_busy"] > 10, "the hub stood still while the model ran"
    assert not told["hub_ran_it"]
    assert told["thread_inline"] == [True]
    assert "inprocml-late" in told["names"]
    assert told["logged"] == ["inprocml-late"]
    assert told["worker"] == "inprocml-late"
    assert told["closed"]
    assert told["over"]
    assert not complaints
