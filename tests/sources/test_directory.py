"""Versions in a directory: which there are, in which order, and what is none."""

from __future__ import annotations

import json
import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocml import Bundle
from inprocml.errors import BundleError, Corrupt, UnknownVersion
from inprocml.protocols import Source
from inprocml.sources import Directory, natural_key, valid_version

NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")


def add(store, *names):
    for name in names:
        (store / name).mkdir(parents=True)
        (store / name / "manifest.json").write_text(json.dumps({"version": name}))


def listed(store):
    return [version.name for version in Directory(store).versions()]


def test_is_a_source(tmp_path):
    assert isinstance(Directory(tmp_path), Source)


def test_newest_is_last_and_digits_compare_as_numbers(tmp_path):
    add(tmp_path, "10", "9", "2026-08-20", "1", "v2", "v10", "1.10", "1.9", "1.9-rc1")
    assert listed(tmp_path) == ["1", "1.9", "1.9-rc1", "1.10", "9", "10", "2026-08-20", "v2", "v10"]


@given(st.lists(NAMES, unique=True, max_size=8))
def test_the_order_is_total_and_stable(names):
    ordered = sorted(names, key=natural_key)
    backwards = ordered[::-1]
    backwards.sort(key=natural_key)
    assert backwards == ordered
    assert len({natural_key(name) for name in names}) == len(names)


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_plain_numbers_compare_as_numbers(one, other):
    assert (natural_key(str(one)) < natural_key(str(other))) == (one < other)


@given(st.text(alphabet=string.printable + "é٣\x00", max_size=70))
def test_no_accepted_name_can_leave_the_store(name):
    if valid_version(name):
        assert Path(name).name == name
        assert name not in {".", ".."}
        assert name.isascii()
        assert len(name) <= 64


@pytest.mark.parametrize("name", ["1\n", "", ".hidden", "-x", "a/b", "a\\b", "٣", "x" * 65, "..", "a b"])
def test_these_are_no_names(name):
    assert not valid_version(name)


def test_what_is_no_version_is_passed_over(tmp_path):
    add(tmp_path, "1", ".tmp-0123", "2 of 3")
    (tmp_path / "3").mkdir()  # a copy that has not got far
    (tmp_path / "4").write_text("a file")
    (tmp_path / "current").symlink_to(tmp_path / "1")
    assert listed(tmp_path) == ["1"]


def test_an_empty_store_has_no_versions(tmp_path):
    assert listed(tmp_path) == []


def test_fetch_returns_name_and_path(tmp_path):
    add(tmp_path, "1", "2")
    version = Directory(tmp_path).fetch("1")
    assert (version.name, version.path) == ("1", tmp_path / "1")


@pytest.mark.parametrize("name", ["3", "../1", ".", "1/"])
def test_fetching_an_unknown_version_lists_the_known(tmp_path, name):
    add(tmp_path, "1", "2")
    with pytest.raises(UnknownVersion, match="it has: 1, 2"):
        Directory(tmp_path).fetch(name)


def test_a_long_list_is_cut(tmp_path):
    add(tmp_path, *map(str, range(1, 31)))
    with pytest.raises(UnknownVersion, match=r"21, .*30 and 20 older"):
        Directory(tmp_path).fetch("x")


def test_one_bundle_is_one_pinned_version(tmp_path):
    add(tmp_path, "any-folder")
    (tmp_path / "any-folder" / "manifest.json").write_text('{"version": "2026-08-20"}')
    (tmp_path / "any-folder" / "1").mkdir()
    found = Directory(tmp_path / "any-folder").versions()
    assert [(v.name, v.path) for v in found] == [("2026-08-20", tmp_path / "any-folder")]
    assert Directory(tmp_path / "any-folder").fetch("2026-08-20").path == tmp_path / "any-folder"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 3}', '{"version": "../3"}', "[" * 100_000, "x" * (1 << 20) + "x", "\x00"],
)
def test_a_pinned_bundle_without_a_name_is_corrupt(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(Corrupt, match=r"manifest.json does not name a version"):
        Directory(tmp_path).versions()


def test_a_missing_path_says_how_to_make_one(tmp_path):
    with pytest.raises(BundleError, match=r"inprocml\.pack\("):
        Directory(tmp_path / "missing").versions()


def test_a_file_is_no_store(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="not a directory"):
        Directory(tmp_path / "file").versions()


def test_an_unreadable_store_says_so(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(BundleError, match="Permission denied"):
        Directory(tmp_path).versions()


def test_a_linked_store_is_followed(tmp_path):
    add(tmp_path / "real", "1")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert listed(tmp_path / "link") == ["1"]


def test_a_link_that_leads_nowhere_says_where_it_leads(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(BundleError, match=r"link is a symbolic link to .*gone', which is not there.*Mend"):
        Directory(tmp_path / "link").versions()


def test_a_link_to_itself_is_typed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "link")
    with pytest.raises(BundleError, match="mend the path"):
        Directory(tmp_path / "link").versions()


def test_a_path_through_a_file_is_typed(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match=r"not a directory.*mend the path"):
        Directory(tmp_path / "file" / "fraud").versions()


@pytest.fixture
def forbid(monkeypatch):
    """Refuse what touches a path, as the system would: tests may run as root, whom nothing is refused."""

    def forbidding(call, *forbidden):
        real = getattr(os, call)

        def refusing(path, *args, **kwargs):
            if isinstance(path, str | os.PathLike) and Path(path) in forbidden:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **kwargs)

        monkeypatch.setattr(os, call, refusing)

    return forbidding


def test_a_version_that_may_not_be_looked_into_is_not_passed_over(tmp_path, forbid):
    """Else an older one would be served, and nobody told."""
    add(tmp_path, "1", "2")
    forbid("lstat", tmp_path / "2" / "manifest.json")
    forbid("scandir", tmp_path / "2")
    forbid("listdir", tmp_path / "2")
    assert listed(tmp_path) == ["1", "2"]
    with pytest.raises(BundleError, match=r"2 cannot be listed \(Permission denied\).*right to read"):
        Bundle.open(Directory(tmp_path).fetch("2").path)


def test_a_version_whose_manifest_may_not_be_read_says_so(tmp_path, forbid):
    add(tmp_path, "1")
    forbid("open", tmp_path / "1" / "manifest.json")
    assert listed(tmp_path) == ["1"]
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read \(Permission denied\).*the right"):
        Bundle.open(tmp_path / "1")


def test_a_pinned_bundle_that_may_not_be_read_says_so(tmp_path, forbid):
    add(tmp_path, "1")
    forbid("open", tmp_path / "1" / "manifest.json")
    with pytest.raises(BundleError, match=r"manifest\.json cannot be read \(Permission denied\).*the right"):
        Directory(tmp_path / "1").versions()


def test_a_store_that_may_not_be_entered_says_so(tmp_path, forbid):
    add(tmp_path, "1")
    forbid("lstat", tmp_path / "manifest.json")
    with pytest.raises(BundleError, match=r"cannot be listed \(Permission denied\).*the right"):
        Directory(tmp_path).versions()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("gone")])
def test_a_pinned_manifest_that_is_no_file_is_refused_and_never_waited_for(tmp_path, make):
    make(tmp_path / "manifest.json")
    with pytest.raises(BundleError, match=r"manifest\.json .*(Copy the bundle again|pack)"):
        Directory(tmp_path).versions()


def test_single_files_are_versions_and_a_folder_of_the_name_comes_first(tmp_path):
    add(tmp_path, "1", "3")
    for name in ("1.inprocml", "2.inprocml", ".4.inprocml", "a b.inprocml", ".inprocml", "5.zip"):
        (tmp_path / name).write_bytes(b"an archive")
    (tmp_path / "6.inprocml").symlink_to(tmp_path / "2.inprocml")
    found = Directory(tmp_path).versions()
    assert [(version.name, version.path.name) for version in found] == [
        ("1", "1"),
        ("2", "2.inprocml"),
        ("3", "3"),
    ]


def test_one_single_file_is_one_pinned_version_called_as_it_is(tmp_path):
    (tmp_path / "late-3.inprocml").write_bytes(b"an archive")
    source = Directory(tmp_path / "late-3.inprocml")
    (version,) = source.versions()
    assert (version.name, version.path, version.own_name) == ("late-3", tmp_path / "late-3.inprocml", True)
    assert source.fetch("late-3") == version
    assert source.aliases() == {}


def replace_manifest(store):
    (store / "1" / "new").write_text(json.dumps({"version": "1"}))
    (store / "1" / "new").replace(store / "1" / "manifest.json")


@pytest.mark.parametrize(
    "change",
    [
        replace_manifest,
        lambda store: (store / "1" / "manifest.json").write_text('{"version": "1"}  '),
        lambda store: (store / "1" / "model.onnx").write_text("it arrives at last"),
        lambda store: (store / "1" / "card.md").unlink(),
        lambda store: (store / "2.inprocml").write_bytes(b"longer than before"),
    ],
)
def test_a_mark_changes_with_what_it_marks(tmp_path, change):
    add(tmp_path, "1")
    (tmp_path / "1" / "card.md").write_text("")
    (tmp_path / "2.inprocml").write_bytes(b"")
    before = [version.mark for version in Directory(tmp_path).versions()]
    assert [version.mark for version in Directory(tmp_path).versions()] == before
    change(tmp_path)
    assert sum(new.mark != old for new, old in zip(Directory(tmp_path).versions(), before, strict=True)) == 1


def test_a_listing_costs_two_stats_a_version(tmp_path, monkeypatch):
    add(tmp_path, *map(str, range(50)))
    asked = []
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path, **more: asked.append(path) or lstat(path, **more))
    assert len(Directory(tmp_path).versions()) == 50
    assert len(asked) <= 2 * 50 + 1
