"""Without its state an evaluation goes on from here: what was counted long ago is not of now."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from tests.monitoring.watching.watched import Clock, monitor_of, rows_of, serve, totals

from inprocml.monitoring.alarm import Alarm
from inprocml.monitoring.counting import Slots

DAY = 86_400.0
RANDOM = np.random.default_rng(3)
WELL = [rows_of(RANDOM, 150) for _ in range(40)]
ILL = [rows_of(RANDOM, 150, shift=3.0) for _ in range(60)]
NOW = [rows_of(RANDOM, 150) for _ in range(6)]
LATELY = sum(map(len, NOW))
FEW = rows_of(RANDOM, 5)


@pytest.fixture
def taken(monkeypatch):
    """How many rows were taken as those of now, for each time."""
    seen, add = [], Alarm.add
    monkeypatch.setattr(
        Alarm, "add", lambda self, counts, rows, now: seen.append(rows) or add(self, counts, rows, now)
    )
    return seen


def looked(monitor, clock, parts, seconds=600.0):
    for rows in parts:
        clock.now += seconds
        serve(monitor, rows)
        monitor.look()


def events_of(monitor, clock):
    """What is told of some healthy minutes."""
    events = []
    monitor.listen(events.append)
    looked(monitor, clock, NOW, 61.0)
    return events


def blocks(monitor):
    """How much was learnt of how far rows depend on one another."""
    return monitor.ask(lambda known: known.evaluation.alarm._memory.dependence.blocks)


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_process_that_joins_late_goes_on_with_what_the_others_learnt(tmp_path, monkeypatch, taken):
    clock = Clock()
    before = monitor_of(tmp_path, clock)
    looked(before, clock, [*WELL, *ILL])
    learnt = blocks(before)
    assert learnt > 30
    before.close()
    clock.now += 30 * DAY
    with monkeypatch.context() as patched:
        patched.setattr(Slots, "open", full)
        monitor = monitor_of(tmp_path, clock)
        looked(monitor, clock, [FEW], 0.0)
    taken.clear()
    clock.now += 31
    serve(monitor, FEW)
    monitor.look()
    assert blocks(monitor) >= learnt, "what the process had decided alone took the place of what was learnt"
    assert sum(taken) <= 2 * len(FEW)
    assert totals(monitor)[0] == 100 * 150 + 2 * len(FEW), "rows are lost"
    monitor.close()


@pytest.mark.parametrize("state", [b"x" * 100, b""])
def test_where_the_state_cannot_be_read_it_goes_on_from_here(tmp_path, taken, state):
    clock = Clock()
    before = monitor_of(tmp_path, clock)
    looked(before, clock, [*WELL, *ILL])
    before.close()
    (path,) = tmp_path.glob("*.counts")
    damage(path, state)
    clock.now += 60 * DAY
    monitor = monitor_of(tmp_path, clock)
    taken.clear()
    assert events_of(monitor, clock) == []
    assert 0 < sum(taken) <= LATELY
    assert totals(monitor)[0] == 100 * 150 + LATELY
    monitor.close()


def damage(path, state):
    """Put something else in place of the state; nothing: a byte of it turned over."""
    slots = Slots.found(path)
    if state:
        slots.write_state(state)
    slots.close()
    if not state:
        content = bytearray(path.read_bytes())
        for half in (content.find(b"ipmlalarm"), content.rfind(b"ipmlalarm")):
            content[half] ^= 1
        path.write_bytes(content)


def test_a_file_that_is_deleted_takes_nothing_of_what_was_learnt_along(tmp_path, taken):
    clock = Clock()
    monitor = monitor_of(tmp_path, clock)
    looked(monitor, clock, [*WELL, *ILL, *WELL, *WELL])
    learnt, clock.now = blocks(monitor), clock.now + 30 * DAY
    looked(monitor, clock, [FEW])
    (path,) = tmp_path.glob("*.counts")
    path.unlink()
    taken.clear()
    assert events_of(monitor, clock) == []
    assert 0 < sum(taken) <= LATELY
    assert blocks(monitor) >= learnt
    assert totals(monitor)[0] == 180 * 150 + len(FEW) + LATELY
    monitor.close()


def test_the_others_of_a_file_that_is_deleted_come_with_no_rows_of_now_either(tmp_path, taken):
    clock = Clock()
    decides, other = monitor_of(tmp_path, clock), monitor_of(tmp_path, clock)
    decides.look()
    looked(other, clock, [*WELL, *ILL])
    looked(decides, clock, [FEW])
    (path,) = tmp_path.glob("*.counts")
    path.unlink()
    taken.clear()
    for monitor in (decides, other, decides):
        looked(monitor, clock, [FEW], 6.0)
    assert sum(taken) <= 3 * len(FEW)
    assert totals(decides)[0] == 100 * 150 + 4 * len(FEW)
    for monitor in (decides, other):
        monitor.close()


def test_a_record_that_cannot_be_read_for_a_while_is_not_counted_again(tmp_path, taken):
    clock = Clock()
    decides, other = monitor_of(tmp_path, clock), monitor_of(tmp_path, clock)
    decides.look()
    looked(other, clock, [*WELL, *ILL])
    looked(decides, clock, [FEW])
    read, hidden = Slots.read, []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Slots, "read", lambda self, slot: None if slot == 1 else read(self, slot))
        taken.clear()
        for _ in range(2):  # first it goes missing; then the others are looked at as ever
            looked(decides, clock, [FEW], 6.0)
            hidden.append(sum(taken))
        assert hidden == [0, len(FEW)]
    looked(decides, clock, [FEW], 6.0)
    looked(decides, clock, [FEW], 6.0)
    assert sum(taken) == 2 * len(FEW)
    assert totals(decides)[0] == 100 * 150 + 5 * len(FEW)
    for monitor in (decides, other):
        monitor.close()


def test_rows_from_before_the_first_look_are_rows_of_now(tmp_path, taken):
    clock = Clock()
    monitors = [monitor_of(tmp_path, clock) for _ in range(2)]
    for monitor in monitors:
        serve(monitor, FEW)
        monitor.look()
    clock.now += 6
    monitors[0].look()
    assert sum(taken) == 2 * len(FEW), "what came first is never looked at"
    for monitor in monitors:
        monitor.close()


@pytest.mark.parametrize("content", [b"", b"x" * 100, None])
def test_a_file_that_is_cut_short_or_overwritten_under_its_processes_costs_none_of_them(
    tmp_path, caplog, content
):
    """Of a mapped file, what is not there any more would end the process (SIGBUS)."""
    clock = Clock()
    one, other = monitor_of(tmp_path, clock), monitor_of(tmp_path, clock)
    looked(one, clock, [FEW])
    looked(other, clock, [FEW])
    (path,) = tmp_path.glob("*.counts")
    with path.open("r+b") as stream:
        stream.write(b"\xff" * path.stat().st_size if content is None else content)
        stream.truncate()
    with caplog.at_level("WARNING"):
        looked(one, clock, [FEW])
        looked(other, clock, [FEW])
    assert totals(one)[0] == totals(other)[0] == 4 * len(FEW)
    assert "the file was deleted, replaced or damaged" in caplog.text
    one.close()
    other.close()


def test_a_file_that_was_damaged_between_two_servers_is_told(tmp_path, caplog):
    clock = Clock()
    before = monitor_of(tmp_path, clock)
    looked(before, clock, [FEW])
    before.close()
    (path,) = tmp_path.glob("*.counts")
    path.write_bytes(b"garbage")
    with caplog.at_level("WARNING"):
        monitor = monitor_of(tmp_path, clock)
        looked(monitor, clock, [FEW])
    assert totals(monitor)[0] == len(FEW)
    assert "what was counted before is lost" in caplog.text
    monitor.close()
