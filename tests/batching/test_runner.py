"""The driver: who computes where, what failures and deadlines do, and that nobody is left hanging.

Order is forced with a held backend and a clock moved by hand, never with sleeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
import weakref

import numpy as np
import pytest
from tests.batching.callers import PATIENCE, Caller, answer, features, line_up, until

from inprocml.batching import Drained, Result, Runner
from inprocml.batching.core import leave_quietly
from inprocml.errors import BackendFailed, DeadlineExceeded, Overloaded, Unavailable
from inprocml.testing import FakeBackend, ManualClock, poisoned


@pytest.fixture
def make():
    runners = []

    def build(backend=None, **limits):
        runners.append(Runner(backend or FakeBackend(), name="late", **limits))
        return runners[-1]

    yield build
    for runner in runners:
        assert runner.close(PATIENCE), "a runner did not come to rest"


def busy(runner, backend):
    """Take the device with a first inline caller; the backend is being held."""
    caller = Caller(runner, 0)
    backend.wait_running()
    return caller


# --- who computes ------------------------------------------------------------------------------------


def test_a_lone_caller_computes_on_its_own_thread_and_no_thread_is_started(make):
    backend = FakeBackend()
    runner = make(backend)
    before = threading.active_count()
    result = runner.run(features(1.5))
    assert result == Result(result.outputs, 0.0, True, 1)
    assert answer(result) == [1.5]
    assert backend.threads == [threading.current_thread().name]
    assert threading.active_count() == before
    assert runner.idle


def test_callers_that_arrive_meanwhile_become_one_batch_on_the_worker(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        first = busy(runner, backend)
        callers = line_up(runner, 1, 2, 3)
        assert (runner.depth, runner.idle) == (3, False)
    assert answer(first.end()) == [0.0]
    assert first.outcome.inline
    for value, caller in enumerate(callers, start=1):
        result = caller.end()
        assert answer(result) == [value]
        assert (result.inline, result.batch_rows) == (False, 3)
        assert result.queued >= 0
    assert backend.batches == [1, 3]
    assert backend.threads[1] == "inprocml-late"
    assert backend.most_at_once == 1


def test_after_the_rush_a_lone_caller_is_inline_again(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        (caller,) = line_up(runner, 1)
    caller.end()
    until(lambda: runner.idle)
    assert runner.run(features(2)).inline


def test_batches_follow_arrival_and_never_exceed_the_limit(make):
    backend = FakeBackend()
    runner = make(backend, max_batch_size=3)
    with backend.hold():
        busy(runner, backend)
        callers = line_up(runner, (1, 2), (3, 4), 5, 6)  # in pieces of a row
    assert [answer(caller.end()) for caller in callers] == [[1, 2], [3, 4], [5], [6]]
    assert backend.batches == [1, 3, 3]


def test_an_answer_is_a_copy_that_pins_no_batch_and_reaches_nobody_else(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        first, second = line_up(runner, 1, 2)
    one, two = first.end().outputs["x"], second.end().outputs["x"]
    assert one.base is None
    one[:] = 99
    assert two.tolist() == [[2.0]]


def test_the_queued_time_is_what_passed_on_the_clock(make):
    clock = ManualClock()
    backend = FakeBackend()
    runner = make(backend, clock=clock)
    with backend.hold():
        busy(runner, backend)
        (caller,) = line_up(runner, 1)
        clock.advance(2.5)
    assert caller.end().queued == 2.5


def test_max_queue_delay_waits_for_company_and_is_never_inline(make):
    clock = ManualClock()
    backend = FakeBackend()
    runner = make(backend, clock=clock, max_queue_delay=1.0)
    callers = line_up(runner, 1)
    clock.advance(0.5)
    callers += line_up(runner, 2)
    assert backend.batches == []
    clock.advance(0.5)
    assert [answer(caller.end()) for caller in callers] == [[1], [2]]
    assert backend.batches == [2]
    assert not callers[0].outcome.inline


def test_max_queue_delay_ends_when_the_batch_is_full(make):
    backend = FakeBackend()
    runner = make(backend, clock=ManualClock(), max_queue_delay=1.0, max_batch_size=2)
    (first,) = line_up(runner, 1)
    second = Caller(runner, 2)
    assert (answer(first.end()), answer(second.end())) == ([1], [2])
    assert backend.batches == [2]


def test_max_queue_delay_on_the_real_clock(make):
    backend = FakeBackend()
    runner = make(backend, max_queue_delay=0.01)
    result = runner.run(features(1))
    assert answer(result) == [1]
    assert result.queued >= 0.01
    assert not result.inline


# --- refusals and deadlines ---------------------------------------------------------------------------


def test_a_full_queue_refuses_before_any_work(make):
    backend = FakeBackend()
    runner = make(backend, max_queue_size=2)
    with backend.hold():
        busy(runner, backend)
        callers = line_up(runner, 1, 2)
        with pytest.raises(Overloaded):
            runner.run(features(3))
    assert [answer(caller.end()) for caller in callers] == [[1], [2]]
    assert backend.batches == [1, 2]


def test_a_waiting_row_leaves_at_its_deadline_and_is_never_computed(make):
    clock = ManualClock()
    backend = FakeBackend()
    runner = make(backend, clock=clock)
    with backend.hold():
        first = busy(runner, backend)
        (hurried,) = line_up(runner, 1, deadline=1.0)
        (patient,) = line_up(runner, 2)
        clock.advance(1.0)
        assert isinstance(hurried.end(), DeadlineExceeded)  # while the device is still busy
        assert runner.depth == 1
    first.end()
    assert answer(patient.end()) == [2]
    assert backend.batches == [1, 1]


def test_a_caller_whose_row_is_computing_is_let_go_at_its_deadline_and_its_answer_dropped(make):
    clock = ManualClock()
    backend = FakeBackend()
    runner = make(backend, clock=clock, max_queue_delay=1.0)
    with backend.hold():
        (hurried,) = line_up(runner, 1, deadline=2.0)
        (patient,) = line_up(runner, 2, deadline=9.0)
        clock.advance(1.0)
        backend.wait_running()
        clock.advance(1.0)
        assert isinstance(hurried.end(), DeadlineExceeded)
    assert answer(patient.end()) == [2]
    assert backend.batches == [2]


def test_an_inline_caller_learns_of_its_deadline_when_the_model_returns(make):
    clock = ManualClock()
    runner = make(FakeBackend(clock=clock, seconds=5.0), clock=clock)
    with pytest.raises(DeadlineExceeded, match="'late'"):
        runner.run(features(1), deadline=3.0)
    assert runner.idle
    assert answer(runner.run(features(1), deadline=100.0)) == [1]


def test_deadlines_on_the_real_clock_threads_and_coroutines(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        soon = time.monotonic() + 0.02
        with pytest.raises(DeadlineExceeded):
            runner.run(features(1), deadline=soon)
        with pytest.raises(DeadlineExceeded):
            asyncio.run(runner.arun(features(1), deadline=time.monotonic() + 0.02))
        assert time.monotonic() >= soon
        assert runner.depth == 0


def test_tensors_of_another_length_are_refused_before_they_shift_the_answers_of_others(make):
    runner = make()
    with pytest.raises(ValueError, match="'x' has shape"):
        runner.run(features(1, 2))
    with pytest.raises(ValueError, match="'x' has shape"):
        runner.run({"x": np.float32(1)})
    with pytest.raises(ValueError, match="at least 1"):
        runner.run(features(), rows=0)


# --- failures -----------------------------------------------------------------------------------------


def test_a_failing_inline_run_is_not_retried_and_the_next_request_is_fine(make):
    backend = FakeBackend(fault=poisoned(13, ZeroDivisionError))
    runner = make(backend)
    with pytest.raises(
        BackendFailed, match="'late': the fake backend on cpu raised ZeroDivisionError"
    ) as caught:
        runner.run(features(13))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert backend.batches == [1]
    assert answer(runner.run(features(1))) == [1]


@pytest.mark.parametrize("error", [ValueError, MemoryError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_only_the_bad_row_of_a_batch_gets_the_error(make, error):
    backend = FakeBackend(fault=poisoned(13, error))
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        callers = line_up(runner, 1, (2, 13), 3)
    good, bad, also_good = (caller.end() for caller in callers)
    assert (answer(good), answer(also_good)) == ([1], [3])
    assert (good.batch_rows, also_good.batch_rows) == (1, 1)
    assert isinstance(bad, BackendFailed)
    assert isinstance(bad.__cause__, error)
    assert backend.batches == [1, 4, 1, 2, 1]
    assert answer(runner.run(features(5))) == [5]


def test_a_lone_failing_row_on_the_worker_is_not_retried(make):
    backend = FakeBackend(fault=poisoned(13))
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        (bad,) = line_up(runner, 13)
    assert isinstance(bad.end(), BackendFailed)
    assert backend.batches == [1, 1]


def test_each_failing_caller_gets_an_error_of_its_own(make):
    backend = FakeBackend(fault=poisoned(13))
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        callers = line_up(runner, 13, 13)
    first, second = (caller.end() for caller in callers)
    assert isinstance(first, BackendFailed)
    assert first is not second


@pytest.mark.parametrize(
    "misfit",
    [
        {"x": np.ones((1, 2), np.float32)},
        {"x": np.ones((1, 1), np.float64)},
        {"x": np.ones((1, 1), np.int8)},
        {"y": np.ones((1, 1), np.float32)},
        {"x": np.ones((1, 1), np.float32), "y": np.ones((1, 1), np.float32)},
    ],
    ids=["shape", "wider", "narrower", "name", "one more"],
)
def test_rows_that_do_not_fit_together_are_answered_apart(make, misfit):
    backend = FakeBackend()
    runner = make(backend)
    outcome = []
    with backend.hold():
        busy(runner, backend)
        (caller,) = line_up(runner, 7)
        other = threading.Thread(target=lambda: outcome.append(runner.run(misfit)), daemon=True)
        other.start()
        until(lambda: runner.depth == 2)
    assert answer(caller.end()) == [7]
    other.join(PATIENCE)
    for name, array in misfit.items():
        assert outcome[0].outputs[name].dtype == array.dtype
        assert outcome[0].outputs[name].tolist() == array.tolist()
    assert outcome[0].batch_rows == 1


def test_a_row_that_expires_before_its_second_chance_is_not_computed_again(make):
    clock = ManualClock()
    backend = FakeBackend(fault=poisoned(13), clock=clock, seconds=1.0)
    runner = make(backend, clock=clock)
    with backend.hold():
        busy(runner, backend)  # until 1 s
        (bad,) = line_up(runner, 13)  # with its mate until 2 s, alone until 3 s
        (hurried,) = line_up(runner, 5, deadline=2.5)
    assert isinstance(bad.end(), BackendFailed)
    assert isinstance(hurried.end(), DeadlineExceeded)
    until(lambda: runner.idle)
    assert backend.batches == [1, 2, 1]


@pytest.mark.parametrize(
    ("outputs", "complaint"),
    [
        (lambda x: {"scores": x[:0]}, "output 'scores' shape"),
        (lambda x: {"scores": np.array(1.0)}, "output 'scores' shape"),
        (lambda x: {"scores": x.tolist()}, "output 'scores' as list"),
        (lambda x: [x], "answered with list, not a mapping"),
        (lambda x: None, "answered with NoneType"),
        (lambda x: {}, "no output"),
    ],
)
def test_an_answer_that_cannot_be_one_is_a_failure_naming_the_output(make, outputs, complaint):
    runner = make(FakeBackend(lambda inputs: outputs(inputs["x"])))
    with pytest.raises(BackendFailed, match=complaint):
        runner.run(features(1))
    assert runner.idle


def test_an_answer_with_a_row_too_few_reaches_nobody(make):
    """Cut apart, it would give callers each other's rows."""
    backend = FakeBackend(lambda inputs: {"x": inputs["x"][1:] if len(inputs["x"]) > 1 else inputs["x"]})
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        callers = line_up(runner, 1, 2, 3)
    assert [answer(caller.end()) for caller in callers] == [[1], [2], [3]]


def test_keyboard_interrupt_inline_reaches_the_caller_and_frees_the_device(make):
    backend = FakeBackend(fault=poisoned(13, KeyboardInterrupt))
    runner = make(backend)
    with pytest.raises(KeyboardInterrupt):
        runner.run(features(13))
    assert runner.idle
    assert answer(runner.run(features(1))) == [1]


def test_keyboard_interrupt_inline_hands_the_device_to_those_who_wait(make):
    backend = FakeBackend(fault=poisoned(13, KeyboardInterrupt))
    runner = make(backend)
    with backend.hold():
        first = Caller(runner, 13)
        backend.wait_running()
        (second,) = line_up(runner, 2)
    assert isinstance(first.end(), KeyboardInterrupt)
    assert answer(second.end()) == [2]


def test_a_caller_interrupted_while_it_waits_leaves_the_queue(make, monkeypatch):
    backend = FakeBackend()
    runner = make(backend)

    def interrupted(call, gate):
        raise KeyboardInterrupt

    with backend.hold():
        first = busy(runner, backend)
        monkeypatch.setattr(Runner, "_wait", staticmethod(interrupted))
        with pytest.raises(KeyboardInterrupt):
            runner.run(features(1))
        assert runner.depth == 0
    first.end()
    assert backend.batches == [1]


def test_a_caller_interrupted_before_it_could_wake_the_worker_strands_nobody(make, monkeypatch):
    runner = make(max_queue_delay=0.001)
    real, calls = type(runner._core).summon, []

    def summon(core):
        calls.append(core)
        if len(calls) == 1:
            raise KeyboardInterrupt
        real(core)

    monkeypatch.setattr(type(runner._core), "summon", summon)
    with pytest.raises(KeyboardInterrupt):
        runner.run(features(1))
    until(lambda: runner.idle)  # the worker found nothing and gave the device back
    assert answer(runner.run(features(2))) == [2]


def test_without_a_thread_to_be_had_nobody_hangs(make, monkeypatch):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        first = busy(runner, backend)
        callers = line_up(runner, 1, 2)

        def no_thread(self):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert answer(first.end()) == [0]
    for caller in callers:
        outcome = caller.end()
        assert isinstance(outcome, Unavailable)
        assert "can't start new thread" in str(outcome)
    monkeypatch.undo()
    assert answer(runner.run(features(1))) == [1]


def test_a_fault_of_our_own_on_the_worker_strands_nobody(make, monkeypatch):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        callers = line_up(runner, 1, 2)
        monkeypatch.setattr("inprocml.batching.worker._Worker._start", lambda *_: 1 / 0)
    for caller in callers:
        outcome = caller.end()
        assert isinstance(outcome, BackendFailed)
        assert "ZeroDivisionError" in str(outcome)
    monkeypatch.undo()
    with backend.hold():
        busy(runner, backend)
        (caller,) = line_up(runner, 3)
    assert answer(caller.end()) == [3]


# --- asyncio ------------------------------------------------------------------------------------------


async def test_a_coroutine_never_computes_on_the_event_loop(make):
    backend = FakeBackend()
    runner = make(backend)
    result = await runner.arun(features(1))
    assert answer(result) == [1]
    assert not result.inline
    assert backend.threads == ["inprocml-late"]


async def test_threads_and_coroutines_share_a_batch(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        first = await asyncio.to_thread(busy, runner, backend)
        (thread,) = await asyncio.to_thread(line_up, runner, 1)
        tasks = [asyncio.create_task(runner.arun(features(value))) for value in (2, 3)]
        await asyncio.to_thread(until, lambda: runner.depth == 3)
    assert [answer(result) for result in await asyncio.gather(*tasks)] == [[2], [3]]
    assert answer(thread.end()) == [1]
    assert thread.outcome.batch_rows == 3
    first.end()


async def test_a_cancelled_coroutine_leaves_the_queue_clean(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        first = await asyncio.to_thread(busy, runner, backend)
        tasks = [asyncio.create_task(runner.arun(features(value))) for value in (1, 2)]
        await asyncio.to_thread(until, lambda: runner.depth == 2)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert runner.depth == 1
    assert answer(await tasks[1]) == [2]
    assert backend.batches == [1, 1]
    first.end()


async def test_a_coroutine_cancelled_while_computing_does_not_hurt_its_batch(make):
    backend = FakeBackend()
    runner = make(backend, clock=(clock := ManualClock()), max_queue_delay=1.0)
    with backend.hold():
        tasks = [asyncio.create_task(runner.arun(features(value))) for value in (1, 2)]
        await asyncio.to_thread(until, lambda: runner.depth == 2)
        await asyncio.to_thread(clock.advance, 1.0)
        await asyncio.to_thread(backend.wait_running)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
    assert answer(await tasks[1]) == [2]
    assert backend.batches == [2]


async def test_a_coroutine_is_let_go_at_its_deadline_on_the_manual_clock(make):
    clock = ManualClock()
    backend = FakeBackend()
    runner = make(backend, clock=clock)
    with backend.hold():
        await asyncio.to_thread(busy, runner, backend)
        task = asyncio.create_task(runner.arun(features(1), deadline=1.0))
        await asyncio.to_thread(until, lambda: runner.depth == 1)
        clock.advance(1.0)
        with pytest.raises(DeadlineExceeded):
            await task
        assert runner.depth == 0


async def test_failures_reach_only_the_coroutine_they_belong_to(make):
    backend = FakeBackend(fault=poisoned(13))
    runner = make(backend)
    with backend.hold():
        await asyncio.to_thread(busy, runner, backend)
        tasks = [asyncio.create_task(runner.arun(features(value))) for value in (1, 13, 2)]
        await asyncio.to_thread(until, lambda: runner.depth == 3)
    good, bad, also_good = await asyncio.gather(*tasks, return_exceptions=True)
    assert (answer(good), answer(also_good)) == ([1], [2])
    assert isinstance(bad, BackendFailed)


def test_an_event_loop_that_ended_does_not_disturb_the_others(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        loop = asyncio.new_event_loop()
        task = loop.create_task(runner.arun(features(1)))
        loop.run_until_complete(asyncio.sleep(0))
        assert runner.depth == 1
        (thread,) = line_up(runner, 2)
        late = []
        other = threading.Thread(
            target=lambda: late.append(asyncio.run(runner.arun(features(3)))), daemon=True
        )
        other.start()  # another loop, told after the one that is gone
        until(lambda: runner.depth == 3)
        loop.stop()
        loop.close()
    assert answer(thread.end()) == [2]
    other.join(PATIENCE)
    assert answer(late[0]) == [3]
    task._log_destroy_pending = False  # it was abandoned on purpose


# --- observers ----------------------------------------------------------------------------------------


class Diary:
    def __init__(self, error=None):
        self.records = []
        self.error = error

    def observe(self, record):
        self.records.append(record)
        if self.error is not None:
            raise self.error


def test_observers_learn_of_every_run(make):
    diary = Diary()
    clock = ManualClock()
    backend = FakeBackend(fault=poisoned(13), clock=clock, seconds=0.5)
    runner = make(backend, observers=[diary], clock=clock)
    with backend.hold():
        callers = [busy(runner, backend)]
        callers += line_up(runner, (1, 2), 13)
    for caller in callers:
        caller.end()
    until(lambda: runner.idle)
    with pytest.raises(BackendFailed):
        runner.run(features(13))
    seen = [(r.rows, r.requests, r.inline, r.error, r.seconds) for r in diary.records]
    assert sorted(seen, key=str) == [  # the inline caller tells of its run while the worker goes on
        (1, 1, False, "BackendFailed", 0.5),
        (1, 1, True, "BackendFailed", 0.5),
        (1, 1, True, None, 0.5),
        (2, 1, False, None, 0.5),
        (3, 2, False, "BackendFailed", 0.5),
    ]
    (whole,) = [record for record in diary.records if record.rows == 3]
    assert whole.inputs["x"].ravel().tolist() == [1, 2, 13]


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3)])
def test_a_failing_observer_hurts_nobody_and_is_logged_once(make, caplog, error):
    bad, good = Diary(error), Diary()
    backend = FakeBackend()
    runner = make(backend, observers=[bad, good], clock=ManualClock(), max_queue_delay=1.0, max_batch_size=1)
    with caplog.at_level(logging.ERROR, logger="inprocml"):
        for value in range(3):
            assert answer(runner.run(features(value))) == [value]
        until(lambda: runner.observer_failures == 3)
    until(lambda: len(good.records) == 3)
    assert len([record for record in caplog.records if "observer failed" in record.message]) == 1


def test_a_failing_observer_hurts_no_inline_caller_either(make):
    runner = make(observers=[Diary(ValueError("mine"))])
    assert answer(runner.run(features(1))) == [1]
    assert runner.observer_failures == 1


@pytest.mark.parametrize("value", [1, 13])
def test_an_observer_does_not_hold_the_device(make, value):
    class Witness:
        def observe(self, record):
            idle.append(runner.idle)

    idle = []
    runner = make(FakeBackend(fault=poisoned(13)), observers=[Witness()])
    with contextlib.suppress(BackendFailed):
        runner.run(features(value))
    assert idle == [True]


def test_a_keyboard_interrupt_in_an_observer_is_the_hosts_own(make):
    runner = make(observers=[Diary(KeyboardInterrupt())])
    with pytest.raises(KeyboardInterrupt):
        runner.run(features(1))
    assert runner.idle


# --- the end ------------------------------------------------------------------------------------------


def test_drain_refuses_the_new_and_finishes_those_who_wait(make):
    backend = FakeBackend()
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        (caller,) = line_up(runner, 1)
        runner.drain()
        with pytest.raises(Drained):
            runner.run(features(2))
        with pytest.raises(Drained):
            asyncio.run(runner.arun(features(2)))
    assert answer(caller.end()) == [1]


def test_drain_does_not_wait_for_company(make):
    runner = make(clock=ManualClock(), max_queue_delay=1.0)
    (caller,) = line_up(runner, 1)
    runner.drain()
    assert answer(caller.end()) == [1]


def test_close_waits_for_the_last_answer_and_joins_the_thread():
    backend = FakeBackend()
    runner = Runner(backend, name="closing")
    with backend.hold():
        busy(runner, backend)
        (caller,) = line_up(runner, 1)
        assert runner.close(0.01) is False
    assert runner.close(PATIENCE) is True
    assert answer(caller.end()) == [1]
    assert not [thread for thread in threading.enumerate() if thread.name == "inprocml-closing"]
    assert runner.close() is True
    assert not backend.closed  # it belongs to whoever made it


def test_close_from_an_observer_does_not_wait_for_itself():
    class Closer:
        def observe(self, record):
            closed.append(runner.close())  # for as long as it takes

    closed = []
    runner = Runner(
        FakeBackend(), observers=[Closer()], clock=ManualClock(), max_queue_delay=1.0, max_batch_size=1
    )
    runner.run(features(1))
    until(lambda: closed == [False])
    assert runner.close(PATIENCE)


def test_a_runner_dropped_without_close_lets_its_thread_end():
    backend = FakeBackend()
    runner = Runner(backend, name="dropped")
    with backend.hold():
        busy(runner, backend)
        (caller,) = line_up(runner, 1)
    caller.end()
    gone = weakref.ref(runner)
    del runner, caller
    gc.collect()

    def ended():
        gc.collect()
        names = [thread.name for thread in threading.enumerate()]
        return gone() is None and "inprocml-dropped" not in names

    until(ended)


def contended(backend):
    """A runner whose worker has served and is parked."""
    runner = Runner(backend, name="contended")
    with backend.hold():
        first = busy(runner, backend)
        (caller,) = line_up(runner, 1)
    first.end()
    caller.end()
    until(lambda: runner.idle)
    return runner


def test_an_ending_interpreter_lets_its_workers_go_but_not_those_of_its_parent():
    own, inherited = contended(FakeBackend()), contended(FakeBackend())
    worker, foreign = own._core.thread, inherited._core.thread
    inherited._core.pid = -1  # as after a fork that left the thread looking alive
    leave_quietly()
    assert not worker.is_alive()
    assert foreign.is_alive()
    assert own.close(PATIENCE)
    assert inherited.close(PATIENCE)


def test_a_worker_that_was_let_go_is_replaced_on_need():
    backend = FakeBackend()
    runner = contended(backend)
    leave_quietly()
    with backend.hold():
        busy(runner, backend)
        (caller,) = line_up(runner, 2)
    assert answer(caller.end()) == [2]
    assert runner.close(PATIENCE)


def test_a_parked_worker_keeps_no_rows_alive(make):
    backend = FakeBackend()
    runner = make(backend)

    class Watched(np.ndarray):
        """An array that can be watched."""

    rows = np.ones((1, 1), np.float32).view(Watched)
    watch = weakref.ref(rows)
    with backend.hold():
        first = busy(runner, backend)
        thread = threading.Thread(target=runner.run, args=({"x": rows},), daemon=True)
        thread.start()
        until(lambda: runner.depth == 1)
        del rows
    first.end()
    thread.join(PATIENCE)
    del thread

    def freed():
        gc.collect()
        return runner.idle and watch() is None

    until(freed)


def test_an_error_leaves_no_cycle_behind_it(make):
    backend = FakeBackend(fault=poisoned(13))
    runner = make(backend)
    with backend.hold():
        busy(runner, backend)
        (caller,) = line_up(runner, 13)
    error = caller.end()
    caller.outcome = None
    gone = weakref.ref(error)
    gc.collect()
    gc.disable()
    try:
        del error
        assert gone() is None
    finally:
        gc.enable()


# --- patience -----------------------------------------------------------------------------------------


def outside(runner):
    return len(runner._core.queue._line.outside)


def test_the_patient_wait_for_room_where_others_are_refused(make):
    backend = FakeBackend()
    runner = make(backend, max_queue_size=2)
    with backend.hold():
        busy(runner, backend)
        callers = line_up(runner, 1, 2)
        for value in (3, 4, 5):
            callers.append(Caller(runner, value, patient=True))
            until(lambda value=value: outside(runner) == value - 2)
        assert runner.depth == 2
        with pytest.raises(Overloaded):
            runner.run(features(9))
    assert [answer(caller.end()) for caller in callers] == [[1], [2], [3], [4], [5]]
    assert backend.batches[1:] == [5]  # rows that leave make room at once: the batch is not cut short


def test_a_patient_caller_is_let_go_at_its_deadline(make):
    clock = ManualClock()
    backend = FakeBackend()
    runner = make(backend, clock=clock, max_queue_size=1)
    with backend.hold():
        busy(runner, backend)
        (inside,) = line_up(runner, 1)
        late = Caller(runner, 2, deadline=1.0, patient=True)
        until(lambda: outside(runner) == 1)
        clock.advance(1.0)
        assert isinstance(late.end(), DeadlineExceeded)
        assert outside(runner) == 0
    assert answer(inside.end()) == [1]


def test_a_patient_caller_is_let_go_at_its_deadline_in_real_time(make):
    backend = FakeBackend()
    runner = make(backend, max_queue_size=1)
    with backend.hold():
        busy(runner, backend)
        line_up(runner, 1)
        late = Caller(runner, 2, deadline=time.monotonic() + 0.05, patient=True)
        assert isinstance(late.end(), DeadlineExceeded)


def test_a_drained_runner_refuses_the_patient_and_serves_those_it_let_wait(make):
    backend = FakeBackend()
    runner = make(backend, max_queue_size=1)
    with backend.hold():
        busy(runner, backend)
        callers = [*line_up(runner, 1), Caller(runner, 2, patient=True)]
        until(lambda: outside(runner) == 1)
        runner.drain()
        assert isinstance(Caller(runner, 3, patient=True).end(), Drained)
    assert [answer(caller.end()) for caller in callers] == [[1], [2]]
