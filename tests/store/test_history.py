"""The history's files: what an entry must be, and that no part of a chain can be changed unseen."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.store.kit import put

from inprocml import BundleError, Corrupt, Store, Unsupported
from inprocml.schema.canonical import canonical, sha256
from inprocml.sources.history import entry_name, parse_entry
from inprocml.sources.moves import last_move, read_moves


@pytest.fixture(scope="module")
def moved(tmp_path_factory, _packed):
    """A store with five moves of two aliases."""
    path = tmp_path_factory.mktemp("moved") / "late"
    for auc in (0.8, 0.9):
        put(path, _packed / "1", metrics={"auc": auc})
    store = Store(path)
    store.promote("1")
    store.promote("1", alias="staging")
    store.promote("2", why="better")
    store.rollback()
    store.trial("2", 0.5)
    return path


@pytest.fixture
def path(moved, tmp_path):
    shutil.copytree(moved, tmp_path / "late")
    return tmp_path / "late"


def edit(path, serial, change, *, following=True):
    """Change an entry as one who knows the format would; the links after it are made right again."""
    file = path / "_history" / entry_name(serial)
    document = json.loads(file.read_bytes())
    change(document)
    file.write_bytes(canonical(document))
    later = path / "_history" / entry_name(serial + 1)
    if following and later.exists():
        digest = "sha256:" + sha256(file.read_bytes())
        edit(path, serial + 1, lambda document: document.update(previous=digest))


def test_every_entry_names_the_digest_of_the_one_before(path):
    entries = read_moves(path)
    contents = [(path / "_history" / entry_name(n)).read_bytes() for n in range(1, 6)]
    assert [entry.previous for entry in entries] == [None, *("sha256:" + sha256(c) for c in contents[:-1])]
    assert last_move(path) == (entries[-1], "sha256:" + sha256(contents[-1]))
    assert [parse_entry(c, serial=n, where="x")[0] for n, c in enumerate(contents, 1)] == list(entries)


@pytest.mark.parametrize("serial", [1, 2, 3, 4])
def test_an_edited_entry_shows_in_the_next(path, serial):
    edit(path, serial, lambda document: document.update(why="as if"), following=False)
    with pytest.raises(Corrupt, match=rf"{entry_name(serial + 1)}: it does not follow"):
        Store(path).history()


@pytest.mark.parametrize("serial", [1, 3])
def test_a_missing_entry_is_named(path, serial):
    (path / "_history" / entry_name(serial)).unlink()
    with pytest.raises(Corrupt, match=rf"{entry_name(serial)}: missing"):
        Store(path).history()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["aliases"].pop("staging"),
        lambda d: d["aliases"]["staging"].update(version="2"),
        lambda d: d["trials"].update(staging=d["aliases"]["staging"] | {"share": 0.1}),
        lambda d: d.update(when="2020-01-01T00:00:00.000000Z"),
        lambda d: d["aliases"].pop("production"),
        lambda d: d.update(action="remove"),
        lambda d: d.update(action="trial"),
        lambda d: d.update(action="x"),
        lambda d: d.update(when="2026-02-31T00:00:00.000000Z"),
        lambda d: d.update(extra=1),
        lambda d: d.update(serial=4),
        lambda d: d.update(who=""),
        lambda d: d["aliases"].update({"../x": d["aliases"]["production"]}),
        lambda d: d["aliases"]["production"].update(version="../1"),
        lambda d: d["aliases"]["production"].update(digest="sha256:1"),
    ],
)
def test_an_entry_that_does_not_do_what_it_says_is_named_though_every_digest_holds(path, change):
    edit(path, 3, change)
    with pytest.raises(Corrupt, match=entry_name(3)):
        Store(path).history()


def test_a_newer_format_says_upgrade(path):
    edit(path, 5, lambda document: document.update(format_version=2))
    with pytest.raises(Unsupported, match="Upgrade inprocml"):
        Store(path).alias("production")


@settings(max_examples=60)
@given(number=st.integers(1, 4), place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_an_entry_can_flip_unseen_once_another_follows(moved, number, place, bit):
    file = moved / "_history" / entry_name(number)
    sound = file.read_bytes()
    content = bytearray(sound)
    content[place % len(content)] ^= 1 << bit
    file.write_bytes(content)
    try:
        with pytest.raises(BundleError, match="_history"):
            Store(moved).history()
    finally:
        file.write_bytes(sound)


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_no_bytes_provoke_more_than_a_refusal(content):
    with pytest.raises(BundleError, match="somewhere"):
        parse_entry(content, serial=1, where="somewhere")


@pytest.mark.parametrize("make", [lambda f: f.mkdir(), lambda f: f.write_bytes(b"x" * (1 << 20) + b"x")])
def test_a_number_that_is_no_entry(path, make):
    make(path / "_history" / entry_name(6))
    for ask in (
        Store(path).history,
        lambda: Store(path).promote("2"),
        lambda: Store(path).alias("production"),
    ):
        with pytest.raises(Corrupt, match=entry_name(6)):
            ask()


def test_what_else_lies_there_is_passed_over(path):
    for name in (".tmp-x", "readme.md", "1.json", "000000001.json", "00000009.json.bak"):
        (path / "_history" / name).write_bytes(b"x")
    assert len(Store(path).history()) == 5
    assert Store(path).promote("2").serial == 6


def test_an_entry_beyond_a_stale_listing_is_found(path, monkeypatch):
    """As over NFS: the listing is of a moment ago."""
    real = os.listdir
    monkeypatch.setattr(
        os, "listdir", lambda folder: [n for n in real(folder) if n[:4] != "0000" or n < "00000003"]
    )
    assert last_move(path)[0].serial == 5
    assert Store(path).promote("2").serial == 6


def test_a_history_that_is_a_file_is_told(path):
    shutil.rmtree(path / "_history")
    (path / "_history").write_bytes(b"")
    with pytest.raises(BundleError, match="_history cannot be written"):
        Store(path).promote("1")


@pytest.mark.parametrize("length", [0, 1, 100])
def test_a_last_entry_that_is_cut_short_has_a_historys_remedy(path, length):
    last = path / "_history" / entry_name(5)
    last.write_bytes(last.read_bytes()[:length])
    with pytest.raises(Corrupt, match=r"00000005\.json: it is cut short.*if it is the last") as raised:
        Store(path).promote("2")
    assert "packed" not in str(raised.value)
    last.unlink()
    assert Store(path).promote("2").serial == 5


def test_without_a_backup_a_new_history_is_begun(path):
    (path / "_history" / entry_name(2)).write_bytes(b"{")
    with pytest.raises(Corrupt):
        Store(path).history()
    (path / "_history").rename(path.parent / "damaged")
    assert Store(path).promote("2", why="history damaged").serial == 1
    assert Store(path).alias("production").name == "2"
