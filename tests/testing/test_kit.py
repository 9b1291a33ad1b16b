"""The public kit itself: it does what it says, and its suite catches every backend that breaks the rules."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from inprocml.batching import Runner
from inprocml.errors import UnknownVersion
from inprocml.monitoring import RowCounts
from inprocml.protocols import Backend
from inprocml.sources import Directory
from inprocml.telemetry import ModelTelemetry
from inprocml.testing import (
    FakeBackend,
    ManualClock,
    check_backend,
    check_observer,
    check_source,
    poisoned,
)
from inprocml.values import Version

ROWS = {"x": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)}


class Listener:
    def __init__(self, clock):
        self.clock, self.heard = clock, []
        clock.subscribe(self.hear)

    def hear(self):
        self.heard.append(self.clock())


def test_the_clock_stands_still_until_it_is_moved():
    clock = ManualClock(5.0)
    assert (clock(), clock()) == (5.0, 5.0)
    clock.advance(1.5)
    clock.advance(0.0)
    assert clock() == 6.5
    with pytest.raises(ValueError, match="cannot go back by 1 s"):
        clock.advance(-1)


def test_the_clock_tells_those_who_still_live():
    clock = ManualClock()
    kept, dropped = Listener(clock), Listener(clock)
    clock.advance(1.0)
    heard = dropped.heard
    del dropped
    gc.collect()
    clock.advance(1.0)
    assert kept.heard == [1.0, 2.0]
    assert heard == [1.0]
    assert len(clock._callbacks) == 1  # the other is forgotten


def test_the_fake_echoes_and_keeps_the_protocol():
    fake = FakeBackend(name="mine", device="cuda:1")
    assert isinstance(fake, Backend)
    assert (fake.name, fake.device) == ("mine", "cuda:1")
    check_backend(fake, ROWS, expected=ROWS)
    assert fake.closed
    assert fake.batches[0] == 3
    assert fake.most_at_once == 1


def test_the_fake_fails_on_demand_and_recovers():
    fake = FakeBackend(fault=poisoned(4.0, KeyError))
    with pytest.raises(KeyError, match="poisoned"):
        fake.run(ROWS)
    assert fake.run({"x": ROWS["x"][:1]})["x"].tolist() == [[1.0, 2.0]]
    fake.fault = None
    assert fake.run(ROWS)["x"].shape == (3, 2)


def test_the_fake_takes_time_on_a_manual_clock():
    clock = ManualClock()
    FakeBackend(clock=clock, seconds=2.0).run(ROWS)
    assert clock() == 2.0


def test_the_fake_can_be_held_and_counts_runs_at_once():
    fake = FakeBackend()
    with pytest.raises(TimeoutError, match="no run began"):
        fake.wait_running(0.01)
    answers = []
    with fake.hold():
        threads = [
            threading.Thread(target=lambda: answers.append(fake.run(ROWS)), daemon=True) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        fake.wait_running()
        while fake.most_at_once < 2:
            time.sleep(0.001)
        assert answers == []
    for thread in threads:
        thread.join(20)
    assert len(answers) == 2
    assert fake.most_at_once == 2


def rule_breakers():
    """Name -> (backend, what the suite must say)."""
    shared = np.zeros((3, 2), np.float32)
    previous = []

    def overwrites(inputs):
        for array in previous:
            array[:] = 0
        answer = inputs["x"].copy()
        previous.append(answer)
        return {"x": answer}

    def same_memory(inputs):
        return {"x": shared[: len(inputs["x"])]}

    def changes_inputs(inputs):
        answer = inputs["x"].copy()
        inputs["x"] += 1
        return {"x": answer}

    def sums_over_rows(inputs):
        return {"x": inputs["x"] + inputs["x"].sum()}

    def needs_writable(inputs):
        if not inputs["x"].flags.writeable:
            raise ValueError("read-only")
        return {"x": inputs["x"].copy()}

    def main_thread_only(inputs):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("wrong thread")
        return {"x": inputs["x"].copy()}

    return {
        "list": (lambda inputs: [inputs["x"]], "answered with list"),
        "nothing": (lambda inputs: {}, "no output"),
        "no array": (lambda inputs: {"x": inputs["x"].tolist()}, "is list, not an array"),
        "rows": (lambda inputs: {"x": inputs["x"][:1]}, "has shape"),
        "overwrites": (overwrites, "overwrote an earlier answer"),
        "same memory": (same_memory, "same memory"),
        "changes inputs": (changes_inputs, "changed its inputs"),
        "rows depend": (sums_over_rows, "differently alone and in a batch"),
        "writes": (needs_writable, "read-only inputs"),
        "thread": (main_thread_only, "another thread"),
    }


@pytest.mark.parametrize("name", rule_breakers())
def test_the_suite_catches(name):
    run, complaint = rule_breakers()[name]
    with pytest.raises(AssertionError, match=complaint):
        check_backend(FakeBackend(run), {"x": ROWS["x"].copy()})


def test_the_suite_catches_another_answer_than_expected():
    with pytest.raises(AssertionError, match="another answer than expected"):
        check_backend(FakeBackend(), ROWS, expected={"x": ROWS["x"] + 1})
    with pytest.raises(AssertionError, match="another answer than expected"):
        check_backend(FakeBackend(), ROWS, expected={"y": ROWS["x"]})


class Lenient(FakeBackend):
    def run(self, inputs):
        return super().run(inputs or ROWS)


class Undead(FakeBackend):
    def close(self):
        pass


class CloseOnce(FakeBackend):
    def close(self):
        if self.closed:
            raise RuntimeError("closed already")
        super().close()


class Sulks(FakeBackend):
    """Answers nonsense after a failed run."""

    def _run(self, inputs):
        if not inputs:
            self._fn = lambda these: {name: array + 1 for name, array in these.items()}
        return super()._run(inputs)


class Nameless(FakeBackend):
    name = ""


class NoBackend:
    def run(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("backend", "error", "complaint"),
    [
        (Lenient(), AssertionError, "though it got no input"),
        (Undead(), AssertionError, "still runs after close"),
        (CloseOnce(), RuntimeError, "closed already"),
        (Sulks(), AssertionError, "differently after a failed run"),
        (Nameless(), AssertionError, "name is empty"),
        (NoBackend(), AssertionError, "lacks a member"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_suite_catches_backends_that_misbehave_around_a_run(backend, error, complaint):
    with pytest.raises(error, match=complaint):
        check_backend(backend, ROWS)


def test_the_suite_wants_rows_to_tell_apart():
    with pytest.raises(AssertionError, match="at least two rows"):
        check_backend(FakeBackend(), {"x": ROWS["x"][:1]})


def test_a_fake_serves_a_runner():
    runner = Runner(FakeBackend())
    assert runner.run({"x": ROWS["x"][:1]}).outputs["x"].tolist() == [[1.0, 2.0]]
    assert runner.close(20)


def test_the_kit_needs_no_pytest_and_no_framework():
    code = (
        "import sys, inprocml.testing\n"
        "bad = {'pytest', 'hypothesis', 'flask', 'torch', 'onnxruntime', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr


# --- sources and observers ----------------------------------------------------------------------------


class Source:
    """Keeps the protocol unless told otherwise."""

    def __init__(self, path, names=("1", "2"), **broken):
        self.path, self.names, self.broken = path, names, broken

    def versions(self):
        return self.broken.get("versions", [Version(name, self.path) for name in self.names])

    def aliases(self):
        return self.broken.get("aliases", {"production": Version(self.names[-1], self.path)})

    def fetch(self, name):
        if name not in self.names and "unknown" not in self.broken:
            raise self.broken.get("error", UnknownVersion)(name)
        return Version(self.broken.get("name", name), self.path / self.broken.get("at", ""))


def test_sources_that_keep_the_protocol_pass(tmp_path):
    check_source(Source(tmp_path))
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    check_source(Directory(tmp_path))


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ({"versions": []}, "no version"),
        ({"versions": ["1"]}, "not Version"),
        ({"names": ("1", "1")}, "twice"),
        ({"name": "3"}, "gave version '3'"),
        ({"at": "nowhere"}, "not there"),
        ({"unknown": True}, "does not list"),
        ({"error": KeyError}, "raised KeyError"),
    ],
)
def test_sources_that_break_it_do_not(tmp_path, broken, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_source(Source(tmp_path, **broken))


def test_our_own_observers_keep_the_protocol():
    check_observer(RowCounts({"country": ("x", 1, 1.0)}), ROWS)
    check_observer(ModelTelemetry(model="m", version="1", runtime="onnx", device="cpu", digest="abc"), ROWS)


class Watcher:
    def __init__(self, act):
        self.observe = act


def spoil(record):
    record.inputs["x"].flags.writeable = True
    record.inputs["x"][:] = 0


@pytest.mark.parametrize(
    ("act", "complaint"),
    [
        (lambda record: 1 / 0, "raised ZeroDivisionError"),
        (lambda record: record.inputs["x"].__setitem__(0, 1), "raised ValueError"),
        (spoil, "changed input 'x'"),
        (lambda record: threading.Event().wait(), "blocks"),
    ],
)
def test_observers_that_break_it_do_not(act, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_observer(Watcher(act), ROWS, patience=0.5)


def test_what_is_no_source_and_no_observer_is_said_to_be_none():
    for check, arguments in ((check_source, ()), (check_observer, (ROWS,))):
        with pytest.raises(AssertionError, match="lacks a member"):
            check(object(), *arguments)
