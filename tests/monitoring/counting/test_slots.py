"""The file in which workers merge: no torn record, nothing lost with a killed worker, one who evaluates."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import get_context

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inprocml.monitoring.counting import Slots

DIGEST = b"d" * 32
PATIENCE = 20


def opened(path, **how):
    return Slots.open(path, **{"digest": DIGEST, "record": 64, "state": 100, "count": 4, **how})


def child(path, script):
    """Run ``script`` in another process, which has ``slots``; it says what it prints."""
    head = f"""
        import os, sys
        from pathlib import Path
        from inprocml.monitoring.counting import Slots
        slots = Slots.open(Path({str(path)!r}), digest={DIGEST!r}, record=64, state=100, count=4)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_record_is_read_as_it_was_written(tmp_path):
    slots = opened(tmp_path / "counts")
    assert slots.all() == []
    slot = slots.claim()
    for record in (b"one", b"", b"x" * 64):
        slots.write(slot, record)
        assert slots.read(slot) == record
        assert slots.all() == [record]
    with pytest.raises(ValueError, match="64 have room"):
        slots.write(slot, b"x" * 65)
    assert slots.read_state() is None
    slots.write_state(b"learnt")
    assert slots.read_state() == b"learnt"


def test_processes_have_slots_of_their_own_and_read_each_other(tmp_path):
    slots = opened(tmp_path / "counts")
    mine = slots.claim()
    slots.write(mine, b"parent")
    other = child(
        tmp_path / "counts",
        """
        slot = slots.claim()
        slots.write(slot, b"child")
        print(slot, sorted(slots.all()), slots.elect(), flush=True)
        sys.stdin.read()
        """,
    )
    slot, said = other.stdout.readline().split(maxsplit=1)
    assert int(slot) != mine
    assert said.strip() == "[b'child', b'parent'] True"
    assert sorted(slots.all()) == [b"child", b"parent"]
    assert not slots.elect(), "two processes evaluate"
    other.kill()
    other.wait()
    assert slots.elect(), "the one who evaluates died, and nobody takes over"
    assert sorted(slots.all()) == [b"child", b"parent"], "what a killed worker counted is lost"
    assert slots.claim() == int(slot), "the next one goes on with the counts of the dead"
    assert slots.read(int(slot)) == b"child"
    assert other.stdout.close() is None
    other.stdin.close()


def test_when_all_slots_are_taken_there_is_none(tmp_path):
    slots = opened(tmp_path / "counts")
    assert sorted(slots.claim() for _ in range(4)) == [0, 1, 2, 3]
    assert slots.claim() is None
    slots.release(2)
    assert slots.claim() == 2


def _write(path, number):
    slots = opened(path)
    slot = slots.claim()
    for turn in range(10**9):
        slots.write(slot, bytes([number]) * (1 + turn % 64))


def test_readers_never_see_half_a_record_nor_does_a_kill_leave_one(tmp_path):
    path = tmp_path / "counts"
    slots = opened(path)
    for _ in range(5):
        writers = [get_context("spawn").Process(target=_write, args=(path, k), daemon=True) for k in (1, 2)]
        for writer in writers:
            writer.start()
        until = time.monotonic() + PATIENCE
        while len(slots.all()) < 2:
            assert time.monotonic() < until
        for _ in range(2_000):
            for record in slots.all():
                assert len(set(record)) == 1
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.join(PATIENCE)
        assert all(len(set(record)) == 1 for record in slots.all())
        assert len(slots.all()) == 2


ROUNDS, OPENERS = 60, 4


def _open_at_once(folder, barrier, answers):
    kept = []
    for turn in range(ROUNDS):
        barrier.wait(PATIENCE)
        slots = opened(folder / str(turn), record=20_000)
        slots.claim()
        kept.append(slots)
    barrier.wait(PATIENCE)
    answers.put(sum(slots.gone for slots in kept))


def test_processes_that_make_the_file_at_the_same_moment_have_one_file(tmp_path):
    spawn = get_context("spawn")
    barrier, answers = spawn.Barrier(OPENERS), spawn.Queue()
    openers = [
        spawn.Process(target=_open_at_once, args=(tmp_path, barrier, answers), daemon=True)
        for _ in range(OPENERS)
    ]
    for one in openers:
        one.start()
    assert [answers.get(timeout=PATIENCE) for _ in openers] == [0] * OPENERS, "one replaced another's file"
    for one in openers:
        one.join(PATIENCE)


@pytest.mark.parametrize("content", [b"", b"x", b"inprocml counts\x01" + b"\0" * 500, b"\xff" * 10_000])
def test_a_damaged_file_is_replaced_and_those_who_have_it_notice(tmp_path, content):
    path = tmp_path / "counts"
    before = opened(path)
    slot = before.claim()
    before.write(slot, b"counted")
    other = tmp_path / "other"
    other.write_bytes(content)
    other.replace(path)
    assert before.gone
    after = opened(path)
    assert after.all() == []
    after.write(after.claim(), b"new")
    assert before.read(slot) == b"counted", "a mapped file was changed under its reader"
    assert not after.gone


def test_a_damaged_record_is_no_record(tmp_path):
    path = tmp_path / "counts"
    slots = opened(path)
    slot = slots.claim()
    slots.write(slot, b"counted")
    slots.write_state(b"learnt")
    content = bytearray(path.read_bytes())
    content[64:] = bytes(byte ^ 0x55 if byte else 0 for byte in content[64:])
    with path.open("r+b") as file:
        file.write(content)
    assert slots.all() == []
    assert slots.read_state() is None


def test_another_form_has_another_file(tmp_path):
    path = tmp_path / "counts"
    opened(path)
    assert opened(path, digest=b"e" * 32).all() == []


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        opened(tmp_path / "counts")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["counts"]
    assert opened(tmp_path / "counts").all() == []


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_bytes(b"keep")
    (tmp_path / "counts").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"symbolic link|Too many levels"):
        opened(tmp_path / "counts")
    assert (tmp_path / "precious").read_bytes() == b"keep"


class Workers(RuleBasedStateMachine):
    """Processes come, count, resign, die; what was counted is never less, and one at most evaluates."""

    @initialize()
    def begin(self):
        import tempfile
        from pathlib import Path

        self.path = Path(tempfile.mkdtemp()) / "counts"
        self.slots = opened(self.path)
        self.mine, self.records = {}, {}

    @rule()
    def claim(self):
        slot = self.slots.claim()
        assert (slot is None) == (len(self.mine) == 4)
        if slot is not None:
            assert slot not in self.mine
            self.mine[slot] = True

    @precondition(lambda self: self.mine)
    @rule(which=st.integers(0, 3), record=st.binary(max_size=64))
    def write(self, which, record):
        slot = sorted(self.mine)[which % len(self.mine)]
        self.slots.write(slot, record)
        self.records[slot] = record

    @precondition(lambda self: self.mine)
    @rule(which=st.integers(0, 3))
    def release(self, which):
        slot = sorted(self.mine)[which % len(self.mine)]
        self.slots.release(slot)
        del self.mine[slot]

    @rule()
    def die(self):
        """All locks are given back, as when a process is killed."""
        self.slots.close()
        self.slots = opened(self.path)
        self.mine = {}

    @invariant()
    def nothing_is_lost(self):
        if hasattr(self, "records"):
            assert self.slots.all() == [self.records[slot] for slot in sorted(self.records)]


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=30, stateful_step_count=25)
