"""A monitor: requests leave a copy and go on, what goes wrong is counted, one process of a host decides."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import elsewhere
from tests.monitoring.counting.kit import rows_of, tally_of
from tests.monitoring.watching.watched import START, Clock, days, monitor_of, serve, totals

from inprocml.monitoring import Monitoring, Reference
from inprocml.monitoring.verdict import Action, State
from inprocml.monitoring.watching import sharing
from inprocml.monitoring.watching.watcher import Watcher

ROWS = rows_of(np.random.default_rng(5), 600)
PATIENCE = 20


def test_what_was_answered_is_counted_once_and_exactly(tmp_path):
    monitor = monitor_of(tmp_path, Clock())
    serve(monitor, ROWS)
    rows, counts, scope, workers = totals(monitor)
    assert (rows, scope, workers) == (600, "host", 1)
    assert np.array_equal(counts, tally_of(ROWS).counts)
    assert monitor.numbers() | {"cpu_ns": 0, "beat": 0} == {
        "rows": 600,
        "seen": 600,
        "sampled_out": 0,
        "dropped": 0,
        "failed": 0,
        "cpu_ns": 0,
        "beat": 0,
        "brought": 0,
        "unread": 0,
    }
    monitor.close()


def test_a_table_is_counted_as_its_rows_are(tmp_path):
    one, other = monitor_of(tmp_path / "a", Clock()), monitor_of(tmp_path / "b", Clock())
    serve(one, ROWS)
    p = np.array([0.5 if row["delay"] is None else 1 / (1 + np.exp(-row["delay"])) for row in ROWS])
    answered = np.stack([1 - p, p], axis=1)
    other.saw_table(ROWS, [{"probability": answered[:100]}, {"probability": answered[100:]}])
    assert np.array_equal(totals(one)[1], totals(other)[1])
    one.close()
    other.close()


def test_a_look_that_takes_long_decides_and_counts_the_rest_later(tmp_path):
    """Beside busy threads each chunk of rows may wait for the interpreter's lock."""
    clock = Clock()

    class Slow(Clock):
        def __call__(self):
            clock.now += 0.3
            return clock.now

    monitor = monitor_of(tmp_path, Slow())
    serve(monitor, ROWS * 3)
    counted = []
    for _ in range(12):
        monitor.look()
        counted.append(monitor.numbers()["rows"])
    assert 0 < counted[0] < 1_800
    assert counted == sorted(counted)
    assert counted[-1] == 1_800, "what was let through and not counted may be counted later"
    assert monitor.numbers()["seen"] == 1_800
    monitor.close()


def test_of_too_many_rows_a_part_is_counted_and_all_are_told(tmp_path):
    clock = Clock()
    monitor = monitor_of(tmp_path, clock, most_rows=100)
    serve(monitor, ROWS)
    monitor.look()
    numbers = monitor.numbers()
    assert numbers["rows"] == 100
    assert (numbers["seen"], numbers["sampled_out"], numbers["dropped"]) == (600, 500, 0)
    monitor.look()
    assert monitor.numbers()["rows"] == 100
    monitor._buffer.most = 50
    clock.now += 0.5  # time for half of what a second allows
    serve(monitor, ROWS[:80])
    monitor.look()
    assert monitor.numbers()["rows"] == 150
    assert monitor.numbers()["sampled_out"] == 530, "no room for 30, which were not wanted either"
    clock.now += 0.7
    serve(monitor, ROWS[:80])
    monitor.look()
    assert monitor.numbers()["rows"] == 200
    assert monitor.numbers()["sampled_out"] == 540
    assert monitor.numbers()["dropped"] == 20  # for want of room
    assert monitor.numbers()["seen"] == 760
    monitor.close()


def test_a_row_that_cannot_be_counted_costs_no_other_and_raises_nothing(tmp_path, caplog):
    monitor = monitor_of(tmp_path, Clock())
    serve(monitor, ROWS[:10])
    for broken in ({**ROWS[10], "delay": "late"}, {}):  # as if its owner had changed it, deep inside
        monitor.saw(broken, {"probability": np.array([[0.5, 0.5]])}, "x")
    serve(monitor, ROWS[12:20])
    monitor.saw(ROWS[0], {}, "x")  # a model without the output that training had
    with caplog.at_level(logging.WARNING, "inprocml"):
        monitor.look()
        monitor.look()
    numbers = monitor.numbers()
    assert (numbers["rows"], numbers["failed"], numbers["seen"]) == (18, 3, 21)
    assert np.array_equal(totals(monitor)[1], tally_of([*ROWS[:10], *ROWS[12:20]]).counts)
    assert [record.getMessage() for record in caplog.records] == [
        "monitoring of late 1: rows could not be counted"
    ]
    monitor.close()


def test_a_mapping_that_cannot_be_copied_never_reaches_the_view(tmp_path, caplog):
    class Odd(dict):
        def items(self):
            raise RuntimeError("no")

    monitor = monitor_of(tmp_path, Clock())
    with caplog.at_level(logging.WARNING, "inprocml"):
        monitor.saw(Odd(ROWS[0]), {}, "x")
    assert "rows could not be noted" in caplog.text
    monitor.look()
    assert (monitor.numbers()["seen"], monitor.numbers()["failed"]) == (1, 1)
    monitor.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_a_greenlet_or_a_process_passes_and_its_row_is_counted(tmp_path, kind):
    """A timeout of gevent, or ``sys.exit`` in a signal handler, may strike while the row is copied."""

    class Interrupted(dict):
        def items(self):
            raise kind

    monitor = monitor_of(tmp_path, Clock())
    with pytest.raises(kind):
        monitor.saw(Interrupted(ROWS[0]), {}, "x")
    serve(monitor, ROWS[:3])
    monitor.look()
    numbers = monitor.numbers()
    assert (numbers["seen"], numbers["failed"], numbers["rows"]) == (4, 1, 3)
    monitor.close()


def test_one_folder_by_two_names_is_one_file(tmp_path):
    """Opened twice, closing either would give up the locks of both, and others take their slots."""
    folder, other = tmp_path / "counts", tmp_path / "link"
    folder.mkdir()
    other.symlink_to(folder, target_is_directory=True)
    one, two = monitor_of(folder, Clock()), monitor_of(other, Clock())
    serve(one, ROWS[:100])
    serve(two, ROWS[100:150])
    one.look()
    two.look()
    assert totals(one)[0] == totals(two)[0] == 150
    two.close()
    script = f"""
        import numpy as np
        from pathlib import Path
        from tests.monitoring.watching.watched import Clock, monitor_of, serve, totals
        from tests.monitoring.counting.kit import rows_of

        monitor = monitor_of(Path({str(folder)!r}), Clock())
        serve(monitor, rows_of(np.random.default_rng(5), 7))
        print(totals(monitor)[0], totals(monitor)[3])
    """
    done = elsewhere(script)
    assert done.stdout.split()[:1] == ["157"], done.stderr
    serve(one, ROWS[:1])
    assert totals(one)[0] == 158
    one.close()


def drawn(random, rows, count):
    return [rows[place] for place in random.integers(0, len(rows), count)]


def test_drift_opens_one_episode_that_names_the_column(tmp_path):
    clock, random = Clock(), np.random.default_rng(6)
    monitor = monitor_of(tmp_path, clock)
    healthy, moved = rows_of(random, 4_000), rows_of(random, 3_000, 1.0)
    assert days(monitor, clock, drawn(random, healthy, 62_000), 4 * 86_400.0, 620) == []
    assert state(monitor) is State.OK
    events = days(monitor, clock, drawn(random, moved, 10_000), 15 * 3_600.0, 100)
    opened = [event for event in events if event.reference is Reference.TRAIN]
    assert [event.action for event in opened] == [Action.OPENED]
    assert {found.name for found in opened[0].findings} >= {"delay"}
    assert opened[0].at - START < 4 * 86_400.0 + 3_600.0
    assert state(monitor) is State.DRIFT
    heard = []
    monitor.listen(heard.append)
    monitor.close()
    assert heard == [], "a worker was replaced, and the episode goes on"
    last = monitor_of(tmp_path, clock)
    last.listen(heard.append)
    assert state(last) is State.DRIFT
    last.close(retired=True)
    (closed,) = [event for event in heard if event.reference is Reference.TRAIN]
    assert (closed.action, closed.id) == (Action.CLOSED, opened[0].id)
    assert "no longer serves" in closed.why


def state(monitor):
    return monitor.ask(lambda known: known.evaluation.alarm.state(Reference.TRAIN, known.now))


def test_a_listener_that_raises_silences_no_other(tmp_path, caplog):
    clock, heard = Clock(), []
    monitor = monitor_of(tmp_path, clock)

    def fail(event):
        raise OSError("the pager is down")

    monitor.listen(fail)
    random = np.random.default_rng(7)
    healthy, moved = rows_of(random, 4_000), rows_of(random, 3_000, 2.0)
    days(monitor, clock, drawn(random, healthy, 55_000), 4 * 86_400.0, 550)
    monitor.listen(heard.append)
    with caplog.at_level(logging.WARNING, "inprocml"):
        days(monitor, clock, drawn(random, moved, 5_000), 10 * 3_600.0, 50)
    assert heard
    assert "a listener failed" in caplog.text
    monitor.close()


def test_another_process_goes_on_with_the_counts_and_with_what_was_learnt(tmp_path):
    clock = Clock()
    first = monitor_of(tmp_path, clock)
    days(first, clock, ROWS, 3600.0, 30)
    before = totals(first)
    learnt = first.ask(lambda known: known.evaluation.alarm.dump())
    first.close()
    second = monitor_of(tmp_path, clock)
    assert totals(second)[0] == before[0] == 600
    assert np.array_equal(totals(second)[1], before[1])
    assert second.ask(lambda known: known.evaluation.alarm.dump()) == learnt
    assert second.numbers()["rows"] == 0, "what another has counted would be exported twice"
    assert second.own().sum() == 0
    serve(second, ROWS[:5])
    assert totals(second)[0] == 605
    assert second.numbers()["rows"] == 5
    second.close()


SCRIPT = """
    import json, sys
    import numpy as np
    from tests.monitoring.counting.kit import rows_of
    from tests.monitoring.watching.watched import START, Clock, monitor_of, serve, totals

    monitor = monitor_of(sys.argv[1], Clock(START + 10))
    serve(monitor, rows_of(np.random.default_rng(int(sys.argv[2])), 400))
    print(json.dumps(totals(monitor)[0]), flush=True)
    sys.stdin.readline()
"""


def worker(folder, seed):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), str(folder), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_four_workers_have_counted_what_one_would_have_though_they_are_killed(tmp_path):
    alone = tally_of([row for seed in range(4) for row in rows_of(np.random.default_rng(seed), 400)])
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(worker(tmp_path, seed)) for seed in range(4)]
        stack.callback(lambda: [one.kill() for one in workers])
        for one in workers:
            assert json.loads(one.stdout.readline()) >= 400
        monitor = monitor_of(tmp_path, Clock(START + 20))
        rows, counts, scope, living = totals(monitor)
        assert (rows, scope, living) == (1600, "host", 5)
        assert np.array_equal(counts, alone.counts)
        assert monitor.decided(lambda known: known) is None, "a worker that lives decides"
    assert np.array_equal(totals(monitor)[1], alone.counts)
    assert monitor.decided(lambda known: known.total.rows) == 1600, "nobody took over"
    monitor.close()


def test_workers_of_one_server_share_by_default_and_a_new_server_begins_anew(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first, second = monitor_of(None, Clock()), monitor_of(None, Clock())
    serve(first, ROWS[:10])
    first.look()
    assert totals(second)[0] == 10
    first.close()
    second.close()
    third = monitor_of(None, Clock())
    assert totals(third)[0] == 10, "the only worker was replaced, and what it had counted is lost"
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    third.close()
    monkeypatch.setattr(os, "getppid", lambda: 1)  # as if a service of the system's: a server of its own
    monkeypatch.setattr(os, "getpgid", lambda process: 1 if process == 1 else 77)
    fourth = monitor_of(None, Clock())
    assert totals(fourth)[0] == 0
    fourth.close()
    assert len(list(folder.iterdir())) == 1, "a server that ended leaves a file"


def test_workers_of_a_server_that_is_process_1_of_its_container_share(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "getppid", lambda: 1)
    monkeypatch.setattr(os, "getpgid", lambda process: 1)
    first = monitor_of(None, Clock())
    serve(first, ROWS[:10])
    first.look()
    monkeypatch.setattr(sharing, "_files", {})  # as if in another process, with a number of its own
    another = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: another)
    second = monitor_of(None, Clock())
    assert totals(second)[0] == 10
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.glob("*.counts"))) == 1
    for monitor in (first, second):
        monitor.close()


def test_what_ended_servers_left_is_swept_and_what_living_ones_use_is_not(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first = monitor_of(None, Clock())
    totals(first)
    (folder,) = tmp_path.iterdir()
    (living,) = folder.iterdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f"a-1-{dead.pid}-0.counts", f"b-1-{os.getppid()}-1.counts", ".tmp-old", ".tmp-new"):
        (folder / name).write_bytes(b"x" * 100)
    os.utime(folder / ".tmp-old", (1.0, 1.0))
    other = monitor_of(None, Clock(), digest="another version", most_rows=7)
    totals(other)
    names = {path.name for path in folder.iterdir()}
    assert living.name in names
    assert ".tmp-new" in names
    assert len(names) == 3, names
    first.close()
    other.close()


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path, monkeypatch, caplog):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"inprocml-{os.getuid()}").mkdir()
    (tmp_path / f"inprocml-{os.getuid()}").chmod(0o777)
    monitor = monitor_of(None, Clock())
    serve(monitor, ROWS[:10])
    with caplog.at_level(logging.WARNING, "inprocml"):
        assert totals(monitor)[::2] == (10, "worker")
    assert "not this user's own folder" in caplog.text
    monitor.close()


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_a_process_counts_for_itself_and_joins_once_there_is_room(tmp_path, monkeypatch):
    clock = Clock()
    monitor = monitor_of(tmp_path, clock)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        serve(monitor, ROWS[:10])
        assert totals(monitor)[::2] == (10, "worker")
    clock.now += 5
    assert totals(monitor)[2] == "worker"
    clock.now += 60
    serve(monitor, ROWS[10:20])
    assert totals(monitor)[::2] == (20, "host")
    monitor.close()


@pytest.mark.parametrize("content", [b"", b"x" * 100_000])
def test_a_file_that_is_deleted_or_damaged_is_made_anew_and_nothing_of_ours_is_lost(tmp_path, content):
    clock = Clock()
    monitor = monitor_of(tmp_path, clock)
    serve(monitor, ROWS[:10])
    monitor.look()
    (path,) = tmp_path.glob("*.counts")
    path.unlink()
    if content:
        path.write_bytes(content)
    clock.now += 60
    serve(monitor, ROWS[10:20])
    assert totals(monitor)[::2] == (20, "host")
    monitor.close()


def test_a_clock_that_steps_back_stops_nothing(tmp_path):
    clock = Clock()
    monitor = monitor_of(tmp_path, clock)
    for jump in (0.0, 100.0, -86_400.0, 5.0, -1e9, 2e9):
        clock.now += jump
        serve(monitor, ROWS[:10])
        monitor.look()
    assert totals(monitor)[0] == 60
    monitor.close()


def test_a_file_that_is_deleted_again_and_again_leaves_nothing_open(tmp_path):
    clock = Clock()
    monitors = [monitor_of(tmp_path, clock) for _ in range(2)]

    def look():
        for monitor in monitors:
            monitor.look()
        return len(list(Path("/dev/fd").iterdir()))

    before = look()
    for _ in range(5):
        (path,) = tmp_path.glob("*.counts")
        path.unlink()
        clock.now += 6.0
        assert look() == before
    for monitor in monitors:
        monitor.close()
    assert len(list(Path("/dev/fd").iterdir())) < before


def test_a_clock_that_steps_back_keeps_no_process_from_the_others(tmp_path, monkeypatch):
    clock = Clock(START + 86_400.0)
    monitor = monitor_of(tmp_path, clock)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert totals(monitor)[2] == "worker"
        clock.now += 29.0
        assert totals(monitor)[2] == "worker"
    clock.now = START
    assert totals(monitor)[2] == "host"
    monitor.close()


def test_rows_after_the_end_are_lost_in_silence(tmp_path):
    monitor = monitor_of(tmp_path, Clock())
    monitor.close()
    serve(monitor, ROWS[:10])
    monitor.saw_table(ROWS[:2], [{"probability": np.ones((2, 2))}])
    assert not monitor.look()


def test_the_watcher_looks_often_while_there_are_rows_then_slowly_and_ends_with_the_last(monkeypatch):
    from inprocml.monitoring.watching import watcher as module

    monkeypatch.setattr(module, "SECONDS", 0.001)
    monkeypatch.setattr(module, "SLOWLY", 30.0)
    monkeypatch.setattr(module, "_PATIENCE", 3)

    class Watched:
        looks, rows = 0, 5

        def look(self):
            self.looks += 1
            self.rows -= 1
            return self.rows > 0

        def study(self):
            pass

    watched, watcher = Watched(), Watcher()
    watcher.watch(watched)
    watcher.rouse()
    watcher.rouse()
    comes(lambda: watcher.asleep)
    looks = watched.looks
    assert looks >= 7
    watched.rows = 2
    watcher.rouse()  # a request finds it asleep
    comes(lambda: watched.looks > looks and watcher.asleep)
    watcher.forget(watched)
    watcher.rouse()
    comes(lambda: watcher._thread is None)


def comes(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"budget": 0}, ValueError),
        ({"budget": float("nan")}, ValueError),
        ({"budget": "low"}, TypeError),
        ({"budget": True}, TypeError),
        ({"labels_within": -1}, ValueError),
        ({"labels_within": "week"}, TypeError),
        ({"usual_labels": 2}, ValueError),
        ({"folder": 5}, TypeError),
        ({"on_drift": 5}, TypeError),
        ({"folder": ""}, ValueError),
        ({"most_rows": 0}, ValueError),
        ({"most_rows": 1.5}, ValueError),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_written(how, error):
    with pytest.raises(error, match=next(iter(how))):
        Monitoring(**how)


def test_of_two_monitors_in_one_process_one_decides_and_the_other_takes_over(tmp_path):
    clock, events = Clock(), []
    monitors = [monitor_of(tmp_path, clock) for _ in range(2)]
    for monitor in monitors:
        monitor.listen(events.append)
    random = np.random.default_rng(3)
    for look in range(130):
        for monitor in monitors:
            clock.now += 31.0
            serve(monitor, rows_of(random, 75, shift=3.0 if look > 100 else 0.0))
            monitor.look()
    decide = [monitor.decided(lambda known: known.total.rows) is not None for monitor in monitors]
    assert decide == [True, False]
    opened = [event.reference for event in events]
    assert opened
    assert len(set(opened)) == len(opened), "an episode is told twice"
    monitors[0].close()
    clock.now += 6.0
    monitors[1].look()
    assert monitors[1].decided(lambda known: known.total.rows) == 130 * 150, "nobody took over"
    monitors[1].close()
