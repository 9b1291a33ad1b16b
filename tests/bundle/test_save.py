"""Saving: the same bytes as a folder and as a single file, never over anything, never by halves."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bundle.kit import tiny_files

from inprocml import Bundle, BundleError, Corrupt, PackError
from inprocml.bundle import archive, place
from inprocml.bundle.archive import spell
from inprocml.bundle.parts import read_parts
from inprocml.bundle.save import all_files


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def bundle(store):
    return Bundle.open(store / "1")


def test_a_folder_becomes_a_file_and_a_folder_again_byte_for_byte(bundle, tmp_path):
    single = bundle.save(tmp_path / "new" / "fraud.inprocml")
    opened = Bundle.open(single)
    assert (opened.digest, opened.model, opened.card) == (bundle.digest, bundle.model, bundle.card)
    assert opened.path == single
    again = opened.save(tmp_path / "again")
    assert contents(again) == contents(bundle.path)
    assert opened.save(tmp_path / "copy.inprocml").read_bytes() == single.read_bytes()
    assert Bundle.open(again).save(tmp_path / "third.inprocml").read_bytes() == single.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again",
        "copy.inprocml",
        "models",
        "new",
        "third.inprocml",
    ]


@given(
    cards=st.binary(max_size=200),
    model=st.binary(min_size=0, max_size=2000),
    signature=st.none() | st.binary(max_size=80),
)
@settings(max_examples=60)
def test_any_files_come_back(tmp_path_factory, cards, model, signature):
    files = tiny_files(card_md=cards, model_onnx=model)
    if signature is not None:
        files["signature.json"] = signature
    path = tmp_path_factory.mktemp("any") / "x.inprocml"
    path.write_bytes(b"".join(spell(files)))
    shuffled = dict(reversed(files.items()))
    assert path.read_bytes() == b"".join(spell(shuffled))
    assert all_files(read_parts(path, lambda *_: None)) == files


def test_other_tools_can_read_the_file(bundle, tmp_path):
    single = bundle.save(tmp_path / "x.inprocml")
    with zipfile.ZipFile(single) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == contents(bundle.path)
        assert opened.namelist()[0] == "manifest.json"
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_STORED}
        opened.extractall(tmp_path / "x")
    assert Bundle.open(tmp_path / "x").digest == bundle.digest


def test_name_version_and_digest_are_asked_of_a_single_file_too(bundle, tmp_path):
    single = bundle.save(tmp_path / "x.inprocml")
    assert Bundle.open(single, version="1", digest=bundle.digest).name == "fraud"


def test_nothing_is_overwritten(bundle, tmp_path):
    (tmp_path / "a.inprocml").write_text("mine")
    (tmp_path / "b").mkdir()
    (tmp_path / "c.inprocml").symlink_to(tmp_path / "nowhere")
    for name in ("a.inprocml", "b", "c.inprocml"):
        with pytest.raises(PackError, match="already exists"):
            bundle.save(tmp_path / name)
    assert (tmp_path / "a.inprocml").read_text() == "mine"
    assert not list((tmp_path / "b").iterdir())
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize("name", ["x.inprocml", "x"])
@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_disk_that_refuses_leaves_nothing(bundle, tmp_path, monkeypatch, name, call):
    real, calls = getattr(os, call), []

    def refuse(*arguments, **keywords):
        calls.append(arguments)
        if call == "open" and not (arguments[1] & os.O_CREAT):
            return real(*arguments, **keywords)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place.os, call, refuse)
    with pytest.raises(PackError, match=r"cannot be written \(No space left"):
        bundle.save(tmp_path / "out" / name)
    monkeypatch.undo()
    assert calls
    assert not list((tmp_path / "out").iterdir())


def test_without_hard_links_a_file_is_saved_all_the_same(bundle, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(place.os, "link", refuse)
    single = bundle.save(tmp_path / "x.inprocml")
    assert Bundle.open(single).digest == bundle.digest
    with pytest.raises(PackError, match="already exists"):
        bundle.save(single)


def test_a_bundle_that_was_replaced_meanwhile_is_not_saved_as_this_one(bundle, store, add_version, tmp_path):
    add_version()
    shutil.rmtree(store / "1")
    (store / "2").rename(store / "1")
    with pytest.raises(Corrupt, match=r"asked for sha256:.*another one"):
        bundle.save(tmp_path / "x.inprocml")
    shutil.rmtree(store / "1")
    with pytest.raises(BundleError, match="missing"):
        bundle.save(tmp_path / "x.inprocml")
    assert not (tmp_path / "x.inprocml").exists()


def test_what_zip_cannot_hold_stays_a_folder(monkeypatch):
    monkeypatch.setattr(archive, "LARGEST", 2000)
    with pytest.raises(PackError, match="2000 is the most. Keep it as a folder"):
        next(spell(tiny_files(model_onnx=bytes(3000))))


def test_a_digest_pins_the_bundle(bundle, store, add_version):
    add_version()
    assert Bundle.open(store / "1", digest=bundle.digest).digest == bundle.digest
    with pytest.raises(Corrupt, match="asked for sha256:"):
        Bundle.open(store / "2", digest=bundle.digest)
    with pytest.raises(Corrupt, match="asked for version '2'"):  # a slip of the hand is told before
        Bundle.open(store / "1", version="2", digest="sha256:" + "0" * 64)


def test_opening_a_large_file_holds_it_once(tmp_path):
    megabytes = 64
    files = tiny_files(model_onnx=bytes(megabytes << 20))
    for form in ("x.inprocml", "x"):
        path = tmp_path / form
        if form == "x":
            path.mkdir()
            for name, content in files.items():
                (path / name).write_bytes(content)
        else:
            path.write_bytes(b"".join(spell(files)))
        code = (
            "import sys, tracemalloc; from pathlib import Path\n"
            "from inprocml.bundle.parts import read_parts; tracemalloc.start()\n"
            f"parts = read_parts(Path({str(path)!r}), lambda *_: None)\n"
            "print(tracemalloc.get_traced_memory()[1] >> 20)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            timeout=50,
        )
        assert megabytes <= int(done.stdout) <= megabytes + 8, form


def test_rights_follow_the_umask(bundle, tmp_path):
    before = os.umask(0o022)
    try:
        single = bundle.save(tmp_path / "x.inprocml")
        folder = bundle.save(tmp_path / "x")
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (single, *folder.iterdir())}
    assert modes == {0o644}
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o755
