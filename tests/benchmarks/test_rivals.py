"""The arithmetic of the batching benchmark: what it counts, what it folds, what it judges."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import table
from benchmarks.batching import FULL, MODELS, QUICK
from benchmarks.mlp import mlp
from benchmarks.rivals import contestants, open_loop
from benchmarks.rivals.child import check, mean
from benchmarks.rivals.contestants import CONTESTANTS, Contestant, ask
from benchmarks.rivals.load import Tally, ceiling, closed, descendants, lone
from benchmarks.rivals.verdicts import closed_targets, judged, medians, open_targets
from benchmarks.rivals.way import Session, Way

SIZES = [32, 128]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    path.write_bytes(mlp((64, 8, 10)))
    return Session(str(path))


def figures(**ours):
    """Figures in which all contestants are alike, but for ours."""
    alike = {
        "of_ceiling": 0.5,
        "p99_batches": 3.0,
        "cpu_us_per_row": 40.0,
        "rows_per_second": 10.0,
        "p99_ms": 9.0,
    }
    lonely = {"over_bare_us": 7.0}
    said = {}
    for one in CONTESTANTS:
        busy = alike | (ours if one.ours else {})
        said[one.name] = {
            name: {"lone": dict(lonely), **{str(size): dict(busy) for size in SIZES}} for name in MODELS
        }
    return said


def by_what(targets):
    assert len({target["what"] for target in targets}) == len(targets)
    return {target["what"]: target for target in targets}


def test_contestants_are_named_apart_and_ours_are_measured_in_both_forms():
    assert len({one.name for one in CONTESTANTS}) == len(CONTESTANTS)
    assert {one.form for one in CONTESTANTS if one.ours} == {"threads", "tasks"}
    assert {one.form for one in CONTESTANTS} == {"threads", "tasks"}


def test_medians_fold_trees_number_by_number():
    turns = [{"a": {"b": 1.0}, "c": 5.0}, {"a": {"b": 9.0}, "c": 4.0}, {"a": {"b": 2.0}, "c": 6.0}]
    assert medians(turns) == {"a": {"b": 2.0}, "c": 5.0}


@given(st.floats(0, 100), st.floats(0, 100))
def test_what_the_words_say_decides_the_verdict(measured, target):
    assert judged("x, at most", measured, target)["met"] == (measured <= target)
    assert judged("x, at least", measured, target)["met"] == (measured >= target)


def test_words_without_a_direction_are_refused():
    with pytest.raises(ValueError, match="at most"):
        judged("x", 1.0, 2.0)


def test_the_worst_of_forms_and_sizes_counts():
    seen = figures(of_ceiling=0.99, p99_batches=1.0, cpu_us_per_row=20.0)
    seen["inprocml, asyncio"]["slow"]["128"]["of_ceiling"] = 0.6
    seen["inprocml, threads"]["mlp"]["32"]["p99_batches"] = 2.5
    seen["inprocml, threads"]["mlp"]["128"]["cpu_us_per_row"] = 41.0
    judged_by = by_what(closed_targets(seen, SIZES))
    met = {what: target["met"] for what, target in judged_by.items()}
    missed = sorted(what for what, good in met.items() if not good and not what.startswith("32 threads"))
    assert missed == [
        "32 and 128 callers, 2 ms model: rows/s over session.run at that batch, at least",
        "32 and 128 callers, 50 us model: CPU per row over the cheapest rival's, threads, at most",
        "32 and 128 callers, 50 us model: p99 in batch times, at most",
    ]


def test_cpu_is_held_against_the_cheapest_rival_there_is():
    seen = figures(cpu_us_per_row=30.0)
    seen["BentoML's dispatcher in process"]["mlp"]["32"]["cpu_us_per_row"] = 20.0
    what = "32 and 128 callers, 50 us model: CPU per row over the cheapest rival's, coroutines, at most"
    assert by_what(closed_targets(seen, SIZES))[what]["measured"] == 1.5
    del seen["BentoML's dispatcher in process"]  # not measured: the others stay
    assert by_what(closed_targets(seen, SIZES))[what]["measured"] == 0.75


def test_without_any_rival_nothing_is_said_of_their_cpu():
    seen = {one.name: of for one in CONTESTANTS if (of := figures()[one.name]) and not one.place}
    said = by_what(closed_targets(seen, SIZES))
    assert not [what for what in said if "coroutines" in what]


def test_the_open_loop_is_judged_at_its_worst_load():
    def point(p50, p99):
        return {"p50_ms": p50, "p99_ms": p99}

    loads = {
        "2": {"eager": point(2, 3), "1 ms": point(3, 4), "10 ms": point(12, 13)},
        "30": {"eager": point(5, 8), "1 ms": point(6, 8), "10 ms": point(12.5, 20)},
        "97": {"eager": point(40, 66), "1 ms": point(40, 90), "10 ms": point(41, 60)},
    }
    tail, middle = open_targets(loads)
    assert (tail["measured"], tail["met"]) == (1.1, True)
    assert (middle["measured"], middle["met"]) == (2.5, True)
    loads["97"]["10 ms"]["p99_ms"] = 50
    assert not open_targets(loads)[0]["met"]


@given(rate=st.floats(50, 3000), seconds=st.floats(0.1, 2), seed=st.integers(0, 99))
def test_arrivals_are_as_many_as_the_rate_says_and_the_same_for_the_same_seed(rate, seconds, seed):
    moments = open_loop.arrivals(rate, seconds, seed)
    assert (np.diff(moments) >= 0).all()
    assert not len(moments) or 0 <= moments[0] <= moments[-1] < seconds
    assert abs(len(moments) - rate * seconds) <= 6 * (rate * seconds) ** 0.5 + 6
    assert (moments == open_loop.arrivals(rate, seconds, seed)).all()


async def test_a_latency_counts_from_the_moment_at_which_the_request_was_due():
    """Ten requests due at once, answered one after the other: the last has waited for all."""
    one = asyncio.Lock()

    async def answer(_):
        async with one:
            await asyncio.sleep(0.01)

    latency, late = await open_loop.drive(answer, np.zeros(10))
    assert (np.sort(latency)[1:] - np.sort(latency)[:-1] > 0.005).all()
    assert (latency >= late).all()
    assert (late >= 0).all()


async def test_a_generator_that_is_held_up_says_so_and_charges_the_delay():
    async def answer(_):
        time.sleep(0.05)  # noqa: ASYNC251  what holds the loop holds those who come next

    latency, late = await open_loop.drive(answer, np.array([0.0, 0.01]))
    assert late[1] > 0.03
    assert latency[1] > 0.08


def test_a_tally_counts_calls_that_end_between_its_marks():
    tally = Tally(2)
    tally.marks = [(10.0, 1.0), (12.0, 2.0)]
    tally.calls = [[(9.0, 9.5), (9.5, 10.5), (10.5, 11.5)], [(11.0, 12.5)]]
    assert tally.figures() == {
        "rows_per_second": 1.0,
        "p50_ms": 1000.0,
        "p99_ms": 1000.0,
        "cpu_us_per_row": 5e5,
    }


def test_a_caller_that_fails_fails_the_figures(model):
    def call(_):
        raise OSError("gone")

    with pytest.raises(RuntimeError, match="3 callers failed"):
        closed(Way(call=call), 3, 0.05)


def test_a_contestant_with_other_answers_is_refused(model):
    check(Way(call=model.run), model)
    with pytest.raises(RuntimeError, match="answers differ"):
        check(Way(call=lambda row: model.run(row) + 1), model)


def test_threads_and_coroutines_are_both_driven(model):
    async def acall(row):
        await asyncio.sleep(0)
        return model.run(row)

    most = ceiling(model, 4, 0.05)
    for way in (Way(call=model.run), Way(acall=acall)):
        assert closed(way, 4, 0.1)["rows_per_second"] > 0
        assert lone(way, model, 0.02)["bare_us"] > 0
    assert most["batch_ms"] == pytest.approx(4e3 / most["rows_per_second"])


def test_the_ceiling_is_what_it_was_before_and_after():
    assert mean({"rows_per_second": 10.0, "batch_ms": 2.0}, {"rows_per_second": 20.0, "batch_ms": 1.0}) == {
        "rows_per_second": 15.0,
        "batch_ms": 1.5,
    }


def test_descendants_are_found():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in descendants(os.getpid())
        child.communicate(b"\n")
    assert child.pid not in descendants(os.getpid())


def test_the_table_has_a_line_for_each_contestant_and_for_each_that_is_absent():
    seen = figures()
    absent = {"PyTriton over gRPC, 0 ms": "its server does not start"}
    for name in absent:
        del seen[name]
    lines = table._batching({"contestants": seen, "not_measured": absent}).splitlines()
    assert len(lines) == 2 + len(seen) + 2
    assert f"| {CONTESTANTS[0].name} | 50% | 3.0 | 40 | 7 us |" in lines
    assert lines[-1] == "Not measured: PyTriton over gRPC, 0 ms (its server does not start)."


def test_what_is_not_installed_or_fails_is_told(tmp_path):
    order = {"models": {"none": str(tmp_path / "none.onnx")}, "callers": [1]}
    assert "make rivals" in ask(Contestant("x", "threaded:batched", "threads", ".venv-none"), order)["failed"]
    here = Contestant("x", "threaded:lock", "threads", contestants.HERE)
    assert "none.onnx" in ask(here, order)["failed"]


def test_a_child_measures_a_contestant(tmp_path):
    path = tmp_path / "small.onnx"
    path.write_bytes(mlp((64, 8, 10)))
    order = {"callers": [2], "seconds": 0.1, "ceiling_seconds": 0.02, "lone_seconds": 0.02}
    for name in ("inprocml, threads", "inprocml, asyncio"):
        one = next(each for each in CONTESTANTS if each.name == name)
        measured = ask(one, {"models": {"small": str(path)}, **order})
        assert measured["small"]["2"]["rows_per_second"] > 0, measured
        assert set(measured["small"]) == {"lone", "2"}


def test_the_quick_run_asks_no_more_than_the_full_one():
    assert QUICK["rounds"] <= FULL["rounds"]
    assert set(QUICK["open"]["seconds"]) <= set(FULL["open"]["seconds"])
    assert set(QUICK["open"]["lingers_ms"]) <= set(FULL["open"]["lingers_ms"])
    assert set(QUICK["closed"]["callers"]) <= set(FULL["closed"]["callers"])
    assert json.loads(json.dumps(FULL)) == FULL
