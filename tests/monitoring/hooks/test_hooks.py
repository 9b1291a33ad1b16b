"""Hooks: told once, on a thread of their own, whatever another does."""

from __future__ import annotations

import logging
import os
import threading

import numpy as np
import pytest
from tests.monitoring.hooks.receiver import event_of, until
from tests.monitoring.watching.watched import Clock, days, monitor_of, rows_of

from inprocml.monitoring import Monitoring, Reference
from inprocml.monitoring.hooks import Hooks
from inprocml.monitoring.verdict import Action


def test_each_hook_hears_of_each_event_once_and_not_on_the_callers_thread():
    heard = []
    hooks = Hooks([lambda event: heard.append((event, threading.get_ident())), lambda event: None])
    for event in (event_of(), event_of(), event_of(action=Action.CLOSED)):
        hooks.tell(event)
    assert until(lambda: hooks.counts["told"] == 4)
    assert [event.action for event, _ in heard] == [Action.OPENED, Action.CLOSED]
    assert threading.get_ident() not in {thread for _, thread in heard}


def test_a_hook_that_never_returns_delays_neither_the_caller_nor_another_hook():
    gate, heard = threading.Event(), []
    hooks = Hooks([lambda event: gate.wait(), heard.append])
    for number in range(200):
        hooks.tell(event_of(str(number)))
    assert until(lambda: heard)
    assert hooks.counts["dropped"] >= 200 - 65  # bounded: 64 wait, one is at it
    gate.set()
    assert until(lambda: sum(hooks.counts.values()) == 400)


def test_what_a_hook_raises_is_counted_and_said_once(caplog):
    def fail(event):
        raise SystemExit(event.id)

    hooks = Hooks([fail])
    with caplog.at_level(logging.WARNING, "inprocml"):
        for number in range(5):
            hooks.tell(event_of(str(number)))
        assert until(lambda: hooks.counts["failed"] == 5)
    assert len(caplog.records) == 1
    assert "fail" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_lines_of_its_own():
    gate = threading.Event()
    hooks = Hooks([lambda event: gate.wait()])
    hooks.tell(event_of("a"))
    hooks.tell(event_of("b"))
    child = os.fork()
    if not child:
        gate.set()
        hooks.tell(event_of("a"))
        os._exit(0 if until(lambda: hooks.counts["told"] == 1, 10) else 1)
    assert os.waitpid(child, 0)[1] == 0
    gate.set()


def test_monitoring_tells_its_hooks_while_a_slow_one_stops_no_counting(tmp_path):
    clock, heard, gate = Clock(), [], threading.Event()
    monitor = monitor_of(tmp_path, clock, on_drift=[lambda event: gate.wait(), heard.append])
    random = np.random.default_rng(7)
    healthy, moved = rows_of(random, 4_000), rows_of(random, 3_000, 2.0)

    def drawn(rows, count):
        return [rows[place] for place in random.integers(0, len(rows), count)]

    days(monitor, clock, drawn(healthy, 55_000), 4 * 86_400.0, 550)
    days(monitor, clock, drawn(moved, 5_000), 10 * 3_600.0, 50)
    assert monitor.numbers()["rows"] == 60_000
    gate.set()
    assert until(lambda: heard)
    assert heard[0].action is Action.OPENED
    assert Reference.TRAIN in {event.reference for event in heard}
    monitor.close()


def test_a_setting_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="on_drift"):
        Monitoring(on_drift=["mail"])
    assert not Monitoring().hooks
