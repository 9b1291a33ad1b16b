"""Many writers and readers at once: no move is lost, none is seen torn, a killed one is in nobody's way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.store.kit import put

from inprocml import Store
from inprocml.sources import Directory

ROOT = Path(__file__).parents[2]
WRITERS, TIMES = 5, 6


@pytest.fixture
def path(tmp_path, _packed):
    store = tmp_path / "late"
    for auc in (0.8, 0.9):
        put(store, _packed / "1", metrics={"auc": auc})
    Store(store).promote("1")
    return store


def start(path, who):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.crowd", str(path), who, str(TIMES)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def release(writers):
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()


def test_moves_of_many_processes_are_all_in_the_history(path):
    writers = [start(path, f"w{number}") for number in range(WRITERS)]
    release(writers)
    longest, polls = 0, 0
    while any(writer.poll() is None for writer in writers):
        history = Store(path).history()  # raises where a link does not hold
        assert len(history) >= longest
        longest, polls = len(history), polls + 1
        assert Directory(path).aliases()["production"].name in {"1", "2"}
        assert not Store(path).alias("production").broken
    told = [writer.communicate()[0].split("\n") for writer in writers]
    assert all(writer.returncode == 0 for writer in writers)
    refused = sum(lines.count("same") + lines.count("nothing before") for lines in told)
    history = Store(path).history()
    assert len(history) == 1 + WRITERS * TIMES * 3 - refused
    assert [entry.serial for entry in history] == list(range(1, len(history) + 1))
    own = [sum(entry.alias == f"own-w{number}" for entry in history) for number in range(WRITERS)]
    assert own == [TIMES] * WRITERS
    assert polls > 0
    assert not [file for file in (path / "_history").iterdir() if file.name.startswith(".")]


def test_writers_that_are_killed_hinder_nobody(path):
    writers = [start(path, f"w{number}") for number in range(WRITERS)]
    release(writers)
    before = len(Store(path).history())
    for writer in writers[1:]:
        while len(Store(path).history()) < before + 5 and writers[0].poll() is None:
            continue
        before = len(Store(path).history())
        writer.kill()
    assert writers[0].wait(timeout=50) == 0
    for writer in writers:
        writer.communicate()
    history = Store(path).history()
    assert sum(entry.alias == "own-w0" for entry in history) == TIMES
    entry = Store(path).promote("2", alias="after")
    assert entry.serial == len(history) + 1
    assert len(Store(path).history()) == entry.serial
