"""What must not go wrong around a candidate: whose evidence it is, doors that close, threads that stay."""

from __future__ import annotations

import asyncio
import gc
import math
import threading

import pytest
from tests.conftest import Gate, make_rows, wait_for
from tests.model.test_candidates import on_trial

import inprocml
from inprocml import Model, Rollout
from inprocml.backends import open_backend
from inprocml.serving import Trial


def evidence(model):
    return model.rollout.candidates[0].evidence


class Ill:
    """A backend whose ``versions`` do as told once ``broke_out``: raise ``error`` after ``waits`` seconds."""

    def __init__(self, *versions, error=None, waits=0.0):
        self.versions, self.error, self.waits = versions, error, waits
        self.broke_out = False

    def __call__(self, bundle):
        return _Ill(self, bundle.version in self.versions, open_backend("onnx", bundle.model, threads=1))


class _Ill:
    name, device = "ill", "cpu"

    def __init__(self, ill, is_ill, real):
        self.ill, self.is_ill, self.real = ill, is_ill, real

    def run(self, inputs):
        if self.is_ill and self.ill.broke_out:
            threading.Event().wait(self.ill.waits)
            if self.ill.error is not None:
                raise self.ill.error
        return self.real.run(inputs)

    def close(self):
        self.real.close()


# --- what a request may say -------------------------------------------------------------------------------


@pytest.mark.parametrize("rollout", [None, {"2": 1.0}])
@pytest.mark.parametrize("asked", [{"key": 17}, {"key": b"17"}, {"version": 1}])
def test_a_key_that_is_no_text_is_refused_before_a_rollout_begins_as_after(make, row, rollout, asked):
    model = make(rollout=rollout)
    model.predict(row)
    if rollout:
        wait_for(lambda: model.rollout.candidates)
    with pytest.raises(TypeError, match=f"{next(iter(asked))} must be text"):
        model.predict(row, **asked)
    with pytest.raises(TypeError, match=f"{next(iter(asked))} must be text"):
        asyncio.run(model.apredict(row, **asked))


# --- evidence ---------------------------------------------------------------------------------------------


def test_a_candidate_asked_for_by_name_does_not_blame_the_serving_version(make, row):
    ill = Ill("2", error=RuntimeError("out of order"))
    model = on_trial(make(rollout=Rollout("2", rows=10**6), backend=ill), row)
    ill.broke_out = True
    for _ in range(5):
        with pytest.raises(inprocml.BackendFailed):
            model.predict(row, version="2")
    assert evidence(model).serving.errors == 0


def test_what_makes_both_versions_late_is_no_fault_of_the_candidate(make, row):
    ill = Ill("1", "2", waits=0.02)
    model = on_trial(make(rollout={"2": 0.5}, backend=ill), row)
    ill.broke_out = True
    for number in range(60):
        with pytest.raises(inprocml.DeadlineExceeded):
            model.predict(row, key=f"user-{number}", timeout=0.001)
    threading.Event().wait(0.2)  # four polls
    seen = evidence(model)
    assert seen.candidate.errors + seen.serving.errors == 60
    assert seen.serving.errors > 10
    assert [one.decision.action for one in model.rollout.decisions] == ["begin"]


def test_evidence_compares_with_the_version_that_serves(store, make, row):
    from tests.conftest import pack_small

    pack_small(store, seed=5, version="3")
    model = on_trial(make(rollout={"2": 0.0}), row)
    for _ in range(20):
        model.predict(row)
    assert evidence(model).serving.rows >= 20
    model.reload("3")
    assert evidence(model).serving.rows == 0


def test_a_shadow_that_fails_does_not_agree(make, row):
    ill = Ill("2", error=RuntimeError("out of order"))
    rollout = Rollout("2", shadow=1.0, disagreement=0.2)
    model = on_trial(make(rollout=rollout, backend=ill), row)
    ill.broke_out = True
    for one in make_rows(60)[0]:
        assert model.predict(one).version == "1"
    wait_for(lambda: not model.rollout.candidates)
    assert "answered otherwise" in model.rollout.decisions[-1].decision.reason


# --- doors that close -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["reload", "ramp"])
def test_whoever_has_the_candidate_keeps_it_while_it_takes_over(make, row, monkeypatch, ends):
    """To end a shadow that hangs takes its time: nobody who had the candidate is sent back meanwhile."""
    seen, release = [], Trial.release

    def slowly(trial, timeout):
        seen.append(model.predict(row, version="2").version)
        seen.append(model.predict(row, key="user").version)
        release(trial, timeout)

    monkeypatch.setattr(Trial, "release", slowly)
    ramp = Rollout("2", ramp=(1.0,), hold=0.0, rows=5, latency=math.inf)
    model = on_trial(make(rollout=ramp if ends == "ramp" else {"2": 1.0}), row)
    if ends == "reload":
        model.reload("2")
    else:
        for _ in range(5):
            model.predict(row)
    wait_for(lambda: not model.rollout.candidates and len(seen) == 2)
    assert seen == ["2", "2"]


def test_a_pin_that_was_serving_is_answered_while_it_is_swapped_away(make, row, monkeypatch):
    """Between the look at what is loaded and the question to it, another version may have taken its place."""
    model = make(pins=["1"])
    model.predict(row)
    process = model._process()
    before = type(process).loaded
    monkeypatch.setattr(type(process), "loaded", property(lambda _self: ("1", "2")))
    model.reload("2")
    assert model.predict(row, version="1").version == "1"
    assert asyncio.run(model.apredict(row, version="1")).version == "1"
    monkeypatch.setattr(type(process), "loaded", before)


def test_a_shift_waits_for_no_load_and_no_drain(make, row):
    model = on_trial(make(rollout={"2": 1.0}), row)
    with model._process().moving:  # as a load, or a version that drains, holds it
        shift = threading.Thread(target=model.shift, args=("2", 0.0), daemon=True)
        shift.start()
        shift.join(5.0)
        assert not shift.is_alive()
        assert model.predict(row).version == "1"


def test_a_candidate_that_hangs_holds_up_no_move_and_is_freed_when_it_ends(store, add_version, row):
    add_version()
    gate, closed = Gate(), []

    def backend(bundle):
        made = gate(bundle)
        end, made.close = made.close, lambda: (closed.append(bundle.version), end())
        return made

    with Model(store, version="1", poll_interval=0.02, rollout={"2": 0.0}, backend=backend) as model:
        on_trial(model, row)
        gate.shut = True
        hung = threading.Thread(target=model.predict, args=(row,), kwargs={"version": "2"})
        hung.start()
        assert gate.entered.wait(10)
        gate.shut = False
        process = model._process()

        def take_back():
            with process.moving:
                (trial,) = process.trials
                model._versions.trials.carry_out(process, trial, trial.end("roll_back", "it hangs"))

        moving = threading.Thread(target=take_back)
        moving.start()
        moving.join(15.0)
        assert not moving.is_alive()
        assert model.reload("1") == "1"
        assert "2" not in closed, "a runtime that still computes must not be freed"
        gate.opened.set()
        hung.join(10.0)
        wait_for(lambda: "2" in closed)


@pytest.mark.parametrize("ends", ["roll_back", "withdraw"])
def test_the_memory_of_a_candidate_goes_back_to_the_system(make, row, monkeypatch, ends):
    trimmed = []
    monkeypatch.setattr("inprocml.serving.servable.trim", lambda: trimmed.append(1))
    model = on_trial(make(rollout={"2": 0.0}), row)
    process = model._process()
    with process.moving:
        (trial,) = process.trials
        model._versions.trials.carry_out(process, trial, trial.end(ends, "enough"))
    assert trimmed


# --- threads ----------------------------------------------------------------------------------------------


def test_a_shadow_whose_thread_cannot_start_breaks_nobody(make, row, monkeypatch):
    model = on_trial(make(rollout=Rollout("2", shadow=1.0)), row)
    start = threading.Thread.start

    def full(thread):
        if "shadow" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", full)
    assert {model.predict(row).version for _ in range(5)} == {"1"}
    assert evidence(model).dropped == 5
    monkeypatch.undo()
    model.predict(row)
    wait_for(lambda: evidence(model).compared == 1)
    model.close()


def test_a_model_that_is_dropped_leaves_no_shadow_behind(store, add_version, row):
    add_version()

    def shadows():
        gc.collect()
        return [thread for thread in threading.enumerate() if "inprocml-shadow" in thread.name]

    model = Model(store, version="1", poll_interval=0.02, rollout=Rollout("2", shadow=1.0))
    on_trial(model, row)
    model.predict(row)
    assert shadows()
    del model
    wait_for(lambda: not shadows())
