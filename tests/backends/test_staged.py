"""Two batches in flight on the simulated device: right answers, right order, and what breaks."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inprocml.backends.accelerator import Trouble
from inprocml.backends.staged import Staged
from inprocml.errors import BackendFailed, DeviceLost
from inprocml.protocols import Backend, Pipelined
from inprocml.testing import ManualClock, SimulatedDevice, SimulatedError, check_backend, overlap

WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


def linear(inputs):
    return {"scores": inputs["features"] @ WEIGHT, "sum": inputs["features"].sum(axis=1)}


def device(**options):
    return SimulatedDevice(linear, outputs=("scores", "sum"), **options)


def rows(count, start=0):
    first = np.arange(start, start + count, dtype=np.float32)
    return {"features": np.stack([first, first + 0.5, -first], axis=1)}


def check(answer, question):
    expected = linear(question)
    assert answer.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(answer[name], array, rtol=1e-6, err_msg=name)


def prepared(largest=8, **options):
    staged = Staged(device(**options))
    assert staged.prepare(rows(2), largest)[-1] == largest
    return staged


def test_it_keeps_both_protocols():
    staged = prepared()
    assert isinstance(staged, Backend)
    assert isinstance(staged, Pipelined)
    assert (staged.name, staged.device, staged.depth) == ("simulated", "simulated:0", 2)
    assert (staged.inputs, staged.outputs) == (("features",), ("scores", "sum"))
    check_backend(staged, rows(5), expected=linear(rows(5)))


def test_warm_up_prepares_every_size_and_records_the_largest_first():
    staged = prepared(12)
    assert staged.sizes == staged.recorded == (1, 2, 4, 8, 12)
    operations = staged.accelerator.trace
    recorded = [each for each in operations if each.name == "capture"]
    lengths = [each.end - each.begin for each in recorded]
    assert lengths == sorted(lengths, reverse=True)
    assert len(lengths) == 5


def test_a_model_that_cannot_be_recorded_is_served_without():
    staged = prepared(4, graphs=False)
    assert (staged.sizes, staged.recorded) == ((1, 2, 4), ())
    check(staged.run(rows(3)), rows(3))


def test_a_recording_that_answers_otherwise_is_not_used():
    calls = []

    def drifting(inputs):
        calls.append(len(inputs["features"]))
        return {"features": inputs["features"] + len(calls)}

    staged = Staged(SimulatedDevice(drifting))
    staged.prepare(rows(1), 2)
    assert staged.sizes == (1, 2)
    assert staged.recorded == ()


def test_warm_up_leaves_a_tenth_of_the_memory():
    staged = Staged(device(memory=170_000, workspace=10_000))
    assert staged.prepare(rows(1), 64) == (1, 2, 4, 8)  # 16 rows would fit, with a twentieth to spare
    free, whole = staged.accelerator.memory()
    assert free >= 0.1 * whole
    assert staged.recorded == (1, 2, 4, 8)


def test_a_model_of_which_not_one_row_fits_says_so():
    staged = Staged(device(memory=20_000, workspace=30_000))
    with pytest.raises(BackendFailed, match=r"one row alone does not fit .* simulated:0"):
        staged.prepare(rows(1), 8)


def test_rows_of_several_callers_come_back_in_their_order():
    staged = prepared()
    parts = [rows(1), rows(3, 10), rows(2, 20)]
    whole = {"features": np.concatenate([part["features"] for part in parts])}
    answer = staged.start(parts, 6).wait()
    check(answer, whole)
    assert staged.accelerator.runs[-1] == 8  # filled up to a size that is prepared


def test_a_batch_is_filled_up_with_its_last_row():
    seen = []

    def look(inputs):
        seen.append(inputs["features"].copy())
        return linear(inputs)

    staged = Staged(SimulatedDevice(look, outputs=("scores", "sum")), sizes=(8,))
    check(staged.run(rows(8, 50)), rows(8, 50))
    check(staged.start([rows(3), rows(2, 20)], 5).wait(), {"features": seen[-1][:5]})
    assert (
        seen[-1].tolist() == rows(3)["features"].tolist() + [[20.0, 20.5, -20.0]] + [[21.0, 21.5, -21.0]] * 4
    )


def test_the_next_batch_is_copied_while_one_computes():
    staged = prepared(bandwidth=1e6)
    staged.accelerator.drain()
    before = len(staged.accelerator.trace)
    flights = [staged.start([rows(8, 10)], 8), staged.start([rows(8, 20)], 8)]
    for turn in range(3, 8):
        flights.pop(0).wait()
        flights.append(staged.start([rows(8, 10 * turn)], 8))
    for flight in flights:
        flight.wait()
    operations = staged.accelerator.trace[before:]
    assert overlap(operations) > 0.8  # all but the first
    replays = [each for each in operations if each.name == "replay"]
    for earlier, later in itertools.pairwise(replays):
        between = [each for each in operations if each.name == "copy" and each.batch != 0]
        idle = later.begin - earlier.end
        assert idle <= sum(each.end - each.begin for each in between) + 1e-12


def test_one_batch_at_a_time_overlaps_nothing():
    staged = prepared(bandwidth=1e6)
    before = len(staged.accelerator.trace)
    for turn in range(4):
        staged.run(rows(8, turn))
    assert overlap(staged.accelerator.trace[before:]) == 0


def test_more_batches_than_slots_are_refused():
    staged = prepared()
    flights = [staged.start([rows(1)], 1) for _ in range(2)]
    with pytest.raises(BackendFailed, match="2 batches are in flight"):
        staged.start([rows(1)], 1)
    for flight in flights:
        check(flight.wait(), rows(1))
    with pytest.raises(BackendFailed, match="waited for already"):
        flights[0].wait()
    check(staged.run(rows(1)), rows(1))


def test_more_rows_than_the_largest_size_run_in_pieces():
    staged = prepared(4)
    check(staged.run(rows(11)), rows(11))
    assert staged.accelerator.runs[-3:] == [4, 4, 4]


@pytest.mark.parametrize(
    ("parts", "count", "error", "complaint"),
    [
        ([{}], 1, ValueError, "'features' is missing"),
        ([{"features": np.array([["a"]])}], 1, ValueError, "cannot hold; send numbers"),
        ([rows(1)], 0, ValueError, "at least 1"),
        ([rows(2), {"features": np.ones((1, 1), np.float32)}], 3, ValueError, r"shapes \(1,\) and \(3,\)"),
        ([rows(2), {"features": np.ones((1, 3))}], 3, TypeError, "float64"),
        ([rows(2)], 3, ValueError, "holds 2 rows"),
    ],
)
def test_what_does_not_fit_together_is_refused_and_costs_no_slot(parts, count, error, complaint):
    staged = prepared()
    for _ in range(3):
        with pytest.raises(error, match=complaint):
            staged.start(parts, count).wait()
    check(staged.run(rows(2)), rows(2))


def test_inputs_of_another_shape_run_beside_those_that_were_prepared():
    staged = Staged(SimulatedDevice())
    staged.prepare(rows(1), 4)
    wide = {"features": np.arange(30, dtype=np.float64).reshape(3, 10)}
    first, second = staged.start([rows(2)], 2), staged.start([wide], 3)
    assert first.wait()["features"].tolist() == rows(2)["features"].tolist()
    assert second.wait()["features"].tolist() == wide["features"].tolist()


def test_several_inputs_of_several_types():
    fake = SimulatedDevice(
        lambda given: {"both": given["ids"] + given["mask"].sum(axis=1, keepdims=True)},
        inputs=("ids", "mask"),
        outputs=("both",),
    )
    staged = Staged(fake)
    given = {"ids": np.arange(6).reshape(3, 2), "mask": np.ones((3, 5), bool), "unasked": np.zeros(3)}
    staged.prepare(given, 4)
    assert staged.run(given)["both"].tolist() == (given["ids"] + 5).tolist()


def test_an_output_without_rows_is_told():
    staged = Staged(SimulatedDevice(lambda given: {"features": given["features"].sum(axis=0)}))
    with pytest.raises(BackendFailed, match=r"output 'features' shape \(3,\) for 2 rows"):
        staged.run(rows(2))


# -- faults


def test_an_ordinary_error_spoils_neither_the_batch_before_nor_the_one_after():
    staged = prepared()
    staged.accelerator.fail(2, KeyError("mine"))
    first, second = staged.start([rows(2)], 2), staged.start([rows(2, 5)], 2)
    check(first.wait(), rows(2))
    third = staged.start([rows(3)], 3)
    with pytest.raises(KeyError, match="mine"):
        second.wait()
    check(third.wait(), rows(3))
    assert staged.healthy


def test_a_poisoned_row_fails_its_batch_alone():
    staged = prepared()
    staged.accelerator.poison = 100.0
    first, second = staged.start([rows(1, 100)], 1), staged.start([rows(2)], 2)
    with pytest.raises(SimulatedError, match="poisoned"):
        first.wait()
    check(second.wait(), rows(2))


def test_out_of_memory_is_halved_until_it_fits_and_remembered():
    clock = ManualClock()
    staged = Staged(device(memory=400_000, workspace=10_000, graphs=False), clock=clock)
    staged.prepare(rows(1), 16)
    staged.accelerator.others = 330_000  # some other process came
    first, second = staged.start([rows(13)], 13), staged.start([rows(2, 50)], 2)
    check(first.wait(), rows(13))
    check(second.wait(), rows(2, 50))
    assert staged.sizes == (1, 2, 4)
    staged.accelerator.others = 0
    clock.advance(599)
    staged.run(rows(1))
    assert staged.sizes == (1, 2, 4)
    clock.advance(1)
    staged.run(rows(1))
    assert staged.sizes == (1, 2, 4, 8)
    clock.advance(600)
    check(staged.run(rows(16)), rows(16))
    assert staged.sizes == (1, 2, 4, 8, 16)


def test_graphs_of_sizes_that_do_not_fit_give_their_memory_back():
    staged = Staged(device(memory=400_000, workspace=10_000))
    staged.prepare(rows(1), 16)
    assert 16 in staged.recorded
    staged.accelerator.fail(1, SimulatedError("out of memory", staged.accelerator.trouble(oom())))
    check(staged.run(rows(16)), rows(16))
    assert staged.recorded == staged.sizes == (1, 2, 4, 8)


def oom():
    try:
        SimulatedDevice(memory=1).block(2)
    except SimulatedError as error:
        return error
    raise AssertionError("two bytes of one")


def test_out_of_memory_without_preparation_finds_its_sizes():
    staged = Staged(device(memory=100_000, workspace=10_000))
    check(staged.run(rows(30)), rows(30))
    assert staged.sizes == (1, 2, 4, 7)
    assert max(staged.accelerator.runs[-5:]) <= 7


def test_only_a_row_that_fails_alone_fails():
    staged = prepared(graphs=False, workspace=10_000, memory=1_000_000)
    staged.accelerator.others = 995_000
    with pytest.raises(BackendFailed, match="one row alone does not fit"):
        staged.run(rows(8))
    staged.accelerator.others = 0
    check(staged.run(rows(3)), rows(3))  # and the device goes on


def test_a_retry_does_not_hold_what_the_failed_run_held():
    kept = []

    class Tensor:
        pass

    def greedy(given):
        big = Tensor()
        kept.append(weakref.ref(big))
        if len(given["features"]) > 2:
            raise oom()
        assert kept[0]() is None, "the traceback of the failed run still holds its tensors"
        return given

    staged = Staged(SimulatedDevice(greedy))
    assert staged.run(rows(4))["features"].tolist() == rows(4)["features"].tolist()


def test_a_lost_device_is_lost_for_everything_from_then_on():
    staged = prepared()
    staged.accelerator.lose(2)
    first, second = staged.start([rows(1)], 1), staged.start([rows(2)], 2)
    for flight in (first, second):
        with pytest.raises(DeviceLost, match=r"simulated:0 .*illegal memory access.*restart the process"):
            flight.wait()
    assert not staged.healthy
    for call in (lambda: staged.run(rows(1)), lambda: staged.prepare(rows(1))):
        with pytest.raises(DeviceLost):
            call()
    staged.close()


def test_an_error_of_unknown_kind_on_a_device_that_nobody_can_wait_for_is_a_loss():
    staged = prepared()
    staged.accelerator.lose(1)
    staged.accelerator.trouble = lambda error: Trouble.ORDINARY
    with pytest.raises(DeviceLost):
        staged.run(rows(1))


def test_a_signal_in_the_middle_leaves_the_slots_usable():
    staged = prepared()

    class Signalled(BaseException):
        pass

    for turn in range(4):
        staged.accelerator.fail(1, Signalled())
        with pytest.raises(Signalled):
            staged.start([rows(1)], 1)
        check(staged.run(rows(2, turn)), rows(2, turn))


def test_signals_one_after_the_other_leave_no_copy_behind_in_a_slot():
    staged = prepared()

    class Signalled(BaseException):
        pass

    for turn in range(3):
        staged.accelerator.fail(1, Signalled())
        with pytest.raises(Signalled):
            staged.start([rows(1, turn)], 1)
    check(staged.run(rows(2, 9)), rows(2, 9))


def test_a_copy_that_never_ends_keeps_its_caller_and_ends_with_it():
    staged = prepared()
    staged.accelerator.stall(1)
    answers = []
    flight = staged.start([rows(2)], 2)
    waiting = threading.Thread(target=lambda: answers.append(flight.wait()), daemon=True)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    assert answers == []
    staged.accelerator.resume()
    waiting.join(20)
    check(answers[0], rows(2))


def test_close_waits_for_what_is_in_flight_and_frees_the_rest():
    staged = prepared()
    flight = staged.start([rows(2)], 2)
    staged.close()
    staged.close()
    assert staged.accelerator.closed
    check(flight.wait(), rows(2))
    with pytest.raises(BackendFailed, match="closed; open a new one"):
        staged.start([rows(1)], 1)
    kept = weakref.ref(staged.slots[0])
    del staged, flight
    gc.collect()
    assert kept() is None


# -- properties


@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    largest=st.integers(1, 9),
    fits=st.integers(1, 40),
    recorded=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_answer_belongs_to_its_question_whatever_fits(counts, largest, fits, recorded):
    staged = Staged(device(memory=1_000_000, workspace=10_000, graphs=recorded))
    staged.prepare(rows(1), largest)
    free, _ = staged.accelerator.memory()
    staged.accelerator.others = max(0, free - 10_000 * fits - 5_000)
    parts = [rows(count, 10 * index) for index, count in enumerate(counts)]
    whole = {"features": np.concatenate([part["features"] for part in parts])}
    check(staged.start(parts, sum(counts)).wait(), whole)
    staged.accelerator.check()


class Pipeline(RuleBasedStateMachine):
    """A worker that starts and waits as it likes, on a device that fails as it likes."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.staged = Staged(
            device(memory=300_000, workspace=10_000, bandwidth=1e6, clock=self.clock), clock=self.clock
        )
        self.staged.prepare(rows(1), 8)
        self.flights = []
        self.asked = 0

    @precondition(lambda self: len(self.flights) < 2)
    @rule(counts=st.lists(st.integers(1, 5), min_size=1, max_size=4))
    def start(self, counts):
        parts = []
        for count in counts:
            parts.append(rows(count, self.asked))
            self.asked += count
        question = {"features": np.concatenate([part["features"] for part in parts])}
        self.flights.append((self.staged.start(parts, sum(counts)), question))

    @precondition(lambda self: self.flights)
    @rule()
    def wait(self):
        flight, question = self.flights.pop(0)
        try:
            answer = flight.wait()
        except SimulatedError as error:
            assert "this run fails" in str(error)
        else:
            check(answer, question)

    @rule(after=st.integers(1, 3))
    def fail(self, after):
        self.staged.accelerator.fail(after)

    @rule(size=st.integers(0, 250_000))
    def squeeze(self, size):
        free, _ = self.staged.accelerator.memory()
        self.staged.accelerator.others = min(size, self.staged.accelerator.others + max(0, free - 15_000))

    @rule(seconds=st.integers(0, 700))
    def pass_time(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def sizes_are_ascending_and_the_device_is_well(self):
        assert list(self.staged.sizes) == sorted(set(self.staged.sizes))
        assert self.staged.sizes[0] == 1
        assert self.staged.healthy
        self.staged.accelerator.check()

    def teardown(self):
        while self.flights:
            self.wait()
        self.staged.accelerator.others = 0
        for _ in range(4):  # as many failures as may still be asked for
            self.flights.append((self.staged.start([rows(3)], 3), rows(3)))
            self.wait()
        check(self.staged.run(rows(3)), rows(3))


Pipeline.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestPipeline = Pipeline.TestCase
