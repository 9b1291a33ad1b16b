"""``watch`` and ``drift``: they look on, act once an episode, and decide only where nobody else lives."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.drifting import HEALTHY, MOVED, drift, monitor_of, serve
from tests.monitoring.hooks.receiver import until
from tests.monitoring.watching.watched import Clock

from inprocml import DriftReport, Store
from inprocml.monitoring import DriftEvent, Reference
from inprocml.monitoring.counting import Slots
from inprocml.monitoring.verdict import Action

ROOT = Path(__file__).parents[2]
NOTE = (
    "import os, sys; told = [sys.stdin.read(), os.environ['INPROCML_DRIFT_EVENT'], '']; "
    "open(sys.argv[1], 'a').write('\\n'.join(told))"
)


@pytest.fixture(scope="module")
def _drifted(tmp_path_factory, _packed):
    folder = tmp_path_factory.mktemp("drifted")
    drift(_packed / "1", folder)[0].close()
    return folder


@pytest.fixture
def counts(_drifted, tmp_path):
    return Path(shutil.copytree(_drifted, tmp_path / "counts"))


@contextlib.contextmanager
def server(path, folder):
    """A process that counts there, and decides."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.drifting", str(path), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def state_of(counts):
    return [path.read_bytes() for path in counts.glob("*.counts")]


def test_a_command_runs_once_an_episode_with_the_event(run, store, counts, tmp_path):
    note = tmp_path / "note"
    watch = ("watch", store, "--counts", counts, "--once", "--on-drift", sys.executable, "-c", NOTE, note)
    code, out, err = run(*watch)
    assert (code, err) == (3, "")
    assert "amount" in out
    told, path = note.read_text().splitlines()[:2]
    event = DriftEvent.from_dict(json.loads(told))
    assert (event.action, event.model, event.version) == (Action.OPENED, "fraud", "1")
    assert not Path(path).exists()
    before = note.read_text()
    assert run(*watch) == (0, "", "")
    assert note.read_text() == before
    (record,) = counts.glob("*.watched")
    record.write_bytes(b"{")  # damaged: better once too often
    assert run(*watch)[0] == 3


def test_json_is_a_line_an_event_and_the_command_prints_elsewhere(run, store, counts):
    watch = ("watch", f"{store}@1", "--counts", counts, "--once", "--json", "--on-drift")
    code, out, err = run(*watch, sys.executable, "-c", "print('trained')")
    assert code == 3
    assert {DriftEvent.from_dict(json.loads(line)).reference for line in out.splitlines()} >= {
        Reference.TRAIN
    }
    assert "trained" in err


def test_an_episode_that_came_and_went_between_two_looks_is_told_once(run, store, tmp_path):
    counts, note = tmp_path / "counts", tmp_path / "note"
    clock = Clock(time.time() - 7 * 86_400)
    command = ("--once", "--on-drift", sys.executable, "-c", NOTE, note)
    watch = ("watch", f"{store}@1", "--counts", counts, *command)

    def served(*parts):
        monitor = monitor_of(store / "1", counts, clock)
        for rows, hours, steps in parts:
            serve(monitor, clock, rows, hours, steps)
        monitor.close()

    gone = [(MOVED, 12, 60), (HEALTHY, 30, 1)]  # a day without rows, then healthy ones
    served((HEALTHY, 48, 500), *gone)
    assert run(*watch) == (0, "", "")  # it was over before anybody looked
    served(*gone)
    code, out, _ = run(*watch)
    assert code == 3
    assert "(train, over)" in out
    assert "; no rows came for a day" in out
    event = DriftEvent.from_dict(json.loads(note.read_text().splitlines()[0]))
    assert event.action is Action.CLOSED
    assert "amount" in {found.name for found in event.findings}
    assert run(*watch) == (0, "", "")
    code, out, _ = run("drift", f"{store}@1", "--counts", counts)
    assert (code, out.count("no rows came for a day")) == (0, 2)


def test_private_fields_are_named_by_their_numbers_in_what_commands_show(run, store, counts):
    for more, named in (([], True), (["--private", "country"], False)):
        code, out, _ = run("drift", store, "--counts", counts, "--json", *more)
        assert code == 3
        labels = DriftReport.from_dict(json.loads(out))["country"].labels
        assert ("=us" in labels, "category 1" in labels) == (named, not named)


@pytest.mark.parametrize("command", [[sys.executable, "-c", "raise SystemExit(7)"], ["/no/such/command"]])
def test_a_command_that_fails_is_told_by_the_exit_code_and_not_run_again(run, store, counts, command):
    assert run("watch", store, "--counts", counts, "--once", "--on-drift", *command)[0] == 4
    assert run("watch", store, "--counts", counts, "--once", "--on-drift", *command)[0] == 0


def test_without_counts_there_is_nothing_to_do_and_nothing_is_made(run, store, tmp_path):
    assert run("watch", store, "--counts", tmp_path / "none", "--once")[0] == 0
    assert not list((tmp_path / "none").glob("*.counts"))
    code, _, err = run("drift", store, "--counts", tmp_path / "none")
    assert code == 1
    assert "Monitoring(folder=...)" in err


def test_one_watch_at_a_time(run, store, counts):
    command = [
        sys.executable,
        "-m",
        "inprocml",
        "watch",
        str(store),
        "--counts",
        str(counts),
        "--every",
        "0.1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert b"amount" in process.stdout.readline()
        code, _, err = run("watch", store, "--counts", counts, "--once")
        assert code == 1
        assert "another" in err
    finally:
        process.kill()
        process.communicate()


def test_while_a_server_lives_nobody_else_decides(run, store, counts, monkeypatch):
    with server(store / "1", counts):
        before = state_of(counts)
        monkeypatch.setattr(Slots, "write_state", lambda *_: pytest.fail("decided beside a server"))
        assert run("watch", store, "--counts", counts, "--once")[0] == 3
        assert state_of(counts) == before


def test_what_a_killed_server_left_undecided_is_decided_once(run, store, counts, tmp_path, monkeypatch):
    healthy = tmp_path / "new"
    monitor, clock = drift(store / "1", healthy)
    # as if it had been killed before it decided on the last half day
    monitor._evaluate = lambda now: []
    monitor.close()
    undecided = monitor_of(store / "1", tmp_path / "other", clock)
    undecided.close()
    said = []
    write = Slots.write_state
    monkeypatch.setattr(Slots, "write_state", lambda self, state: (said.append(1), write(self, state)))
    assert run("watch", store, "--counts", healthy, "--once")[0] == 3
    again = run("watch", store, "--counts", healthy, "--once")
    assert again == (0, "", "")
    assert len(said) <= 1


def test_it_follows_an_alias_and_survives_servers_that_come_and_go(store, add_version, counts, tmp_path):
    add_version()
    Store(store).promote("2")
    note = tmp_path / "note"
    command = [sys.executable, "-m", "inprocml", "watch", f"{store}@production", "--counts", str(counts)]
    command += ["--every", "0.1", "--on-drift", sys.executable, "-c", NOTE, str(note)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with server(store / "2", counts):
            pass  # killed
        with server(store / "2", counts):
            assert process.poll() is None
        assert not note.exists()
        Store(store).promote("1")
        assert until(note.exists)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_drift_reports_as_text_json_and_a_page(run, store, counts, tmp_path):
    page = tmp_path / "page.html"
    code, out, _ = run("drift", store, "--counts", counts, "--html", page)
    assert code == 3
    assert "amount" in out
    assert page.read_text().startswith("<!")
    code, out, _ = run("drift", f"{store}@1", "--counts", counts, "--json", "--reference", "live")
    report = DriftReport.from_dict(json.loads(out))
    assert (report.model, report.reference) == ("fraud", Reference.LIVE)
    assert report.health.seen == 56_000


@pytest.mark.parametrize("more", [("--budget", "0"), ("--every", "0"), ("--every", "nan")])
def test_settings_that_cannot_be_are_not_understood(run, store, counts, more):
    assert run("watch", store, "--counts", counts, "--once", *more)[0] == 2


def test_a_process_that_counts_is_told_to_ask_its_model(run, store, counts):
    monitor = monitor_of(store / "1", counts, lambda: 1e9)
    monitor.look()
    code, _, err = run("drift", store, "--counts", counts)
    assert code == 1
    assert "Model" in err
    monitor.close()
    assert list(counts.iterdir())


def test_a_file_of_another_form_or_damaged_is_left_as_it_is(run, store, counts):
    (path,) = counts.glob("*.counts")
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:1000])
    assert run("watch", store, "--counts", counts, "--once")[0] == 0  # as if there were no counts yet
    assert path.read_bytes() == content[:1000]
    content[100:] = bytes(byte ^ 0xA5 for byte in content[100:])
    path.write_bytes(content)
    code, _, err = run("watch", store, "--counts", counts, "--once")
    assert code in {0, 1}
    assert "Traceback" not in err
