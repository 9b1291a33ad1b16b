"""Processes that follow one alias act as one on a candidate; here each model stands for a process."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap

import pytest
from tests.conftest import wait_for
from tests.model.test_candidates import Sick

from inprocml import BundleError, Model, Rollout, Store
from inprocml.serving import Decision
from inprocml.sources import Directory


@pytest.fixture
def worker(store, add_version):
    """A function that declares a model which follows ``production``, and closes it after the test."""
    add_version()
    Store(store).promote("1")
    made = []

    def worker(**options):
        model = Model(store, **{"alias": "production", "poll_interval": 0.03} | options)
        made.append(model)
        return model

    yield worker
    for model in made:
        model.close()


def entered(store):
    return Directory(store).newest_entry().trials.get("production")


def actions(model):
    return [one.decision.action for one in model.rollout.decisions]


def test_a_candidate_that_one_process_takes_back_is_gone_from_all_and_stays_away(store, worker, row):
    sick = Sick(fails=True)
    one, other = (worker(rollout={"2": 0.5}, backend=sick) for _ in range(2))
    for model in (one, other):
        model.predict(row)
    wait_for(lambda: one.rollout.candidates and other.rollout.candidates)
    assert entered(store).share == 0.5
    sick.broke_out = True
    for number in range(20):
        assert one.predict(row, key=f"user-{number}").version == "1"
    wait_for(lambda: not one.rollout.candidates and not other.rollout.candidates)
    assert (actions(one)[-1], actions(other)[-1]) == ("roll_back", "roll_back")
    assert "another process" in other.rollout.decisions[-1].decision.reason
    assert entered(store).share == 0.0
    told = Store(store).history()[-1]
    assert "rows failed" in told.why
    restarted = worker(rollout={"2": 0.5}, backend=sick)
    restarted.predict(row)
    restarted.reload()
    wait_for(lambda: restarted.ready)
    assert actions(restarted) == []


def test_a_ramp_goes_on_where_the_others_are_and_moves_the_alias_at_its_end(store, worker, row):
    rollout = Rollout("2", ramp=(0.2, 0.6, 1.0), hold=0.0, rows=30, latency=math.inf)
    one = worker(rollout=rollout)
    one.predict(row)
    wait_for(lambda: one.rollout.candidates)

    def answered_until(share):
        one.predict(row)
        return entered(store) is not None and entered(store).share >= share

    wait_for(lambda: answered_until(0.6))
    late = worker(rollout=Rollout("2", ramp=(0.2, 0.6, 1.0), hold=1e9, rows=30, latency=math.inf))
    late.predict(row)
    wait_for(lambda: late.rollout.candidates)
    assert late.rollout.candidates[0].share >= 0.6, "not from the beginning"

    def moved():
        one.predict(row)
        return Store(store).alias("production").name == "2"

    wait_for(moved)
    wait_for(lambda: one.version == late.version == "2")
    assert (actions(one)[-1], actions(late)[-1]) == ("finish", "finish")
    assert entered(store) is None
    assert "within the limits" in Store(store).history()[-1].why


def test_a_person_takes_a_candidate_back_from_all_and_lets_it_in_again(store, worker, row):
    models = [worker(rollout={"2": 0.3}) for _ in range(2)]
    for model in models:
        model.predict(row)
    wait_for(lambda: all(model.rollout.candidates for model in models))
    Store(store).trial("2", 0.0, why="complaints")
    wait_for(lambda: not any(model.rollout.candidates for model in models))
    Store(store).trial("2", 0.9, why="mended")
    wait_for(lambda: all(model.rollout.candidates for model in models))
    assert {model.rollout.candidates[0].share for model in models} == {0.9}
    Store(store).trial("2", 0.1, why="careful")
    wait_for(lambda: {model.rollout.candidates[0].share for model in models} == {0.1})


def test_moving_the_alias_to_the_candidate_ends_the_trial_everywhere(store, worker, row):
    models = [worker(rollout={"2": 0.3}) for _ in range(2)]
    for model in models:
        model.predict(row)
    wait_for(lambda: all(model.rollout.candidates for model in models))
    Store(store).promote("2", why="enough seen")
    wait_for(lambda: all(model.version == "2" for model in models))
    assert [actions(model)[-1] for model in models] == ["finish", "finish"]


def test_a_blue_green_switch_of_one_process_is_not_entered(store, worker, row):
    model = worker(rollout={"2": 0.0})
    model.predict(row)
    wait_for(lambda: model.rollout.candidates)
    model.shift("2", 1.0)
    assert model.predict(row).version == "2"
    assert entered(store) is None


def test_what_is_taken_back_stays_so_whatever_another_process_decides(store, worker, row):
    from inprocml.model.board import Board

    model = worker(rollout={"2": 0.3})
    model.predict(row)
    wait_for(lambda: model.rollout.candidates)
    (trial,) = model._process().trials
    board, serving = Board(Directory(store), "production"), model._process().slot.peek()

    def enter(*decision):
        return board.enter(trial.servable, serving, Decision(*decision), known=trial.entered)

    assert enter("roll_back", 0.0, "late") == 0.0
    before = len(Store(store).history())
    assert enter("finish", 1.0, "all well") == 0.0
    assert enter("advance", 0.6, "all well") == 0.0
    assert enter("roll_back", 0.0, "late") == 0.0
    assert len(Store(store).history()) == before, "nothing new was entered"
    assert Store(store).alias("production").name == "1"


def test_a_store_that_cannot_be_written_leaves_each_process_its_own_decision(
    store, worker, row, monkeypatch, caplog
):
    def refuse(*_, **__):
        raise BundleError("read-only")

    monkeypatch.setattr("inprocml.model.board.write_move", refuse)
    rollout = Rollout("2", ramp=(0.5, 1.0), hold=0.0, rows=20, latency=math.inf)
    model = worker(rollout=rollout)
    model.predict(row)
    wait_for(lambda: model.rollout.candidates)

    def taken_over():
        model.predict(row)
        return model.version == "2"

    wait_for(taken_over)
    assert caplog.text.count("cannot be entered") == 1
    assert entered(store) is None
    assert model.predict(row).version == "2", "and it stays, though the alias means another"


WORKER = """
import json, math, sys, threading
from inprocml import Model, Rollout
from inprocml.backends import open_backend

class Failing:
    name, device = "failing", "cpu"
    def __init__(self, real, ill):
        self.real, self.ill = real, ill
    def run(self, inputs):
        if self.ill and sick.is_set():
            raise RuntimeError("out of order")
        return self.real.run(inputs)
    def close(self):
        self.real.close()

sick = threading.Event()
def backend(bundle):
    ill = bundle.version == "2" and sys.argv[2] == "ill"
    return Failing(open_backend("onnx", bundle.model, threads=1), ill)

rollout = Rollout("2", ramp=(0.5, 1.0), hold=1e9, rows=40, latency=math.inf)
model = Model(sys.argv[1], alias="production", poll_interval=0.05, rollout=rollout, backend=backend)
row = {"amount": 80.0, "country": "us"}
model.predict(row)
while not model.rollout.candidates:
    threading.Event().wait(0.02)
print("up", flush=True)
sys.stdin.readline()
sick.set()
answers = []
for number in range(100000):
    answers.append(model.predict(row, key=f"user-{number}").version)
    decided = [one.decision.action for one in model.rollout.decisions]
    if "roll_back" in decided or "finish" in decided:
        break
    threading.Event().wait(0.002)
print(json.dumps({"decided": decided, "version": model.version, "answered": len(answers)}), flush=True)
"""


@pytest.mark.timeout(60)
def test_real_processes_agree_though_only_one_of_them_sees_the_fault(store, add_version):
    add_version()
    Store(store).promote("1")
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), str(store), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for kind in ("ill", "sound", "sound")
    ]
    try:
        for one in crowd:
            assert one.stdout.readline() == "up\n"
        for one in crowd:
            one.stdin.write("go\n")
            one.stdin.flush()
        told = [json.loads(one.stdout.readline()) for one in crowd]
    finally:
        for one in crowd:
            one.kill()
            one.wait()
            one.stdin.close()
            one.stdout.close()
    assert all(one["decided"][-1] == "roll_back" for one in told), told
    assert {one["version"] for one in told} == {"1"}
    assert entered(store).share == 0.0
    assert [e.action for e in Store(store).history()].count("move") == 1, "nobody moved the alias"
