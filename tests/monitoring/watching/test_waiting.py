"""Rows between answer and count: a label that comes at once finds its prediction, and waits for nobody."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pandas as pd
import pytest
from tests.monitoring.counting.kit import rows_of
from tests.monitoring.watching.test_labelled import see, watched
from tests.monitoring.watching.watched import Clock, monitor_of, serve

from inprocml.monitoring.quality import Feedback

ROWS = rows_of(np.random.default_rng(8), 50)


class Odd:
    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


class OddText(str):
    __slots__ = ()

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None


@pytest.mark.parametrize(
    "name",
    [np.array(["a", "b"]), pd.Series(["a", "b"]), pd.NA, Odd(), None, 3, b"x", ["aaaa-0"]],
    ids=lambda name: type(name).__name__,
)
def test_an_id_of_another_type_is_invalid_while_rows_wait(tmp_path, name):
    monitor, bare = watched(tmp_path, Clock()), monitor_of(tmp_path / "bare", Clock())
    see(monitor, ROWS[0], "aaaa-0")
    serve(bare, ROWS[:1])
    assert monitor.feedback(name, "ok") is Feedback.INVALID
    assert bare.feedback(name, "ok") is Feedback.UNMATCHED
    assert monitor.feedback("aaaa-0", "ok") is Feedback.MATCHED
    assert monitor.quality.counters().outcomes["invalid"] == 1
    monitor.close()
    bare.close()


def test_feedback_raises_nothing_whatever_fails(tmp_path, caplog):
    monitor = watched(tmp_path, Clock())
    see(monitor, ROWS[0], "aaaa-0")
    with caplog.at_level(logging.WARNING, "inprocml"):
        assert monitor.feedback(OddText("aaaa-0"), "ok") is Feedback.FAILED
    assert "label" in caplog.text
    assert monitor.quality.counters().outcomes["failed"] == 1
    monitor.close()


def test_labels_that_come_at_once_leave_the_bound_on_bytes_as_it_is(tmp_path):
    monitor = watched(tmp_path, Clock(), heavy=("photo",))
    for place in range(150):  # of 1 MiB each; 64 may wait
        see(monitor, {**ROWS[0], "photo": bytes(2**20)}, f"aaaa-{place}")
        if place % 10 == 9:
            monitor.feedback(f"aaaa-{place}", "ok")
    monitor.look()
    assert 80 <= monitor.numbers()["dropped"] <= 90
    see(monitor, {**ROWS[0], "photo": bytes(2**20)}, "aaaa-last")
    assert monitor.feedback("aaaa-last", "ok") is Feedback.MATCHED, "what is counted makes room"
    monitor.close()


def test_a_label_waits_for_no_table_and_no_look(tmp_path):
    monitor = watched(tmp_path, Clock())
    see(monitor, ROWS[0], "aaaa-0")
    with monitor._lock:  # as a look, or a table of a million rows, holds it
        said = []
        caller = threading.Thread(target=lambda: said.append(monitor.feedback("aaaa-0", "ok")))
        caller.start()
        caller.join(20)
        assert said == [Feedback.MATCHED]
    monitor.close()


def test_a_store_that_hangs_holds_no_label_up(tmp_path, monkeypatch):
    monkeypatch.setattr("inprocml.monitoring.watching.waiting._PATIENCE", 0.01)
    monitor = watched(tmp_path, Clock())
    see(monitor, ROWS[0], "aaaa-0")
    with monitor._waiting._lock:  # as who remembers answers in a store holds it
        assert monitor.feedback("aaaa-0", "ok") is Feedback.UNMATCHED
        monitor._waiting._busy = True
        assert monitor.feedback("aaaa-1", "ok") is Feedback.UNMATCHED
    assert monitor.feedback("aaaa-0", "ok") is Feedback.MATCHED
    monitor.close()


def test_a_label_finds_its_prediction_while_a_look_remembers_it(tmp_path):
    monitor, said = watched(tmp_path, Clock()), []
    remember, callers = monitor.quality.predicted, []

    def slowly(ids, *rest, **named):
        """Between the line of rows and the memory of answers the prediction is in neither."""
        callers.append(threading.Thread(target=lambda: said.append(monitor.feedback(ids[0], "ok"))))
        callers[-1].start()
        callers[-1].join(0.2)
        remember(ids, *rest, **named)

    monitor.quality.predicted = slowly
    see(monitor, ROWS[0], "aaaa-0")
    monitor.look()
    callers[0].join(20)
    assert said == [Feedback.MATCHED]
    monitor.close()


def test_labels_of_many_threads_find_their_predictions_while_others_look(tmp_path):
    monitor, said = watched(tmp_path, Clock()), []

    def serves(thread):
        for place in range(200):
            see(monitor, ROWS[0], f"aaaa-{thread}-{place}")
            said.append(monitor.feedback(f"aaaa-{thread}-{place}", "ok"))

    threads = [threading.Thread(target=serves, args=(thread,)) for thread in range(4)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        monitor.look()
    assert said == [Feedback.MATCHED] * 800
    monitor.look()
    assert monitor.numbers()["seen"] == monitor.quality.counters().total().seen == 800
    monitor.close()
