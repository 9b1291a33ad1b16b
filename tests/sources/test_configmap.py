"""A mounted ConfigMap: followed through its swaps, never mixed, and no other link with it."""

from __future__ import annotations

import json
import shutil
import threading

import pytest
from tests.conftest import wait_for

from inprocml import Bundle, Model
from inprocml.errors import BundleError
from inprocml.sources import Directory, real_folder
from inprocml.testing import check_source


class Kubelet:
    """Writes a mount as Kubernetes' AtomicWriter does: a folder for each state, one rename to show it."""

    def __init__(self, mount):
        self.mount, self.count = mount, 0
        mount.mkdir()

    def write(self, content, *, keep_old=False):
        """Show ``content``, a folder; each entry at its top gets a link through ``..data``."""
        self.count += 1
        fresh = self.mount / f"..2026_11_21_10_00_00.{self.count}"
        shutil.copytree(content, fresh)
        old = self.mount / "..data"
        gone = self.mount / old.readlink() if old.is_symlink() else None
        (self.mount / "..data_tmp").symlink_to(fresh.name)
        (self.mount / "..data_tmp").rename(old)
        for entry in fresh.iterdir():
            if not (self.mount / entry.name).is_symlink():
                (self.mount / entry.name).symlink_to(f"..data/{entry.name}")
        for entry in self.mount.iterdir():
            if entry.is_symlink() and entry.name != "..data" and not entry.exists():
                entry.unlink()
        if gone is not None and not keep_old:
            shutil.rmtree(gone)


@pytest.fixture
def kubelet(tmp_path):
    return Kubelet(tmp_path / "mount")


def test_a_mounted_store_is_a_source(kubelet, store, add_version):
    add_version()
    kubelet.write(store)
    source = Directory(kubelet.mount)
    check_source(source)
    assert [version.name for version in source.versions()] == ["1", "2"]
    assert Bundle.open(source.fetch("2").path).digest == Bundle.open(store / "2").digest


def test_a_mounted_bundle_is_one_pinned_version(kubelet, store):
    kubelet.write(store / "1")
    source = Directory(kubelet.mount)
    check_source(source)
    assert Bundle.open(source.fetch("1").path).version == "1"


def test_a_mounted_bundle_opens_by_its_path(kubelet, store):
    kubelet.write(store / "1")
    assert Bundle.open(kubelet.mount).version == "1"


def test_a_model_follows_a_mount(kubelet, store, add_version, row):
    kubelet.write(store)
    with Model(kubelet.mount, poll_interval=0.1) as model:
        assert model.predict(row).version == "1"
        add_version()
        kubelet.write(store)
        wait_for(lambda: model.predict(row).version == "2")


def test_a_reader_in_a_loop_sees_whole_states_alone(kubelet, store, add_version, tmp_path):
    """Version 1 in two states: what is listed and opened while they alternate is one or the other."""
    add_version()
    states = [tmp_path / "a", tmp_path / "b"]
    for state, name in zip(states, "12", strict=True):
        shutil.copytree(store / name, state / name)
        shutil.copytree(store / name, state / "both")
    digests = {Bundle.open(state / "both").digest for state in states}
    kubelet.write(states[0])
    done = threading.Event()

    def swap():
        for turn in range(60):
            kubelet.write(states[turn % 2])
        done.set()

    swapping = threading.Thread(target=swap)
    swapping.start()
    source, opened, listed = Directory(kubelet.mount), [], set()
    try:
        while not done.is_set():
            listed.add(tuple(version.name for version in source.versions()))
            try:
                opened.append(Bundle.open(source.fetch("both").path).digest)
            except BundleError:
                continue  # its folder was swapped away while it was read: the next look finds the other
    finally:
        swapping.join()
    assert listed <= {("1", "both"), ("2", "both")}
    assert set(opened) <= digests


def test_a_mount_without_a_version_is_an_empty_store(kubelet, tmp_path):
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "late.json").write_text("{}")
    kubelet.write(tmp_path / "content")
    assert Directory(kubelet.mount).versions() == ()


@pytest.mark.parametrize(
    "target", ["/etc", "../outside", "outside", "..", "..data", ".", "a/..b", "..gone", "..file"]
)
def test_no_other_link_is_followed(tmp_path, target):
    store = tmp_path / "store"
    for folder in (tmp_path / "outside" / "1", store / "outside" / "1"):
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"version": "1"}))
    (store / "..file").write_text("")
    (store / "..data").symlink_to(target)
    assert real_folder(store) == store
    assert Directory(store).versions() == ()


def test_a_link_to_a_link_is_not_followed(tmp_path):
    (tmp_path / "outside" / "1").mkdir(parents=True)
    (tmp_path / "outside" / "1" / "manifest.json").write_text(json.dumps({"version": "1"}))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "..real").symlink_to(tmp_path / "outside")
    (tmp_path / "store" / "..data").symlink_to("..real")
    assert real_folder(tmp_path / "store") == tmp_path / "store"


def test_a_plain_folder_is_itself(tmp_path):
    assert real_folder(tmp_path) == tmp_path
    assert real_folder(tmp_path / "missing") == tmp_path / "missing"
