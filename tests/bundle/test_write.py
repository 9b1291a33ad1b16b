"""A version appears whole or not at all, whatever goes wrong and whoever races."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inprocml import PackError
from inprocml.bundle.write import publish
from inprocml.sources import Directory


def build(version):
    return {"model.onnx": b"m" * 1000, "manifest.json": version.encode()}


def put(store, version=None, build=build, prove=lambda folder: None):
    return publish(Path(store), version, build=build, prove=prove)


def names(store):
    return [version.name for version in Directory(store).versions()]


def whole(store):
    """Each visible version holds all its files, and its manifest names it."""
    for version in store.iterdir():
        if not version.name.startswith("."):
            assert {path.name: path.read_bytes() for path in version.iterdir()} == build(version.name)


def test_numbers_count_up(tmp_path):
    store = tmp_path / "models" / "late"  # neither exists
    assert [put(store).name for _ in range(11)] == [str(i) for i in range(1, 12)]
    assert names(store)[-1] == "11"
    whole(store)


def test_a_named_version_must_be_new_and_newest(tmp_path):
    assert put(tmp_path, "2026-08-20") == tmp_path / "2026-08-20"
    with pytest.raises(PackError, match="already has '2026-08-20'"):
        put(tmp_path, "2026-08-20")
    with pytest.raises(PackError, match="'2026-08-3' sorts before '2026-08-20', the newest"):
        put(tmp_path, "2026-08-3")
    put(tmp_path, "2026-11-20")
    assert names(tmp_path) == ["2026-08-20", "2026-11-20"]


def test_the_next_number_that_would_not_be_newest_is_refused(tmp_path):
    put(tmp_path, "v9")
    with pytest.raises(PackError, match=r"newest version is 'v9'.*version='...'"):
        put(tmp_path)


@pytest.mark.parametrize("version", ["", "../x", ".x", "a b", "x" * 65, "1/2", "1\n"])
def test_a_malformed_name_is_refused(tmp_path, version):
    with pytest.raises(PackError, match="cannot be a name"):
        put(tmp_path, version)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_no_store(tmp_path):
    with pytest.raises(PackError, match=r"one bundle, not a store.*parent"):
        put(put(tmp_path))


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(PackError, match="is a file"):
        put(tmp_path / "x")


def test_nothing_is_visible_until_it_is_proved(tmp_path):
    seen = []

    def prove(folder):
        seen.append((folder.parent, {p.name: p.read_bytes() for p in folder.iterdir()}, names(tmp_path)))

    put(tmp_path, prove=prove)
    assert seen == [(tmp_path, build("1"), [])]


def test_what_fails_its_proof_leaves_nothing(tmp_path):
    def prove(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(tmp_path, prove=prove)
    assert list(tmp_path.iterdir()) == []


def test_files_get_the_host_s_ordinary_permissions(tmp_path):
    before = os.umask(0o022)
    try:
        folder = put(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o644}


def test_everything_is_forced_to_disk_before_the_rename(tmp_path, monkeypatch):
    steps = []
    fsync, rename = os.fsync, Path.rename

    def spy_fsync(descriptor):
        steps.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def spy_rename(path, target):
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "rename", spy_rename)
    put(tmp_path)
    assert steps[:2] == ["model.onnx", "manifest.json"]
    assert steps[2].startswith(".tmp-")
    assert steps[3:] == ["rename", tmp_path.name]


def test_racing_packers_all_get_a_version_of_their_own(tmp_path):
    barrier, placed, proved = threading.Barrier(8), [], threading.Event()

    def race():
        barrier.wait()
        placed.append(put(tmp_path, prove=lambda folder: proved.set()).name)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, placed)) == list(range(1, 9))
    whole(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_loser_of_a_race_takes_the_next_number_in_its_files_too(tmp_path):
    def overtaken(folder):
        if not (tmp_path / "1").exists():
            put(tmp_path)

    assert put(tmp_path, prove=overtaken).name == "2"
    whole(tmp_path)


def test_the_loser_of_a_race_for_a_name_is_told(tmp_path):
    with pytest.raises(PackError, match="already has 'v1'"):
        put(tmp_path, "v1", prove=lambda folder: put(tmp_path, "v1"))
    whole(tmp_path)


def test_losing_at_the_very_rename_is_losing_too(tmp_path, monkeypatch):
    rename = Path.rename

    def late(path, target):
        monkeypatch.setattr(Path, "rename", rename)
        put(tmp_path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    assert put(tmp_path).name == "2"
    whole(tmp_path)


@pytest.mark.parametrize("step", ["mkdir", "open", "write", "fsync", "rename"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch, step):
    real = os.open

    def fail(*arguments, **more):
        if step == "open" and not arguments[1] & os.O_CREAT:
            return real(*arguments, **more)
        raise OSError(errno.ENOSPC, "No space left on device")

    tmp_path = tmp_path / "store"
    tmp_path.mkdir()
    monkeypatch.setattr(os if step in {"open", "write", "fsync"} else Path, step, fail)
    with pytest.raises(PackError, match=r"No space left on device.*no version became visible"):
        put(tmp_path)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


CRASHES = """
import os, sys
from pathlib import Path
from inprocml.bundle.write import publish

store = Path(sys.argv[1])
real = {name: getattr(os, name) for name in ("mkdir", "open", "fsync", "rename", "close")}

def crash_at(step):
    left = [step]
    def spied(name):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)          # as a power cut: no finally, no cleanup
            return real[name](*args, **kwargs)
        return call
    for name in real:
        setattr(os, name, spied(name))

step = 1
while True:
    child = os.fork()
    if child == 0:
        crash_at(step)
        publish(store, None, build=lambda v: {"model.onnx": b"m" * 1000, "manifest.json": v.encode()},
                prove=lambda folder: None)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        break
    assert code == 9, code
    step += 1
print(step)
"""


def test_a_crash_at_any_step_leaves_no_torn_version(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", CRASHES, str(tmp_path)], capture_output=True, text=True, check=True, timeout=50
    )
    assert int(run.stdout) >= 6, run.stderr  # mkdir, three fsyncs, rename, the store's fsync and their opens
    whole(tmp_path)
    assert put(tmp_path).name == str(len(names(tmp_path)))  # what crashed packers left hinders nobody
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".tmp-")]
