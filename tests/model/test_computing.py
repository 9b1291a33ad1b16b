"""How a model computes: instances, shares, objectives, priorities, a budget, and versions that hang."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from tests.conftest import pack_small, wait_for

from inprocml import BackendFailed, DeviceLost, Model, NotReady, Overloaded, Unavailable
from inprocml.backends import open_backend
from inprocml.serving import Memory
from inprocml.testing import FakeBackend
from inprocml.values import Readiness


class Gate:
    """The real runtime behind a door: every run of every instance asks it first."""

    name, device = "onnx", "cpu"

    def __init__(self):
        self.backends, self.closed = [], 0
        self.fault = lambda: None
        self.changed = threading.Condition()
        self.held, self.inside, self.most, self.runs = False, 0, 0, []

    def __call__(self, bundle):
        self.backends.append(open_backend(bundle.runtime, bundle.model, threads=1))
        return _Instance(self, len(self.backends) - 1)

    def hold(self, held):
        with self.changed:
            self.held = held
            self.changed.notify_all()

    def wait_inside(self, count=1):
        with self.changed:
            assert self.changed.wait_for(lambda: self.inside >= count, 20)


class _Instance:
    name, device = "onnx", "cpu"

    def __init__(self, gate, number):
        self.gate, self.number = gate, number

    def run(self, inputs):
        gate = self.gate
        with gate.changed:
            gate.inside += 1
            gate.most = max(gate.most, gate.inside)
            features = next(iter(inputs.values()))
            gate.runs.append((self.number, features[0, 0]))
            gate.changed.notify_all()
            gate.changed.wait_for(lambda: not gate.held or len(features) > 2, 30)  # golden rows pass
            gate.inside -= 1
        error = gate.fault()
        if error is not None:
            raise error
        return gate.backends[self.number].run(inputs)

    def close(self):
        self.gate.closed += 1
        self.gate.backends[self.number].close()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.hold(False)


@pytest.fixture
def declare(store, gate):
    """A function that declares a model over version 1 behind the gate, and closes it after the test."""
    made = []

    def declare(path=store, **options):
        made.append(Model(path, **{"backend": gate, "poll_interval": 0.05} | options))
        return made[-1]

    yield declare
    gate.hold(False)
    for model in made:
        model.close()


class Asked(threading.Thread):
    def __init__(self, model, row, **how):
        super().__init__(daemon=True)
        self.model, self.row, self.how, self.outcome = model, row, how, None
        self.start()

    def run(self):
        try:
            self.outcome = self.model.predict(self.row, **self.how)
        except Exception as error:
            self.outcome = error

    def end(self):
        self.join(20)
        assert not self.is_alive(), "a caller hangs"
        return self.outcome


def depth(model):
    return model._process().slot.current().runner.depth


# --- instances ----------------------------------------------------------------------------------------


def test_instances_compute_side_by_side_and_are_all_freed(declare, gate, row):
    model = declare(instances=2)
    expected = model.predict(row).probability
    gate.runs.clear()
    gate.hold(True)
    asked = [Asked(model, row) for _ in range(2)]
    gate.wait_inside(2)
    gate.hold(False)
    assert [one.end().probability for one in asked] == [expected] * 2
    assert sorted(number for number, _ in gate.runs) == [0, 1]
    model.close()
    assert gate.closed == 2


def test_what_fails_to_open_second_frees_the_first(store, gate, row):
    def open_one(bundle):
        if gate.backends:
            raise MemoryError("no room for two")
        return gate(bundle)

    model = Model(store, backend=open_one, instances=2)
    with pytest.raises(BackendFailed, match="could not be opened"):
        model.predict(row)
    assert gate.closed == 1


def test_one_model_may_run_on_several_devices(declare, row):
    model = declare(device=["cpu", "cpu"], backend=None)
    assert model.predict(row).value in {"ok", "fraud"}
    assert len(model._process().slot.current().backends) == 2


# --- shares -------------------------------------------------------------------------------------------


def test_models_with_a_weight_take_turns_on_the_cpu(declare, gate, row):
    heavy, light = declare(weight=3.0), declare(weight=1.0)
    for model in (heavy, light):
        model.predict(row)
    gate.most = 0
    asked = [Asked(model, row) for _ in range(20) for model in (heavy, light)]
    assert {type(one.end()).__name__ for one in asked} == {"Prediction"}
    assert gate.most == 1


# --- objectives and priorities ------------------------------------------------------------------------


def test_an_objective_refuses_at_once_what_it_cannot_keep(declare, gate, row):
    model = declare(slo_ms=0.001, max_batch_size=1)
    for _ in range(20):
        model.predict(row)  # a lone row is never refused
    gate.hold(True)
    first = Asked(model, row)
    gate.wait_inside()
    with pytest.raises(Overloaded, match=r"objective is 0\.001 ms"):
        model.predict(row)
    gate.hold(False)
    assert first.end().value


def test_the_more_urgent_row_is_answered_first_and_a_table_yields(declare, gate, row):
    model = declare(max_batch_size=1)
    model.predict(row)
    gate.hold(True)
    first = Asked(model, row)
    gate.wait_inside()
    calls = [
        lambda: model.predict_many([row | {"amount": 10.0}]),
        lambda: model.predict(row | {"amount": 20.0}),
        lambda: asyncio.run(model.apredict(row | {"amount": 30.0}, priority=1)),
    ]
    threads = []
    for count, ask in enumerate(calls, start=1):
        threads.append(threading.Thread(target=ask, daemon=True))
        threads[-1].start()
        wait_for(lambda count=count: depth(model) == count)
    gate.runs.clear()
    gate.hold(False)
    for thread in [first, *threads]:
        thread.join(20)
    amounts = [amount for _, amount in gate.runs]
    assert len(amounts) == 3
    assert amounts == sorted(amounts, reverse=True), "most urgent first, the table last"


# --- deterministic ------------------------------------------------------------------------------------


def test_a_deterministic_answer_is_the_same_to_the_bit_alone_and_in_company(store, rows_of):
    rows = rows_of(40)
    with Model(store, deterministic=True) as model:
        alone = [model.predict(row).probabilities for row in rows]
        together = [one.probabilities for one in model.predict_many(rows)]
        shifted = [one.probabilities for one in model.predict_many(rows[7:])]
        runner = model._process().slot.current().runner
        assert runner.lost is None
    assert alone == together
    assert alone[7:] == shifted


@pytest.fixture
def rows_of():
    def rows_of(count):
        random = np.random.default_rng(5)
        return [{"amount": float(a), "country": "us"} for a in random.normal(50, 20, count)]

    return rows_of


# --- a budget of memory -------------------------------------------------------------------------------


def test_models_that_share_a_budget_evict_each_other_and_come_back(tmp_path, row):
    stores = [tmp_path / name for name in ("a", "b", "c")]
    for seed, store in enumerate(stores):
        pack_small(store, seed=seed)
    memory = Memory(1, idle=0.0)
    models = [Model(store, memory=memory) for store in stores]
    expected = [model.predict(row).probability for model in models]
    assert [model._process().slot.peek() is not None for model in models] == [False, False, True]
    assert all(bool(model.ready) for model in models), "an evicted model loads when it is asked"
    assert [model.predict(row).probability for model in models] == expected
    for model in models:
        model.close()


# --- versions that hang -------------------------------------------------------------------------------


def test_a_run_that_never_returns_costs_its_callers_an_error_and_the_model_serves_again(declare, gate, row):
    model = declare(run_timeout=0.2)
    expected = model.predict(row).probability
    before = len(gate.backends)
    gate.hold(True)
    first = Asked(model, row)
    gate.wait_inside()
    behind = [Asked(model, row) for _ in range(3)]
    wait_for(lambda: len(gate.backends) > before)  # those behind load it anew
    assert gate.closed == 0, "a runtime that is inside a run may not be freed"
    gate.hold(False)
    assert [one.end().probability for one in (first, *behind)] == [expected] * 4
    assert model.predict(row).probability == expected
    wait_for(lambda: model._process().slot.sweep() or gate.closed == 1)


def test_a_batch_that_never_returns_fails_its_callers_alone(declare, gate, row):
    model = declare(run_timeout=0.2)
    expected = model.predict(row).probability
    gate.hold(True)
    first = Asked(model, row)
    gate.wait_inside()
    batch = [Asked(model, row) for _ in range(2)]
    wait_for(lambda: depth(model) == 2)
    stuck = threading.Event()
    real = gate.backends[0].run

    def run(inputs):
        if len(next(iter(inputs.values()))) == 2:
            stuck.wait(20)
        return real(inputs)

    gate.backends[0] = FakeBackend(run)
    gate.hold(False)
    assert first.end().probability == expected
    for one in batch:
        assert isinstance(one.end(), BackendFailed)
        assert "has not returned" in str(one.outcome)
    assert model.predict(row).probability == expected
    assert model.predict_many([row])[0].probability == expected
    stuck.set()


def test_a_model_that_hangs_again_and_again_is_loaded_later_and_later(declare, gate, row):
    model = declare(run_timeout=0.1)
    model.predict(row)
    loads = len(gate.backends)
    gate.hold(True)
    asked = [Asked(model, row) for _ in range(6)]
    wait_for(lambda: sum(one.is_alive() for one in asked) <= 2)  # two compute inline, and hang
    failed = [one.outcome for one in asked if not one.is_alive()]
    assert {type(one) for one in failed} == {BackendFailed}
    assert len(gate.backends) <= loads + 2
    assert model.failure == "BackendFailed"
    assert not model.ready
    gate.hold(False)


@pytest.mark.parametrize("served", [False, True])
def test_a_load_that_never_returns_ends_says_so_and_is_tried_again(store, served, row):
    stuck, hangs, runs, closed = threading.Event(), [not served], [], []

    class Hanging(FakeBackend):
        def close(self):
            closed.append(self)
            super().close()

    def open_one(bundle):
        real = open_backend(bundle.runtime, bundle.model, threads=1)

        def run(inputs):
            if hangs[0]:
                runs.append(1)
                stuck.wait(30)
            return real.run(inputs)

        return Hanging(run)

    model = Model(store, backend=open_one, run_timeout=0.1)
    if served:
        model.predict(row)
        hangs[0] = True
        first = Asked(model, row)  # inline: inside the runtime
        wait_for(lambda: runs)
    asked = [Asked(model, row) for _ in range(3)]
    assert {type(one.end()) for one in asked} == {BackendFailed}
    assert "run_timeout" in str(asked[0].outcome)
    assert model.failure == "BackendFailed"
    assert model.ready is Readiness.FAILED
    assert not closed, "a runtime that is inside a run may not be freed"
    hangs[0] = False
    stuck.set()
    wait_for(lambda: closed)
    if served:
        assert first.end().value
    else:
        wait_for(lambda: model.ready)
        assert model.predict(row).value
    model.close()


def test_a_lost_device_is_not_loaded_again_in_this_process(declare, gate, row):
    model = declare()
    model.predict(row)
    loads = len(gate.backends)
    gate.fault = lambda: DeviceLost("CUDA error: device-side assert triggered")
    with pytest.raises(DeviceLost):
        model.predict(row)
    gate.fault = lambda: None
    for _ in range(3):
        with pytest.raises(DeviceLost):
            model.predict(row)
    assert not model.ready
    assert model.failure == "DeviceLost"
    assert len(gate.backends) == loads


def test_a_candidate_that_hangs_costs_no_request(declare, gate, store, add_version, row):
    add_version()
    stuck = threading.Event()
    stuck.set()  # golden rows and the warm-up are answered

    def open_one(bundle):
        real = open_backend(bundle.runtime, bundle.model, threads=1)
        if bundle.version == "1":
            return real

        def run(inputs):
            stuck.wait(20)
            return real.run(inputs)

        return FakeBackend(run)

    model = declare(backend=open_one, version="1", rollout={"2": 1.0}, run_timeout=0.2)
    model.predict(row)
    wait_for(lambda: model._process().trials)
    stuck.clear()
    asked = [Asked(model, row) for _ in range(4)]
    wait_for(lambda: sum(not one.is_alive() for one in asked) >= 3)
    assert {one.outcome.version for one in asked if not one.is_alive()} == {"1"}
    stuck.set()
    assert all(one.end().value for one in asked)


def test_a_lost_candidate_that_is_asked_by_name_is_refused_and_not_asked_for_ever(
    declare, gate, add_version, row
):
    add_version()
    model = declare(version="1", rollout={"2": 0.0})
    expected = model.predict(row).probability
    wait_for(lambda: "2" in model.offered)
    gate.fault = lambda: DeviceLost("gone")
    with pytest.raises(DeviceLost):
        model.predict(row, version="2")
    gate.fault = lambda: None
    asked = Asked(model, row, version="2")
    assert isinstance(asked.end(), Unavailable)
    with pytest.raises(Unavailable):
        asyncio.run(model.apredict(row, version="2"))
    assert model.predict(row).probability == expected


# --- what is refused at the declaration ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"slo_ms": 0}, ValueError),
        ({"slo_ms": "50"}, TypeError),
        ({"slo_ms": float("inf")}, ValueError),
        ({"instances": 0}, ValueError),
        ({"instances": True}, ValueError),
        ({"weight": -1.0}, ValueError),
        ({"memory": "4 GB"}, TypeError),
        ({"run_timeout": 0}, ValueError),
        ({"precision": "int4"}, ValueError),
        ({"device": []}, ValueError),
        ({"device": ["cpu", "gpu"]}, ValueError),
        ({"device": 3}, TypeError),
        ({"device": None}, TypeError),
        ({"backend": {}}, ValueError),
        ({"deterministic": "no"}, TypeError),
    ],
    ids=str,
)
def test_impossible_options_are_refused_by_name(store, option, error):
    with pytest.raises(error, match=next(iter(option))):
        Model(store, **option)


@pytest.mark.parametrize("option", [{"idle": "5"}, {"idle": None}, {"measure": 3}], ids=str)
def test_impossible_options_of_a_budget_are_refused_by_name(option):
    with pytest.raises(TypeError, match=next(iter(option))):
        Memory("1 GB", **option)


def test_on_the_cpu_the_best_precision_is_that_of_the_model(store, row):
    with Model(store, precision="auto") as fast, Model(store) as exact:
        assert fast.predict(row).probability == exact.predict(row).probability


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"timeout": "1"}, TypeError),
        ({"timeout": True}, TypeError),
        ({"timeout": float("nan")}, ValueError),
        ({"priority": "1"}, TypeError),
        ({"priority": 1.5}, TypeError),
        ({"priority": None}, TypeError),
    ],
    ids=str,
)
def test_impossible_arguments_of_a_call_are_refused_before_anybody_has_to_wait(declare, row, how, error):
    model = declare()
    name = next(iter(how))
    with pytest.raises(error, match=name):
        model.predict(row, **how)
    with pytest.raises(error, match=name):
        asyncio.run(model.apredict(row, **how))
    if "timeout" in how:
        with pytest.raises(error, match=name):
            model.predict_many([row], **how)


@pytest.mark.parametrize("timeout", [float("inf"), 1e308, 10**400, 10**10, np.float32(60)], ids=str)
def test_any_number_of_seconds_will_do_as_a_timeout(declare, row, timeout):
    model = declare()
    assert model.predict(row, timeout=timeout, priority=np.int64(99)).value  # the first load waits for it too
    assert asyncio.run(model.apredict(row, timeout=timeout)).value
    assert model.predict_many([row], timeout=timeout)


def test_a_closed_model_says_so_rather_than_hang(declare, row):
    model = declare()
    model.predict(row)
    model.close()
    with pytest.raises(NotReady):
        model.predict(row)


def test_an_objective_is_kept_from_the_first_crowd_on(declare, gate, row):
    """Nothing was asked yet, and what batches cost is known all the same."""
    model = declare(slo_ms=0.001)
    forecast = model._process().slot.current().runner._core.queue.forecast
    assert forecast.cost(None).settled
    assert forecast.cost(None).seconds(1) > 0


@pytest.mark.parametrize("made", [lambda bundle: None, lambda bundle: object()])
def test_a_factory_that_makes_no_backend_is_told_so(declare, row, made):
    model = declare(backend=made)
    with pytest.raises(BackendFailed, match=r"backend=.* Backend"):
        model.predict(row)


def test_a_factory_that_gives_one_backend_to_two_instances_is_told_so(declare, gate, row):
    """Two runs at once would meet in it."""
    made = []

    def one(bundle):
        made.append(gate(bundle))
        return made[0]

    model = declare(backend=one, instances=2)
    with pytest.raises(BackendFailed, match="the same backend twice"):
        model.predict(row)


def test_what_a_function_cannot_obey_is_refused(store, gate):
    with pytest.raises(ValueError, match="precision"):
        Model(store, backend=gate, device="cuda", precision="bf16")


def test_a_model_that_was_lost_often_is_still_given_up_without_an_error(declare, gate, row):
    model = declare()
    model.predict(row)
    slot = model._process().slot
    slot._losses, slot._lost_at = 5000, model._clock()
    slot.peek().runner._core.lose(BackendFailed("it hangs"))
    slot.give_up()
    assert slot.peek() is None
    with pytest.raises(BackendFailed):
        model.predict(row)


def test_what_was_lost_long_ago_is_forgiven(declare, gate, row):
    model = declare()
    expected = model.predict(row).probability
    slot = model._process().slot
    slot._losses, slot._lost_at = 5, model._clock() - 4000.0
    slot.peek().runner._core.lose(BackendFailed("it hangs"))
    assert model.predict(row).probability == expected


def test_a_lost_device_is_told_before_anybody_asks(declare, gate, row):
    model = declare()
    model.predict(row)
    model._process().slot.peek().runner._core.lose(DeviceLost("gone"))
    assert model.failure == "DeviceLost"


def test_a_stream_whose_version_is_lost_says_so(declare, gate, row):
    """Nobody has closed the model."""
    model = declare()
    model.predict(row)
    with model.predict_many(iter([row])) as stream:
        model._process().slot.peek().runner._core.lose(DeviceLost("gone"))
        with pytest.raises(DeviceLost):
            next(stream)


def test_a_lost_version_is_not_evicted_for_others(declare, gate, row):
    """What it may still be inside of would be waited for, by the model that needs the room."""
    model = declare()
    model.predict(row)
    slot = model._process().slot
    slot.peek().runner._core.lose(BackendFailed("it hangs"))
    assert not slot.evict()
