"""An episode is told though the process that found it is killed before it could tell."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from tests.monitoring.watching.watched import Clock, monitor_of, rows_of, serve

from inprocml.monitoring.verdict import Action

PATIENCE = 20.0


class Killed(BaseException):
    """As if the process were no more."""


def killed_when_it_tells(folder, clock, action=Action.OPENED):
    """A monitor that found drift, and whose process ended at that moment; the key of what it knew."""

    def tell(events):
        if any(event.action is action for event in events):
            raise Killed([event.key for event in events])

    monitor, random = monitor_of(folder, clock), np.random.default_rng(3)
    monitor._tell = tell
    with pytest.raises(Killed) as found:
        drifts(monitor, clock, random)
    monitor._tallies.close()  # its locks go
    return found.value.args[0]


def drifts(monitor, clock, random):
    for look in range(150):
        clock.now += 61.0
        serve(monitor, rows_of(random, 150, shift=3.0 if look > 100 else 0.0))
        monitor.look()
    clock.now += 2 * 86_400.0  # the episode ends where no rows come
    monitor.look()


def goes_on(folder, clock, looks=1, **how):
    heard, random = [], np.random.default_rng(4)
    monitor = monitor_of(folder, clock, **how)
    monitor.listen(heard.append)
    for _ in range(looks):
        clock.now += 6.0
        serve(monitor, rows_of(random, 10, shift=3.0))
        monitor.look()
    monitor.close()
    return [event.key for event in heard]


@pytest.mark.parametrize("action", [Action.OPENED, Action.CLOSED])
def test_what_a_killed_process_did_not_tell_the_next_one_tells_once(tmp_path, action):
    clock = Clock()
    keys = killed_when_it_tells(tmp_path, clock, action)
    assert keys
    assert goes_on(tmp_path, clock, looks=3) == keys
    assert goes_on(tmp_path, clock) == [], "a process that ended orderly had told it"


def test_what_waits_for_a_slow_hook_is_told_again(tmp_path):
    clock, goes, here = Clock(), threading.Event(), threading.Event()

    def slow(_):
        here.set()
        goes.wait(PATIENCE)

    monitor, random = monitor_of(tmp_path, clock, on_drift=slow), np.random.default_rng(3)
    heard = []
    monitor.listen(heard.append)
    while not heard:
        clock.now += 61.0
        serve(monitor, rows_of(random, 150, shift=3.0))
        monitor.look()
    assert here.wait(PATIENCE)
    for _ in range(3):
        clock.now += 6.0
        monitor.look()
    told = [event.key for event in heard]
    monitor._closed = True
    monitor._tallies.close()  # it is killed while the hook is at work
    assert goes_on(tmp_path, clock)[: len(told)] == told
    goes.set()


def test_of_a_version_that_is_swapped_away_the_end_is_told_again_if_nobody_heard_it(tmp_path):
    clock, random = Clock(), np.random.default_rng(3)
    monitor = monitor_of(tmp_path, clock)
    opened = []
    monitor.listen(opened.append)
    while not opened:
        clock.now += 61.0
        serve(monitor, rows_of(random, 150, shift=3.0))
        monitor.look()

    def tell(events):
        if events:
            raise Killed

    monitor._tell = tell
    with pytest.raises(Killed):
        monitor.close(retired=True)
    monitor._tallies.close()
    again = monitor_of(tmp_path, clock)
    assert [event.id for event in again.ask(lambda known: known.evaluation.alarm.episodes())] == [
        event.id for event in opened
    ]
    heard = []
    again.listen(heard.append)
    again.close(retired=True)
    assert [(event.id, event.action) for event in heard] == [(opened[0].id, Action.CLOSED)]


def test_columns_that_joined_an_episode_are_told_again_with_all_of_it(tmp_path):
    clock, random, heard = Clock(), np.random.default_rng(3), []
    monitor = monitor_of(tmp_path, clock)
    monitor.listen(heard.append)
    while not heard:
        clock.now += 61.0
        serve(monitor, rows_of(random, 150, shift=3.0))
        monitor.look()
    joined = replace(heard[0], action=Action.JOINED, at=clock.now)
    evaluation = monitor.decided(lambda known: known.evaluation)
    evaluation.told()
    evaluation.alarm.look = lambda now: [joined]
    monitor._tell = killing
    clock.now += 6.0
    with pytest.raises(Killed):
        monitor.look()
    monitor._tallies.close()
    assert goes_on(tmp_path, clock) == [joined.key]


def killing(events):
    if events:
        raise Killed
