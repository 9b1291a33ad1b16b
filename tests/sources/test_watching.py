"""Waiting for a directory to change: soon with watchfiles, in time without, and never in vain."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.conftest import wait_for

from inprocml.protocols import Watchable
from inprocml.sources import Directory

LONG = 30.0  # a test that waits so long has failed


def add(store, name, text=None):
    temporary = store / f".tmp-{name}"
    temporary.mkdir(parents=True)
    (temporary / "manifest.json").write_text(text or json.dumps({"version": name}))
    temporary.rename(store / name)


class Waiting:
    """One ``wait`` on a thread of its own."""

    def __init__(self, source, seconds=LONG):
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=source.wait, args=(seconds, self.stopped))
        self.thread.start()

    def returned(self, within=LONG / 2):
        self.thread.join(within)
        return not self.thread.is_alive()

    def stop(self):
        self.stopped.set()
        self.thread.join(LONG)
        assert not self.thread.is_alive()


@pytest.fixture
def watched(tmp_path):
    add(tmp_path / "store", "1")
    return tmp_path / "store"


@pytest.fixture
def no_watchfiles(monkeypatch):
    monkeypatch.setitem(sys.modules, "watchfiles", None)


def test_a_directory_can_be_waited_for(tmp_path):
    assert isinstance(Directory(tmp_path), Watchable)


def changes(store):
    (store / "_history").mkdir()
    return {
        "a version more": functools.partial(add, store, "2"),
        "a version less": lambda: (store / "1").rename(store / ".gone"),
        "a single file": lambda: (store / "2.inprocml").write_bytes(b""),
        "a manifest replaced": lambda: (store / "1" / "manifest.json").write_text('{"version": "1"} '),
        "a file taken from a version": (store / "1" / "manifest.json").unlink,
        "an alias moved": lambda: (store / "_history" / "00000001.json").write_text("{}"),
        "the store taken away": lambda: store.rename(store.parent / "elsewhere"),
    }


@pytest.mark.parametrize(
    "change",
    [
        "a version more",
        "a version less",
        "a single file",
        "a manifest replaced",
        "a file taken from a version",
        "an alias moved",
        "the store taken away",
    ],
)
def test_whatever_matters_ends_the_wait(watched, change):
    act = changes(watched)[change]
    source = Directory(watched)
    waiting = Waiting(source)
    assert not waiting.returned(within=1.0)
    act()
    assert waiting.returned()


def test_what_changed_between_two_waits_ends_the_second(watched):
    source = Directory(watched)
    source.wait(0.01, threading.Event())
    add(watched, "2")
    assert Waiting(source).returned()


def test_what_does_not_matter_ends_no_wait(watched):
    source = Directory(watched)
    waiting = Waiting(source)
    for count in range(10):
        (watched / ".tmp-half").mkdir(exist_ok=True)
        (watched / ".tmp-half" / str(count)).write_text("half a file")
        assert not waiting.returned(within=0.1)
    waiting.stop()


@pytest.mark.parametrize("there", [True, False])
def test_stopping_ends_the_wait(watched, there):
    waiting = Waiting(Directory(watched if there else watched / "missing"))
    assert not waiting.returned(within=0.3)
    waiting.stop()


def test_stopping_ends_the_wait_without_watchfiles(watched, no_watchfiles):
    waiting = Waiting(Directory(watched))
    assert not waiting.returned(within=0.3)
    waiting.stop()


@pytest.mark.parametrize("place", ["store", "missing", "store/1/manifest.json"])
def test_time_ends_the_wait_and_no_sooner(watched, place):
    begun = time.monotonic()
    Directory(watched.parent / place).wait(0.4, threading.Event())
    assert time.monotonic() - begun >= 0.4  # a wait that returned at once would spin


def test_a_store_that_is_replaced_is_watched_again(watched, tmp_path):
    source = Directory(watched)
    source.wait(0.01, threading.Event())
    watched.rename(tmp_path / "old")
    source.wait(0.2, threading.Event())
    add(tmp_path / "new", "1")
    (tmp_path / "new").rename(watched)
    source.wait(LONG, threading.Event())  # another folder than the one that was seen
    waiting = Waiting(source)
    assert not waiting.returned(within=1.0)
    add(watched, "2")
    assert waiting.returned()


def test_no_thread_and_no_file_is_left_behind(watched):
    source = Directory(watched)
    source.wait(0.05, threading.Event())
    before = held()
    for _ in range(10):
        source.wait(0.02, threading.Event())
    wait_for(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))


def held():
    """Threads and open files of this process; the system takes a moment to end what was closed."""
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))


FORK = """
import os, sys, threading, pathlib
from inprocml.sources import Directory
from tests.conftest import wait_for
source = Directory(sys.argv[1])
stopped = threading.Event()
thread = threading.Thread(target=source.wait, args=(20, stopped), daemon=True)
thread.start()
threading.Event().wait(0.5)
child = os.fork()
if not child:
    source.wait(0.2, threading.Event())
    (pathlib.Path(sys.argv[1]) / "2.inprocml").write_bytes(b"")
    source.wait(20, threading.Event())
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join(20)
print(thread.is_alive())
"""


def test_parent_and_child_of_a_fork_wait_each_for_itself(watched):
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(watched)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.split() == ["0", "False"], done.stderr


def test_a_system_out_of_watches_leaves_the_time(watched, monkeypatch):
    import watchfiles

    def refuse(*_, **__):
        raise OSError(28, "no space left: the limit of watches is reached")
        yield

    monkeypatch.setattr(watchfiles, "watch", refuse)
    begun = time.monotonic()
    Directory(watched).wait(0.2, threading.Event())
    assert time.monotonic() - begun >= 0.2
