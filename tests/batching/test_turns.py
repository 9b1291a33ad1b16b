"""Several models at one device: shares by weight, no starvation, nobody holds it twice, a hang frees it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.batching.callers import PATIENCE

from inprocml.batching import Drained, Runner, Turns
from inprocml.testing import FakeBackend


def serve(weights, costs, seconds):
    """Let every model ask again as soon as it was served; return the device seconds that each got."""
    turns = Turns()
    places = [turns.join(weight) for weight in weights]
    got = [0.0] * len(places)
    waiting = {k: _Wait(turns, place) for k, place in enumerate(places)}
    now = 0.0
    while now < seconds:
        k = granted(waiting)
        now += costs[k]
        got[k] += costs[k]
        finished = waiting[k]
        waiting[k] = None
        again = threading.Thread(target=lambda k=k: waiting.__setitem__(k, _Wait(turns, places[k])))
        again.start()
        again.join()
        finished.release(costs[k])
    for wait in waiting.values():
        wait.abandon()
    return got


def granted(waiting):
    """The one whose turn it is; the wake-up may take its time."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        for k, wait in waiting.items():
            if wait.there.wait(0.0005):
                return k
    raise AssertionError("nobody has the device")


class _Wait:
    """One pending run, on a thread of its own."""

    def __init__(self, turns, place):
        self.place, self.there = place, threading.Event()
        self.thread = threading.Thread(target=self._acquire, daemon=True)
        self.thread.start()
        limit = time.monotonic() + PATIENCE
        while not self.there.is_set() and self not in turns._waiting:
            assert time.monotonic() < limit
            time.sleep(0.0001)

    def _acquire(self):
        self.place.acquire(self)
        self.there.set()

    def release(self, seconds):
        self.place.release(self, seconds)

    def abandon(self):
        self.place.release(self, 0.0)


def test_device_time_is_shared_by_weight_whatever_a_run_costs():
    got = serve([1.0, 3.0], [0.010, 0.002], 0.8)
    assert got[1] / got[0] == pytest.approx(3.0, rel=0.1)


def test_equal_weights_give_equal_time():
    got = serve([1.0, 1.0, 1.0], [0.001, 0.004, 0.002], 0.3)
    assert max(got) / min(got) < 1.05


def test_who_was_away_saves_up_no_claim():
    turns = Turns()
    busy, lazy = turns.join(), turns.join()
    for k in range(100):
        assert busy.claim(k)
        busy.release(k, 1.0)
    assert lazy.claim("a")
    lazy.release("a", 1.0)
    assert lazy.virtual >= 99


@given(st.lists(st.sampled_from(["claim", "release", "again", "leave"]), max_size=40), st.integers(1, 3))
def test_at_most_so_many_runs_at_once_whatever_is_released_twice(acts, most):
    turns = Turns(most)
    places = [turns.join(), turns.join(2.0)]
    held = []
    for k, act in enumerate(acts):
        place = places[k % 2]
        if act == "claim":
            assert place.claim(k) is (len(held) < most)
            held += [(k, place)] if len(held) < most else []
        elif act == "leave":
            place.leave()
            held = [(who, holder) for who, holder in held if holder is not place]
        elif held:
            who, holder = held[0]
            holder.release(who, 0.1)
            if act == "again":
                holder.release(who, 0.1)
            held = held[1:]
        assert len(turns._holders) == len(held) <= most


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan"), "2", True])
def test_impossible_weights_are_refused(weight):
    with pytest.raises(ValueError, match="weight"):
        Turns().join(weight)


def test_runners_at_one_device_never_compute_at_once():
    """Inline runs, batches and failures alike; every answer is its own question's."""
    turns, inside, most = Turns(), [], []

    def compute(inputs):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.0002)
        inside.pop()
        if 13 in inputs["x"]:
            raise ValueError("13")
        return {"x": inputs["x"] * 2}

    runners = [Runner(FakeBackend(compute), name=f"m{k}", turn=turns.join(1 + k)) for k in range(3)]
    wrong = []

    def ask(k):
        for i in range(60):
            value = 13 if i == 30 else 100 * k + i + 20
            try:
                got = runners[k % 3].run({"x": np.array([[value]])}).outputs["x"].item()
            except Exception as error:
                got = type(error).__name__
            if got != ("BackendFailed" if value == 13 else 2 * value):
                wrong.append((value, got))

    threads = [threading.Thread(target=ask, args=(k,), daemon=True) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert not wrong
    assert max(most) == 1
    assert all(runner.close(PATIENCE) for runner in runners)
    assert not turns._holders
    assert not turns._waiting


def refused(runner, inputs):
    with pytest.raises(Drained):
        runner.run(inputs)


def test_a_model_that_hangs_leaves_the_device_to_the_others():
    turns, backend = Turns(), FakeBackend()
    stuck = Runner(backend, turn=turns.join(), run_timeout=0.1)
    other = Runner(FakeBackend(), turn=turns.join())
    x = {"x": np.ones((1, 1))}
    with backend.hold():
        threading.Thread(target=stuck.run, args=(x,), daemon=True).start()
        backend.wait_running()
        behind = threading.Thread(target=refused, args=(stuck, x), daemon=True)
        behind.start()
        assert other.run(x, deadline=time.monotonic() + PATIENCE).outputs["x"].item() == 1.0
        behind.join(PATIENCE)
    assert other.close(PATIENCE)
    limit = time.monotonic() + PATIENCE
    while not stuck.close(0.05):
        assert time.monotonic() < limit
    assert not turns._holders
