"""A budget of memory: the longest idle make room, nobody in use does, and nobody waits for anybody."""

from __future__ import annotations

import gc
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inprocml import Model
from inprocml.backends import open_backend
from inprocml.serving import Leases, Memory, Slot
from inprocml.serving.memory import as_bytes, resident
from inprocml.values import Readiness, Version

MB = 10**6


class Loaded:
    """What a slot and a budget ask of a servable."""

    def __init__(self, name, clock):
        self.name = self.digest = name
        self.version = "1"
        self.leases = Leases()
        self.computing = self.retired = False
        self.sizes = SimpleNamespace(used=clock())
        self.runner = SimpleNamespace(lost=None)

    @property
    def idle(self):
        return not self.computing and self.leases.idle

    def retire(self, timeout, *, closing=False):
        assert not self.computing, "a model in use was evicted"
        self.retired = True
        return True


class World:
    """Slots under one budget, a clock, and a process whose memory is what its models take."""

    def __init__(self, limit, sizes, idle=5.0):
        self.now = 100.0
        self.memory = Memory(limit, idle=idle, measure=self.taken, clock=lambda: self.now)
        self.sizes = sizes
        self.built = []
        self.slots = {name: self.slot(name) for name in sizes}

    def slot(self, name):
        holder = []

        def first():
            with self.memory.loading(holder[0], name, self.sizes[name]):
                servable = Loaded(name, lambda: self.now)
                self.built.append(servable)
            return servable

        holder.append(Slot(name, first, clock=lambda: self.now))
        return holder[0]

    def taken(self):
        return sum(self.sizes[servable.name] for servable in self.built if not servable.retired)

    def use(self, name):
        servable = self.slots[name].current()
        servable.sizes.used = self.now
        return servable

    def loaded(self):
        return {name for name, slot in self.slots.items() if slot.peek() is not None}


def test_the_longest_idle_makes_room_and_comes_back_when_asked():
    world = World(40 * MB, {"a": 10 * MB, "b": 10 * MB, "c": 10 * MB})
    for name in "abc":
        world.use(name)
        world.now += 10
    # c was estimated at its peak of 30 MB: a had to go, b fits beside
    assert world.loaded() == {"b", "c"}
    assert world.slots["a"].evicted == ("1", "a")
    world.use("b")
    world.now += 10
    world.use("a")
    assert world.loaded() == {"a", "b"}
    assert world.slots["a"].evicted is None
    assert world.memory.used == 20 * MB


def test_a_model_in_use_stays_and_one_warning_is_logged(caplog):
    world = World(25 * MB, {"a": 10 * MB, "b": 10 * MB, "c": 10 * MB})
    world.use("a").computing = True
    world.now += 100
    stream = world.use("b")
    assert stream.leases.begin()
    world.now += 100
    world.use("c")
    assert world.loaded() == {"a", "b", "c"}
    assert caplog.text.count("do not fit together") == 1
    world.now += 100
    stream.leases.end()
    world.slots["c"].evict()
    world.use("c")
    assert world.loaded() == {"a", "c"}
    assert caplog.text.count("do not fit together") == 1


def test_a_model_that_was_just_used_counts_as_in_use():
    world = World(25 * MB, {"a": 10 * MB, "b": 10 * MB})
    world.use("a")
    world.now += 4.9
    world.use("b")
    assert world.loaded() == {"a", "b"}


def test_what_is_loading_or_closed_is_not_evicted():
    world = World(100, {"a": 10})
    slot = world.slots["a"]
    assert not slot.evict()
    world.use("a")
    with slot._lock:
        assert not slot.evict()
    assert slot.evict()
    slot.close()
    assert not slot.evict()


def test_many_models_are_all_counted(monkeypatch):
    monkeypatch.setattr("inprocml.serving.memory.SIZES_KEPT", 3)
    world = World(100 * MB, dict.fromkeys("abcdefgh", MB))
    for name in "abcdefgh":
        world.use(name)
    assert world.memory.used == world.taken() == 8 * MB
    for name in "abcde":
        world.slots[name].evict()
    for name in "ab":
        world.use(name)
    assert world.memory.used == world.taken() == 5 * MB


def test_a_candidate_that_never_served_is_counted_no_longer_than_it_lives(store, add_version, row):
    memory = Memory("1 GB", measure=lambda: None)
    with Model(store, version="1", memory=memory) as model:
        model.predict(row)
        one = memory.used
        add_version()
        process = model._process()
        candidate = model._versions.load(process, Version("2", store / "2"), "rollout")
        assert memory.used > 1.5 * one
        candidate.retire(5.0)
        del candidate
        gc.collect()
        assert memory.used == one


def test_a_load_that_fails_takes_no_room():
    world = World(40 * MB, {"a": 10 * MB})
    with pytest.raises(OSError), world.memory.loading(world.slots["a"], "a", 10 * MB):
        raise OSError
    assert world.memory.used == 0
    world.use("a")
    assert world.memory.used == 10 * MB


class Budget(RuleBasedStateMachine):
    """Any order of uses, pauses, runs and swaps."""

    @initialize(limit=st.integers(10, 60))
    def begin(self, limit):
        self.world = World(
            limit * MB, {name: size * MB for name, size in zip("abcd", (1, 4, 8, 10), strict=True)}
        )
        self.running = []

    @rule(name=st.sampled_from("abcd"))
    def use(self, name):
        before = self.world.loaded()
        self.world.use(name)
        after = self.world.loaded()
        gone = before - after
        assert name in after
        kept = [
            self.world.slots[other].used for other in after - {name} if self.world.slots[other].peek().idle
        ]
        last = {servable.name: servable.sizes.used for servable in self.world.built}
        assert all(last[other] <= min(kept, default=last[other]) for other in gone), "not the longest idle"

    @rule(seconds=st.sampled_from([1.0, 6.0]))
    def pause(self, seconds):
        self.world.now += seconds

    @rule(name=st.sampled_from("abcd"))
    def run(self, name):
        servable = self.world.use(name)
        servable.computing = True
        self.running.append(servable)

    @rule()
    def finish(self):
        for servable in self.running:
            servable.computing = False
        self.running.clear()

    @rule(name=st.sampled_from("abcd"))
    def swap(self, name):
        if self.world.slots[name].peek() is not None and not self.running:
            self.world.slots[name].swap(self.world.slots[name]._load_first)

    @invariant()
    def what_is_counted_is_what_is_there(self):
        if hasattr(self, "world"):
            assert self.world.memory.used == self.world.taken()
            assert {s.name for s in self.world.built if not s.retired} == self.world.loaded()


Budget.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestBudget = Budget.TestCase


def test_two_models_that_want_each_others_room_do_not_wait_for_each_other():
    world = World(10 * MB, {"a": 9 * MB, "b": 9 * MB}, idle=0.0)
    errors = []

    def work(name):
        try:
            for _ in range(300):
                world.slots[name].current()
                world.slots[name].evict()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive(), "deadlock"
    assert errors == []


# --- with real models ----------------------------------------------------------------------------------


def declare(store, memory):
    """A model under the budget: whoever opens its runtime makes room first."""

    def backend(bundle):
        with memory.loading(model._process().slot, bundle.digest, MB):
            return open_backend("onnx", bundle.model, threads=1)

    model = Model(store, backend=backend, poll_interval=1000)
    return model


def test_requests_are_answered_while_two_models_evict_each_other(store, row, tmp_path):
    other = tmp_path / "other" / "fraud"
    shutil.copytree(store, other)
    memory = Memory(4 * MB, idle=0.0, measure=lambda: None)
    models = [declare(store, memory), declare(other, memory)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: models[n % 2].predict(row).value, range(600), timeout=50))
    assert set(answers) == {"fraud"}
    models[0].predict(row)
    wait = models[0]._process().slot
    assert wait.evict()
    assert models[0].ready is Readiness.READY
    assert wait.peek() is None, "asking whether it is ready loads nothing"
    assert models[0].predict(row).value == "fraud"
    for model in models:
        model.close()


def test_a_roll_back_survives_eviction(store, row, add_version):
    model = Model(store, poll_interval=1000)
    add_version()
    assert model.reload("2") == "2"
    assert model.reload("1") == "1"
    assert model._process().slot.evict()
    assert model.predict(row).version == "1"
    assert model._process().slot.evict()
    shutil.rmtree(store / "1")
    assert model.predict(row).version == "2"
    model.close()


def test_a_child_shares_nothing_with_its_parent():
    world = World(40 * MB, {"a": 10 * MB})
    world.use("a")
    with world.memory._share().lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if world.memory.used == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_limits():
    assert as_bytes("4 GB") == 4 * 10**9
    assert as_bytes("1.5GiB") == 3 * 2**29
    assert as_bytes(7) == 7
    for limit in ("", "much", "-1 GB", "4 TB", 0, -1, True, 1.5, None):
        with pytest.raises(ValueError, match="limit of memory"):
            Memory(limit)
    with pytest.raises(ValueError, match="idle"):
        Memory(1, idle=-1.0)
    assert resident() is None or resident() > MB
