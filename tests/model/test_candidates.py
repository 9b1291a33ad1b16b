"""Candidates beside the serving version, with real models: who answers whom, and what ends a trial."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.conftest import make_rows, pack_small, wait_for

import inprocml
from inprocml import Model, Rollout
from inprocml.backends import open_backend
from inprocml.values import Readiness


def on_trial(model, row, sick=None):
    """Use the model, and wait until its candidate is loaded."""
    model.predict(row)
    wait_for(lambda: model.rollout.candidates)
    if sick is not None:
        sick.broke_out = True
    return model


class Sick:
    """A backend whose version 2 fails, or takes its time, once ``broke_out`` is set."""

    def __init__(self, *, fails=False, waits=0.0):
        self.fails, self.waits, self.pause = fails, waits, threading.Event()
        self.broke_out = False

    def __call__(self, bundle):
        return _Patient(self, bundle.version == "2", open_backend("onnx", bundle.model, threads=1))


class _Patient:
    name, device = "sick", "cpu"

    def __init__(self, sick, is_sick, real):
        self.sick, self.is_sick, self.real = sick, is_sick, real

    def run(self, inputs):
        if self.is_sick and self.sick.broke_out:
            self.sick.pause.wait(self.sick.waits)
            if self.sick.fails:
                raise RuntimeError("out of order")
        return self.real.run(inputs)

    def close(self):
        self.real.close()


# --- shares ---------------------------------------------------------------------------------------------


def shared(shares):
    """Candidates that no pause of this machine takes back: here it is dealt, not judged."""
    return [Rollout(version, share=share, latency=math.inf) for version, share in shares.items()]


def test_a_share_of_the_keys_gets_the_candidate_and_keeps_it_everywhere(make, row):
    one, other = (on_trial(make(rollout=shared({"2": 0.3})), row) for _ in range(2))
    keys = [f"user-{number}" for number in range(300)]
    dealt = [one.predict(row, key=key).version for key in keys]
    assert set(dealt) == {"1", "2"}
    assert 50 < dealt.count("2") < 130
    assert [other.predict(row, key=key).version for key in reversed(keys)] == dealt[::-1]
    grown = on_trial(make(rollout=shared({"2": 0.6})), row)
    assert all(grown.predict(row, key=k).version == "2" for k, v in zip(keys, dealt, strict=True) if v == "2")


def test_requests_without_a_key_are_dealt_by_chance(make, row):
    model = on_trial(make(rollout=shared({"2": 0.5})), row)
    versions = [model.predict(row).version for _ in range(200)]
    assert 50 < versions.count("2") < 150


def test_two_candidates_share_what_they_are_given(store, make, row):
    pack_small(store, seed=2, version="3")
    model = make(rollout=shared({"2": 0.3, "3": 0.3}))
    model.predict(row)
    wait_for(lambda: len(model.rollout.candidates) == 2)
    versions = [model.predict(row, key=f"user-{n}").version for n in range(600)]
    for version, wanted in (("1", 240), ("2", 180), ("3", 180)):
        assert abs(versions.count(version) - wanted) < 60


def test_coroutines_are_dealt_as_threads_are(make, row):
    model = on_trial(make(rollout=shared({"2": 0.5})), row)
    keys = [f"user-{number}" for number in range(100)]

    async def gather():
        return await asyncio.gather(*(model.apredict(row, key=key) for key in keys))

    assert [p.version for p in asyncio.run(gather())] == [model.predict(row, key=key).version for key in keys]


def test_the_variant_is_on_record(make, row):
    model = on_trial(make(rollout=shared({"2": 1.0})), row)
    before = model.predict(row, version="1")
    assert model.predict(row).version == "2"
    assert model.predict(row).probability != before.probability


# --- what fails -----------------------------------------------------------------------------------------


def test_a_candidate_that_fails_costs_no_request_and_is_rolled_back(make, row, caplog):
    sick = Sick(fails=True)
    model = on_trial(make(rollout={"2": 1.0}, backend=sick), row, sick)
    with caplog.at_level(logging.INFO, logger="inprocml"):
        assert {model.predict(row).version for _ in range(10)} == {"1"}
        wait_for(lambda: not model.rollout.candidates)
    decisions = [(one.version, one.decision.action) for one in model.rollout.decisions]
    assert decisions == [("2", "begin"), ("2", "roll_back")]
    assert "10 of 10 rows failed" in model.rollout.decisions[-1].decision.reason
    assert [r for r in caplog.records if "roll_back" in r.message and r.levelno == logging.WARNING]
    assert model.predict(row).version == "1"
    assert "serving 1" in str(model.rollout)


def test_a_candidate_that_was_rolled_back_does_not_come_again(make, row):
    sick = Sick(fails=True)
    model = on_trial(make(rollout={"2": 1.0}, backend=sick), row, sick)
    for _ in range(10):
        model.predict(row)
    wait_for(lambda: not model.rollout.candidates)
    threading.Event().wait(0.3)  # six polls
    assert [one.decision.action for one in model.rollout.decisions] == ["begin", "roll_back"]


def test_rows_that_both_versions_refuse_are_no_fault_of_the_candidate(make, row):
    model = on_trial(make(rollout={"2": 1.0}), row)
    for _ in range(20):
        with pytest.raises(inprocml.InvalidRow):
            model.predict({"amount": "much"})
    (candidate,) = model.rollout.candidates
    assert candidate.evidence.candidate.errors == 0
    assert model.predict(row).version == "2"


def test_a_candidate_that_is_late_is_rolled_back(make, row):
    sick = Sick(waits=0.01)
    model = on_trial(make(rollout=Rollout("2", 0.5, rows=100), backend=sick), row, sick)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: model.predict(row, key=f"user-{n}"), range(300)))
        wait_for(lambda: not model.rollout.candidates)
    assert "95th percentile" in model.rollout.decisions[-1].decision.reason


def test_a_broken_candidate_is_refused_once_and_nobody_notices(store, row, add_broken_version, caplog):
    add_broken_version()
    model = Model(store, version="1", poll_interval=0.02, rollout={"2": 0.5})
    assert model.predict(row).version == "1"
    wait_for(lambda: "version 2 refused" in caplog.text)
    threading.Event().wait(0.2)
    assert caplog.text.count("refused") == 1
    assert model.ready is Readiness.READY, "the version that should serve does"
    assert {model.predict(row).version for _ in range(20)} == {"1"}
    model.close()


def test_a_candidate_that_is_not_there_yet_is_waited_for(store, row, add_version):
    model = Model(store, version="1", poll_interval=0.02, rollout={"2": 1.0})
    assert model.predict(row).version == "1"
    threading.Event().wait(0.1)
    add_version()
    wait_for(lambda: model.predict(row).version == "2")
    model.close()


# --- shadow ---------------------------------------------------------------------------------------------


def test_a_shadow_answers_nobody_and_is_compared(make, row):
    model = on_trial(make(rollout=Rollout("2", shadow=1.0)), row)

    def evidence():
        return model.rollout.candidates[0].evidence

    wait_for(lambda: evidence().compared == evidence().serving.rows)
    before = evidence()  # the first use may have met the candidate already
    rows, _ = make_rows(60, seed=4)
    answers = [model.predict(one) for one in rows]
    assert {answer.version for answer in answers} == {"1"}
    wait_for(lambda: evidence().compared == before.compared + 60)
    differ = sum(
        answer.value != model.predict(one, version="2").value
        for one, answer in zip(rows, answers, strict=True)
    )
    assert evidence().disagreed - before.disagreed == differ


def test_a_shadow_that_disagrees_too_often_is_ended(store, row):
    rows, labels = make_rows(200)
    pack_contrary(store, rows, labels)
    model = Model(store, version="1", poll_interval=0.02, rollout=Rollout("9", shadow=1.0, disagreement=0.2))
    on_trial(model, row)
    for one in rows:
        assert model.predict(one).version == "1"
    wait_for(lambda: not model.rollout.candidates)
    assert "answered otherwise" in model.rollout.decisions[-1].decision.reason
    model.close()


def pack_contrary(store, rows, labels):
    from sklearn.linear_model import LogisticRegression

    from inprocml import Category, Classes, Numeric, Transform

    transform = Transform({"amount": Numeric(missing="median", scale="standard"), "country": Category()})
    estimator = LogisticRegression().fit(transform.fit_transform(rows), 1 - labels)
    inprocml.pack(
        store,
        transform=transform,
        model=estimator,
        output=Classes(["ok", "fraud"]),
        baseline=rows,
        version="9",
    )


def test_a_shadow_that_hangs_holds_up_nobody_and_forgets_what_it_cannot_take(make, row):
    sick = Sick(waits=30.0)
    model = on_trial(make(rollout=Rollout("2", shadow=1.0, deadline=0.05), backend=sick), row, sick)
    assert {model.predict(row).version for _ in range(400)} == {"1"}
    evidence = model.rollout.candidates[0].evidence
    assert evidence.dropped > 100
    assert evidence.serving.rows >= 400
    sick.pause.set()


# --- ramps, blue and green, and what follows ---------------------------------------------------------------


def test_a_ramp_ends_with_the_candidate_serving_and_the_old_one_freed(make, row):
    closed = []

    def backend(bundle):
        real = open_backend("onnx", bundle.model, threads=1)
        end, real.close = real.close, lambda: (closed.append(bundle.version), end())
        return real

    rollout = Rollout("2", ramp=(0.2, 1.0), hold=0.0, rows=5, latency=math.inf)
    model = on_trial(make(rollout=rollout, backend=backend), row)

    def asked_until():
        model.predict(row)
        return model.version == "2"

    wait_for(asked_until)
    wait_for(lambda: "1" in closed)
    actions = [one.decision.action for one in model.rollout.decisions]
    assert actions == ["begin", "advance", "finish"]
    assert not model.rollout.candidates
    assert "2" not in closed
    assert model.predict(row).version == "2"


def test_blue_and_green_switch_at_once_and_back(make, row):
    model = on_trial(make(rollout={"2": 0.0}), row)
    assert {model.predict(row).version for _ in range(20)} == {"1"}
    model.shift("2", 1.0, why="looks good")
    assert {model.predict(row).version for _ in range(20)} == {"2"}
    model.shift("2", 0.0)
    assert {model.predict(row).version for _ in range(20)} == {"1"}
    assert [one.decision.reason for one in model.rollout.decisions][1:] == ["looks good", "by hand"]
    with pytest.raises(inprocml.UnknownVersion, match=r"no candidate '7'.*2"):
        model.shift("7", 1.0)
    with pytest.raises(ValueError, match="share must be"):
        model.shift("2", 1.1)


def test_a_reload_to_the_candidate_makes_it_serve_without_loading_it_again(make, row):
    loads = []

    def backend(bundle):
        loads.append(bundle.version)
        return open_backend("onnx", bundle.model, threads=1)

    model = on_trial(make(rollout={"2": 0.1}, backend=backend), row)
    assert model.reload("2") == "2"
    assert model.predict(row).version == "2"
    assert loads == ["1", "2"]
    assert not model.rollout.candidates


def test_no_request_fails_while_candidates_come_and_go(make, row):
    model = on_trial(make(rollout=Rollout("2", ramp=(0.5, 1.0), hold=0.0, rows=50, latency=math.inf)), row)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: model.predict(row, key=f"{n}").version, range(1500)))
    assert set(answers) == {"1", "2"}
    wait_for(lambda: model.predict(row).version == "2" and not model.rollout.candidates)


# --- pins -----------------------------------------------------------------------------------------------


def test_a_pin_is_loaded_when_it_is_first_asked_for(make, row):
    model = make(pins=["2"])
    assert model.predict(row).version == "1"
    assert model.offered == ("1", "2")
    assert model.predict(row, version="2").version == "2"
    assert asyncio.run(model.apredict(row, version="2")).version == "2"
    assert model.predict(row, version="1").version == "1"
    with pytest.raises(inprocml.UnknownVersion, match="pins"):
        model.predict(row, version="3")


def test_a_pin_ends_with_its_model(make, row):
    model = make(pins=["2"])
    model.predict(row, version="2")
    model.close()
    with pytest.raises(inprocml.NotReady):
        model.predict(row, version="2")


def test_a_version_on_trial_may_be_asked_for_by_name(make, row):
    model = on_trial(make(rollout={"2": 0.0}), row)
    assert model.predict(row, version="2").version == "2"
