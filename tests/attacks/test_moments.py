"""Between check and use (T9), rot (T14), and a host that must not notice (T12, T15)."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from tests.conftest import pack_small

from inprocml import Bundle, BundleError, Corrupt, Model


@pytest.fixture
def two(tmp_path):
    """Two sound bundles of one version, other models."""
    for seed in (0, 1):
        pack_small(tmp_path / f"store{seed}", seed=seed, version="1")
    return tmp_path / "store0" / "1", tmp_path / "store1" / "1"


def opened_while(path, change, turns=60):
    """Open again and again while ``change`` runs; return the digests of what opened."""
    stop, found, faults = threading.Event(), set(), []

    def swap():
        try:
            while not stop.is_set():
                change()
        except Exception as error:
            faults.append(error)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(turns):
            try:
                bundle = Bundle.open(path)
            except BundleError:
                continue
            found.add((bundle.digest, bundle.model))
    finally:
        stop.set()
        thread.join()
    assert not faults
    return found


@pytest.mark.parametrize("how", ["rename files", "write in place", "exchange folders"])
def test_t9_what_opens_is_one_bundle_or_the_other_never_a_mixture(two, tmp_path, how):
    sound = {(bundle.digest, bundle.model) for bundle in map(Bundle.open, two)}
    turning = tmp_path / "turning"
    shutil.copytree(two[0], turning)
    names = [path.name for path in turning.iterdir()]
    state = [0]

    def change():
        state[0] ^= 1
        source = two[state[0]]
        if how == "exchange folders":
            shutil.copytree(source, tmp_path / "next")
            turning.rename(tmp_path / "last")
            (tmp_path / "next").rename(turning)
            shutil.rmtree(tmp_path / "last")
            return
        for name in names:
            if how == "write in place":
                (turning / name).write_bytes((source / name).read_bytes())
            else:
                shutil.copy(source / name, tmp_path / "one")
                (tmp_path / "one").rename(turning / name)

    assert opened_while(turning, change) <= sound
    assert {(one.digest, one.model) for one in [Bundle.open(two[0])]} <= sound


def test_t14_a_bit_that_flips_anywhere_is_noticed(store):
    folder = store / "1"
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1}:
            path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
            with pytest.raises(BundleError):
                Bundle.open(folder)
        path.write_bytes(content)
    Bundle.open(folder)


def test_t14_a_model_that_answers_otherwise_is_refused_by_its_golden_rows(two):
    from tests.bundle.kit import forge

    from inprocml.backends import open_backend

    forge(two[0], model_onnx=(two[1] / "model.onnx").read_bytes())
    bundle = Bundle.open(two[0])  # digests were made right again: only its answers tell
    with pytest.raises(Corrupt, match="from the packed answer"):
        bundle.replay(open_backend("onnx", bundle.model, threads=1))


@pytest.mark.parametrize("extra", ["notes.txt", ".hidden", "model.onnx.data", "__init__.py", "sub"])
def test_t12_a_file_that_nobody_signed_for_is_refused(store, extra):
    path = store / "1" / extra
    path.mkdir() if extra == "sub" else path.write_bytes(b"")
    with pytest.raises(Corrupt, match="not in the manifest"):
        Bundle.open(store / "1")


@pytest.mark.parametrize("monitoring", [False, True])
def test_t15_loading_and_predicting_reach_no_network_print_nothing_and_write_nothing(
    store, tmp_path, monitoring
):
    """Nothing but the counts of monitoring, in the folder that is this user's own."""
    script = textwrap.dedent(
        f"""
        import os, sys, tempfile
        own = os.path.join(tempfile.gettempdir(), f"inprocml-{{os.getuid()}}", "")
        def watch(event, arguments):
            writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and {monitoring} and os.fspath(arguments[0]).startswith(own):
                return
            if event.startswith(("socket.connect", "socket.getaddrinfo", "subprocess")) or writes:
                os.write(2, f"{{event}} {{arguments}}".encode()); os._exit(9)
        sys.dont_write_bytecode = True
        sys.addaudithook(watch)
        from inprocml import Model
        with Model({str(store)!r}, monitoring={monitoring}) as model:
            model.predict({{"amount": 80.0, "country": "us"}})
        """
    )
    before = tree(tmp_path)
    found = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        timeout=50,
        check=False,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")
    assert tree(tmp_path) == before


def tree(folder: Path):
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def test_t15_a_broken_model_has_no_second_try(store, monkeypatch, capfd):
    """Not another runtime, not another device, not an older version: the refusal reaches the caller."""
    (store / "1" / "model.onnx").write_bytes(b"broken")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network"))
    model = Model(store)
    with pytest.raises(BundleError):
        model.predict({"amount": 1.0, "country": "de"})
    model.close()
    assert capfd.readouterr().out == ""
