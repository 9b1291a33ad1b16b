"""The doctor: what it finds, what it leaves as it was, and what it says."""

from __future__ import annotations

import json
import sys
import threading
from types import SimpleNamespace

import pytest
from tests.sizing.kit import Echo

from inprocml.batching import Result
from inprocml.sizing import Beside, diagnose, own_threads
from inprocml.sizing import host as host_module
from inprocml.sizing.doctor import _words
from inprocml.sizing.interpreter import measure_busy_threads

ANSWER = Result({}, 0.0, inline=True, batch_rows=1)


def finding(report, what):
    return next(one for one in report.findings if one.what == what)


def test_each_number_of_threads_at_each_interval_is_measured_and_all_of_them_end():
    before = threading.active_count()
    was = sys.getswitchinterval()
    found = measure_busy_threads(lambda _: ANSWER, busy=(0, 2), intervals=(was, 0.001), seconds=1.0)
    assert [(one.busy, one.interval) for one in found] == [(0, was), (2, was), (0, 0.001), (2, 0.001)]
    assert all(one.calls > 0 for one in found)
    assert sys.getswitchinterval() == was
    assert threading.active_count() <= before  # those of other tests may end meanwhile


def test_the_switch_interval_is_put_back_when_the_model_fails():
    was = sys.getswitchinterval()
    seen = []

    def ask(_):
        seen.append(sys.getswitchinterval())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure_busy_threads(ask, busy=(1,), intervals=(0.001,), seconds=5.0)
    assert seen[0] == pytest.approx(0.001)
    assert sys.getswitchinterval() == was


def test_the_switch_interval_is_never_touched_unless_told(monkeypatch):
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: pytest.fail("it was set"))
    report = diagnose(Echo(), seconds=0.05, busy=(0, 1))
    assert [one.busy for one in report.beside] == [0, 1]


def test_a_diagnosis_without_a_bundle_measures_a_stand_in():
    report = diagnose(seconds=0.05, busy=(0, 1))
    assert report.model == "a small stand-in model"
    assert report.sound
    json.dumps(report.to_dict(), allow_nan=False)
    text = str(report)
    for what in ("python", "cores", "runtimes", "gpu", "threads", "processes", "round trips of"):
        assert what in text


def test_nothing_is_measured_in_no_time():
    report = diagnose(seconds=0)
    assert report.beside == ()
    assert report.words == ()


def test_both_onnx_runtimes_are_broken(monkeypatch):
    both = {"onnxruntime": "1.30.0", "onnxruntime-gpu": "1.30.0"}
    monkeypatch.setattr(host_module, "_version", both.get)
    report = diagnose(seconds=0)
    assert not report.sound
    assert finding(report, "runtimes").verdict == "bad"
    assert "pip uninstall both" in str(report)


def test_under_gevent_busy_threads_are_not_started(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "gevent.monkey", SimpleNamespace(is_module_patched=lambda name: name == "threading")
    )
    report = diagnose(Echo(), seconds=5.0)
    assert report.beside == ()
    assert "gevent" in report.words[0]
    assert finding(report, "threads").verdict == "note"


def test_telemetry_that_the_host_let_on_is_told(monkeypatch):
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace())
    found = finding(diagnose(seconds=0), "ONNX Runtime's telemetry")
    assert found.verdict == "note"
    assert "ORT_DISABLE_TELEMETRY=1" in found.advice
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "1")
    assert finding(diagnose(seconds=0), "ONNX Runtime's telemetry").verdict == "ok"


def test_asking_for_the_start_method_does_not_choose_it():
    import multiprocessing

    before = multiprocessing.get_start_method(allow_none=True)
    diagnose(seconds=0)
    assert multiprocessing.get_start_method(allow_none=True) == before


def test_words_tell_the_price_and_what_a_shorter_interval_gives():
    beside = [
        Beside(0, 0.005, 0.0001, 0.0002, 100),
        Beside(4, 0.005, 0.05, 0.1, 100),
        Beside(0, 0.0005, 0.0001, 0.0002, 100),
        Beside(4, 0.0005, 0.006, 0.01, 100),
    ]
    told = " ".join(_words(beside, []))
    assert "from 0.1 ms (p90 0.2) to 50 ms (p90 100)" in told
    assert "another process" in told
    assert "sys.setswitchinterval(0.0005) at start: here 6 ms" in told
    assert "never sets it" in told


def test_words_say_where_it_does_not_matter():
    beside = [Beside(0, 0.005, 0.1, 0.1, 9), Beside(4, 0.005, 0.11, 0.12, 9)]
    assert list(_words(beside, [])) == ["4 busy threads hardly matter here: 1.2 times the round trip."]
    assert list(_words([], [])) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what each thread has used")
def test_a_thread_that_burns_is_named_by_its_own_process():
    over = threading.Event()

    def burn():
        while not over.is_set():
            sum(range(1000))

    thread = threading.Thread(target=burn, name="report-writer")
    thread.start()
    try:
        seen = own_threads(0.4)
    finally:
        over.set()
        thread.join()
    assert seen.busy[0][0] == "report-writer"
    assert 0 < seen.p50 <= seen.p99
