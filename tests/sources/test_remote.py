"""Versions behind a URL: found, fetched once a host, kept within bounds, and secret where they must be."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import string
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundle.kit import forge
from tests.conftest import wait_for
from tests.sources.servers import web

import inprocml.sources.cache as cache_module
import inprocml.sources.files as files_module
from inprocml import Bundle
from inprocml.bundle import Policy
from inprocml.bundle import archive as bundle_archive
from inprocml.bundle import manifest as bundle_manifest
from inprocml.bundle.signing import new_key, sign
from inprocml.errors import BundleError, Corrupt, UnknownVersion, Unsupported, Untrusted
from inprocml.protocols import Source
from inprocml.sources import ARCHIVE, BUNDLE_FILES, SIGNATURE, Directory, Remote, open_source
from inprocml.sources.history import Entry, Target, entry_name
from inprocml.testing import check_source

SECRETS = ("hunter2", "tok3n")


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()


@pytest.fixture
def site(store):
    with web(store.parent) as server:
        yield server


def upload(files, folder, place):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files.pipe_file(f"{place}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def move(folder, *, serial=1, **aliases):
    digest = json.loads((folder / "1" / "manifest.json").read_bytes())["digest"]
    meant = {alias: Target(version=name, digest=digest) for alias, name in aliases.items()}
    entry = Entry(
        serial=serial,
        previous=None if serial == 1 else digest,
        when="2026-11-20T00:00:00.000000Z",
        who="me",
        why="",
        action="move",
        alias=next(iter(aliases)),
        aliases=meant,
        trials={},
    )
    (folder / "_history").mkdir(exist_ok=True)
    (folder / "_history" / entry_name(serial)).write_bytes(entry.to_json())


def kept(cache):
    return sorted(path.name for path in cache.glob("*/*") if path.is_dir() and not path.name.startswith("."))


def leftovers(cache):
    return list(cache.glob("*/.tmp-*"))


def test_the_names_of_a_bundle_are_one_set():
    from inprocml.bundle.manifest import file_set

    assert file_set("onnx") | file_set("torch") == BUNDLE_FILES
    assert (bundle_archive.ARCHIVE, bundle_manifest.SIGNATURE) == (ARCHIVE, SIGNATURE)


@pytest.mark.parametrize("place", ["s3://bucket/late", "https://host/late", "memory://late"])
def test_a_url_is_remote_and_nothing_is_read(place):
    source = open_source(place)
    assert isinstance(source, Remote)
    assert isinstance(source, Source)


def test_a_path_is_a_directory_where_it_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_source("models/late") == Directory(tmp_path / "models" / "late")
    assert open_source(Path("models/late")) == Directory(tmp_path / "models" / "late")


@pytest.mark.parametrize("url", ["", "models/late", "://x", "http://[x", "simplecache::s3://b/x"])
def test_what_is_no_url_is_refused_when_it_is_written(url):
    with pytest.raises(ValueError, match="not a URL"):
        Remote(url)


def test_keep_is_at_least_one():
    with pytest.raises(ValueError, match="keep"):
        Remote("memory://late", keep=0)


def test_objects_keep_the_protocol(memory, store, add_version, tmp_path):
    add_version("10")
    upload(memory, store, "/late")
    source = Remote("memory://late", cache=tmp_path / "cache")
    check_source(source)
    assert [version.name for version in source.versions()] == ["1", "10"]
    assert Bundle.open(source.fetch("1").path).version == "1"
    assert not leftovers(tmp_path / "cache")


def test_pages_of_links_keep_the_protocol(site, store, add_version, tmp_path):
    add_version("10")
    (store / "3").mkdir()  # a copy that has not got far
    source = Remote(f"{site.url}/fraud", cache=tmp_path / "cache")
    check_source(source)
    assert [version.name for version in source.versions()] == ["1", "10"]
    assert Bundle.open(source.fetch("1").path).version == "1"


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_url_of_one_bundle_is_one_pinned_version(memory, site, store, tmp_path, slash):
    upload(memory, store, "/late")
    for url in ("memory://late/1", f"{site.url}/fraud/1"):
        source = Remote(url + slash, cache=tmp_path / "cache")
        check_source(source)
        assert [version.name for version in source.versions()] == ["1"]
        assert Bundle.open(source.fetch("1").path).version == "1"


def test_single_files_are_versions_too(memory, site, store, tmp_path):
    (store / "2.inprocml").write_bytes(b"an archive")
    (store / "1.inprocml").write_bytes(b"hidden behind the folder of its name")
    upload(memory, store, "/late")
    for url in ("memory://late", f"{site.url}/fraud"):
        source = Remote(url, cache=tmp_path / "cache")
        check_source(source)
        assert [version.name for version in source.versions()] == ["1", "2"]
        assert source.fetch("2").path.read_bytes() == b"an archive"
        assert source.fetch("2").path.name == "bundle.inprocml"
        assert source.fetch("1").path.is_dir()


def test_a_url_of_one_single_file_is_pinned_and_called_as_it_is(memory, site, store, tmp_path):
    (store / "late-3.inprocml").write_bytes(b"an archive")
    upload(memory, store, "/late")
    for url in ("memory://late/late-3.inprocml", f"{site.url}/fraud/late-3.inprocml"):
        source = Remote(url, cache=tmp_path / "cache")
        check_source(source)
        (version,) = source.versions()
        assert (version.name, version.own_name) == ("late-3", True)
        assert source.fetch("late-3").path.read_bytes() == b"an archive"
        assert source.aliases() == {}


def test_aliases_follow_the_last_entry(memory, site, store, tmp_path):
    upload(memory, store, "/late")
    sources = [Remote(url, cache=tmp_path / "cache") for url in ("memory://late", f"{site.url}/fraud")]
    assert [source.aliases() for source in sources] == [{}, {}]
    move(store, production="1")
    upload(memory, store, "/late")
    digest = Bundle.open(store / "1").digest
    for source in sources:
        assert source.aliases()["production"].name == "1"
        assert source.aliases()["production"].digest == digest
    move(store, serial=2, staging="1")
    upload(memory, store, "/late")
    assert [list(source.aliases()) for source in sources] == [["staging"], ["staging"]]


def test_another_bundle_under_the_name_has_another_mark_and_is_fetched(
    memory, site, store, add_version, tmp_path, monkeypatch
):
    monkeypatch.setattr("inprocml.sources.remote.MANIFEST_SECONDS", 0.0)
    upload(memory, store, "/late")
    sources = [Remote(url, cache=tmp_path / "cache") for url in ("memory://late", f"{site.url}/fraud")]
    before = [(source.versions()[0].mark, Bundle.open(source.fetch("1").path).digest) for source in sources]
    shutil.rmtree(store / "1")
    add_version("1")
    upload(memory, store, "/late")
    after = [(source.versions()[0].mark, Bundle.open(source.fetch("1").path).digest) for source in sources]
    for old, new in zip(before, after, strict=True):
        assert old[0] != new[0]
        assert old[1] != new[1]


def test_an_unknown_version_lists_the_known(memory, store, tmp_path):
    upload(memory, store, "/late")
    with pytest.raises(UnknownVersion, match="memory://late has no version '../1'; it has: 1"):
        Remote("memory://late", cache=tmp_path).fetch("../1")


@pytest.mark.parametrize("url", ["memory://nothing", "{site}/nothing"])
def test_where_there_is_nothing_it_says_so(memory, site, tmp_path, url):
    with pytest.raises(BundleError, match="nothing has no version. Copy a store"):
        Remote(url.format(site=site.url), cache=tmp_path).versions()


def test_an_unknown_protocol_says_so(tmp_path):
    with pytest.raises(BundleError, match="no 'nonsense' URLs"):
        Remote("nonsense://x/y", cache=tmp_path).versions()


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(BundleError, match="pip install gcsfs"):
        Remote("gs://bucket/late", cache=tmp_path).versions()
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(BundleError, match=r"pip install 'inprocml\[remote\]'"):
        Remote("s3://bucket/late", cache=tmp_path).versions()


def test_each_file_comes_once_and_then_never_again(site, store, tmp_path):
    source = Remote(f"{site.url}/fraud", cache=tmp_path / "cache")
    path = source.fetch("1").path
    assert site.asked["/fraud/1/model.onnx"] == 1
    again = Remote(f"{site.url}/fraud", cache=tmp_path / "cache")
    assert again.fetch("1").path == path
    assert site.asked["/fraud/1/model.onnx"] == 1


FETCH = """
import sys
from inprocml import Bundle
from inprocml.sources import Remote
path = Remote(sys.argv[1], cache=sys.argv[2]).fetch("1").path
print(Bundle.open(path).version)
"""


def test_many_processes_download_once(site, tmp_path):
    command = [sys.executable, "-c", FETCH, f"{site.url}/fraud", str(tmp_path / "cache")]
    crowd = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(6)]
    told = [member.communicate(timeout=50) for member in crowd]
    assert [out.strip() for out, _ in told] == [b"1"] * 6, told
    assert site.asked["/fraud/1/model.onnx"] == 1
    assert len(kept(tmp_path / "cache")) == 1


def test_many_threads_download_once(site, tmp_path):
    source = Remote(f"{site.url}/fraud", cache=tmp_path / "cache")
    paths = []
    crowd = [threading.Thread(target=lambda: paths.append(source.fetch("1").path)) for _ in range(8)]
    for member in crowd:
        member.start()
    for member in crowd:
        member.join()
    assert len(set(paths)) == 1
    assert site.asked["/fraud/1/model.onnx"] == 1


HANG = """
import sys
from inprocml.sources import Remote, cache, download
copied = download._copied
def hang(opened, name, path, size, where):
    digest = copied(opened, name, path, size, where)
    print(name, flush=True)
    sys.stdin.read()
    return digest
download._copied = hang
Remote(sys.argv[1], cache=sys.argv[2]).fetch("1")
"""


def test_a_download_that_was_killed_leaves_nothing_in_the_way(site, tmp_path):
    command = [sys.executable, "-c", HANG, f"{site.url}/fraud", str(tmp_path / "cache")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        assert victim.stdout.readline()
        assert leftovers(tmp_path / "cache")
        victim.send_signal(signal.SIGKILL)
    source = Remote(f"{site.url}/fraud", cache=tmp_path / "cache")
    assert Bundle.open(source.fetch("1").path).version == "1"
    assert not leftovers(tmp_path / "cache")
    assert len(kept(tmp_path / "cache")) == 1


def test_a_child_of_a_fork_has_connections_of_its_own(site, tmp_path):
    source = Remote(f"{site.url}/fraud", cache=tmp_path / "cache")
    source.fetch("1")
    script = (
        "import os, sys\n"
        "from inprocml.sources import Remote\n"
        "source = Remote(sys.argv[1], cache=sys.argv[2])\n"
        "source.fetch('1')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(0 if [v.name for v in source.versions()] == ['1'] else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    command = [sys.executable, "-c", script, f"{site.url}/fraud", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert done.stdout.strip() == "0", done.stderr


def test_the_cache_is_bounded_by_last_use(memory, store, add_version, tmp_path):
    for name in ("2", "3", "4"):
        add_version(name)
    for name in ("2", "3", "4"):
        forge(store / name, lambda manifest, name=name: manifest.update(version=name))
    upload(memory, store, "/late")
    source = Remote("memory://late", cache=tmp_path / "cache", keep=2)
    paths = {}
    for age, name in enumerate("1234"):
        paths[name] = source.fetch(name).path
        os.utime(paths[name].parent, (age, age))
    assert [name for name in "1234" if paths[name].exists()] == ["3", "4"]
    source.fetch("3")  # used again: now 4 is the older one
    source.fetch("1")
    assert [name for name in "1234" if paths[name].exists()] == ["1", "3"]


def damage_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        damage_bit,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.unlink(),
        lambda path: (path.parent / "more").write_text(""),
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
        lambda path: (path.parent.parent / "stamp.json").write_text("["),
        lambda path: (path.parent.parent / "stamp.json").unlink(),
    ],
)
def test_what_was_harmed_in_the_cache_is_fetched_again(memory, store, tmp_path, harm):
    upload(memory, store, "/late")
    source = Remote("memory://late", cache=tmp_path / "cache")
    harm(source.fetch("1").path / "model.onnx")
    assert Bundle.open(source.fetch("1").path).version == "1"


def test_a_file_cut_short_on_the_way_is_refused_and_then_fetched_again(site, tmp_path):
    source = Remote(f"{site.url}/fraud", cache=tmp_path / "cache")
    for site.cut in ("model.onnx", "manifest.json"):
        with pytest.raises(BundleError, match=r"127.0.0.1:\d+/fraud"):
            source.fetch("1")
        assert not kept(tmp_path / "cache")
        assert not leftovers(tmp_path / "cache")
    site.cut = ""
    assert Bundle.open(source.fetch("1").path).version == "1"


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda m: m["files"].update({"../../evil": {"sha256": "0" * 64, "size": 1}}), "no bundle has"),
        (lambda m: m["files"].update({"/etc/passwd": {"sha256": "0" * 64, "size": 1}}), "no bundle has"),
        (lambda m: m["files"]["card.md"].update(size=1 << 40), "no length of at most"),
        (lambda m: m["files"]["card.md"].update(size=-1), "no length of at most"),
        (lambda m: m["files"]["card.md"].update(size=True), "no length of at most"),
        (lambda m: m["files"]["card.md"].update(size=3), "more than the 3 bytes"),
        (lambda m: m["files"]["card.md"].update(sha256=7), "no length"),
        (lambda m: m["files"].update({"card.md": []}), "no length"),
        (lambda m: m["files"]["card.md"].update(sha256="0" * 64), "do not match"),
        (lambda m: m.update(files=[]), "does not match what it says"),
        (lambda m: m["files"].update({"weights.safetensors": {"sha256": "0" * 64, "size": 9}}), "missing"),
    ],
)  # fmt: skip
def test_a_hostile_manifest_writes_nothing_but_what_a_bundle_has(memory, store, tmp_path, edit, told):
    forge(store / "1", edit)
    upload(memory, store, "/late")
    source = Remote("memory://late", cache=tmp_path / "cache")
    with pytest.raises(Corrupt, match=told):
        source.fetch("1")
    assert not kept(tmp_path / "cache")
    assert not leftovers(tmp_path / "cache")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b"x" * ((1 << 20) + 1)])
def test_a_manifest_that_is_none_is_corrupt(memory, store, tmp_path, content):
    (store / "1" / "manifest.json").write_bytes(content)
    upload(memory, store, "/late")
    with pytest.raises(Corrupt, match="memory://late/1"):
        Remote("memory://late", cache=tmp_path).fetch("1")


def test_a_signature_comes_along_though_it_was_made_later(memory, site, store, tmp_path, monkeypatch):
    monkeypatch.setattr("inprocml.sources.remote.MANIFEST_SECONDS", 0.0)
    private, public = new_key()
    required = Policy(require_signature=True, trusted_keys=[public])
    upload(memory, store, "/late")
    sources = [Remote(url, cache=tmp_path / "cache") for url in ("memory://late", f"{site.url}/fraud")]
    for source in sources:
        with pytest.raises(Untrusted, match="not signed"):
            Bundle.open(source.fetch("1").path, policy=required)
    sign(store / "1", private)
    upload(memory, store, "/late")
    for source in sources:
        source.versions()
        assert Bundle.open(source.fetch("1").path, policy=required).version == "1"


def test_a_bundle_in_a_single_file_arrives_whole(memory, site, store, tmp_path):
    bundle = Bundle.open(store / "1")
    shutil.move(store / "1", tmp_path / "1")
    Bundle.open(tmp_path / "1").save(store / "1.inprocml")
    upload(memory, store, "/late")
    sources = [Remote(url, cache=tmp_path / "cache") for url in ("memory://late", f"{site.url}/fraud")]
    for source in (*sources, Directory(store)):
        assert Bundle.open(source.fetch("1").path, version="1").digest == bundle.digest


def test_a_full_disk_says_so_and_leaves_nothing(memory, store, tmp_path, monkeypatch):
    upload(memory, store, "/late")
    source = Remote("memory://late", cache=tmp_path / "cache")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
        with pytest.raises(BundleError, match=r"No space left on device\)\. Make room"):
            source.fetch("1")
    with monkeypatch.context() as fuller:
        fuller.setattr(
            Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(BundleError, match=r"No space left on device\)\. Make room"):
            source.fetch("1")
    assert not kept(tmp_path / "cache")
    assert not leftovers(tmp_path / "cache")
    source.fetch("1")


def test_a_cache_that_cannot_be_written_serves_what_it_has(memory, store, add_version, tmp_path, monkeypatch):
    upload(memory, store, "/late")
    source = Remote("memory://late", cache=tmp_path / "cache")
    path = source.fetch("1").path
    add_version()
    upload(memory, store, "/late")

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert source.fetch("1").path == path
    with pytest.raises(BundleError, match=r"Read-only file system.*cache="):
        source.fetch("2")


def test_the_cache_is_where_caches_are(memory, store, tmp_path, monkeypatch):
    upload(memory, store, "/late")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Remote("memory://late").fetch("1").path.is_relative_to(tmp_path / "xdg" / "inprocml")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Remote("memory://late").fetch("1").path.is_relative_to(tmp_path / "home" / ".cache" / "inprocml")


def test_a_server_that_went_away_is_a_typed_error_without_secrets(store, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with web(store.parent) as server:
        server.query = "tok3n"
        address = server.url.removeprefix("http://")
        source = Remote(f"http://{address}/fraud?key=tok3n", cache=tmp_path / "cache")
        source.fetch("1")
        server.query = "another"
        with pytest.raises(BundleError, match="HTTP status 403") as refused:
            source.versions()
    with pytest.raises(BundleError, match=rf"http://{address}/fraud cannot be read") as gone:
        source.versions()
    for error in (refused.value, gone.value):
        assert error.__cause__ is None
        assert error.__context__ is None
        assert not any(secret in str(error) + repr(source) + caplog.text for secret in SECRETS)


def test_user_and_password_are_used_and_never_shown(store, tmp_path):
    with web(store.parent) as server:
        server.password = "bWU6aHVudGVyMg=="  # me:hunter2
        source = Remote(server.url.replace("//", "//me:hunter2@") + "/fraud", cache=tmp_path / "cache")
        assert Bundle.open(source.fetch("1").path).version == "1"
        server.password = "changed"
        with pytest.raises(BundleError, match="401") as refused:
            source.versions()
    assert "hunter2" not in str(refused.value) + repr(source)
    assert "hunter2" not in "".join(str(path) for path in (tmp_path / "cache").rglob("*"))


def test_a_server_that_does_not_answer_is_given_up(site, tmp_path, monkeypatch):
    monkeypatch.setattr(files_module, "_READ_SECONDS", 0.2)
    source = Remote(f"{site.url}/fraud", cache=tmp_path / "cache")
    site.silent.set()
    with pytest.raises(BundleError, match="cannot be read"):
        source.versions()
    site.silent.clear()
    assert [version.name for version in source.versions()] == ["1"]


def test_one_who_holds_the_lock_too_long_is_named(memory, store, tmp_path, monkeypatch):
    from filelock import FileLock

    upload(memory, store, "/late")
    source = Remote("memory://late", cache=tmp_path / "cache")
    folder = source.versions()[0].path.parent.parent
    folder.mkdir(parents=True)
    monkeypatch.setattr(cache_module, "_PATIENCE_SECONDS", 0.1)
    with FileLock(folder / "lock"), pytest.raises(BundleError, match="another process has been downloading"):
        source.fetch("1")


def test_a_history_of_a_newer_format_is_unsupported(memory, store, tmp_path):
    move(store, production="1")
    path = store / "_history" / "00000001.json"
    path.write_bytes(path.read_bytes().replace(b'"format_version": 1', b'"format_version": 2'))
    upload(memory, store, "/late")
    with pytest.raises(Unsupported, match="memory://late/_history"):
        Remote("memory://late", cache=tmp_path).aliases()


def test_a_model_follows_a_url(site, store, add_version, row, tmp_path):
    from inprocml import Model

    source = Remote(f"{site.url}/fraud", cache=tmp_path / "cache")
    with Model(source, poll_interval=0.05) as model:
        assert model.predict(row).version == "1"
        add_version()
        wait_for(lambda: model.predict(row).version == "2")
        site.query = "nobody knows"
        assert model.predict(row).version == "2"


def test_a_model_takes_a_url_as_it_takes_a_path(site, store, row, tmp_path, monkeypatch):
    from inprocml import Model

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    move(store, production="1")
    with Model(f"{site.url}/fraud", alias="production", poll_interval=0.05) as model:
        assert model.predict(row).version == "1"
        assert model.name == "fraud"
    site.query = "nobody knows"
    with Model(f"{site.url}/fraud?nobody", poll_interval=0.05) as model, pytest.raises(BundleError) as caught:
        model.predict(row)
    assert "nobody" not in str(caught.value)
    assert "nobody" not in repr(model)


def test_what_comes_too_slowly_is_given_up(memory, store, tmp_path, monkeypatch):
    upload(memory, store, "/late")
    monkeypatch.setattr("inprocml.sources.download._BEGIN_SECONDS", -1e9)
    with pytest.raises(BundleError, match="too slowly"):
        Remote("memory://late", cache=tmp_path / "cache").fetch("1")
    assert not kept(tmp_path / "cache")


def test_what_was_deleted_since_it_was_listed_is_missing(memory, store, tmp_path):
    (store / "2.inprocml").write_bytes(b"an archive")
    upload(memory, store, "/late")
    source = Remote("memory://late", cache=tmp_path / "cache")
    for name in ("1", "2"):
        source.versions()
        memory.store.clear()
        with pytest.raises(Corrupt, match=f"late/{name}.* is missing"):
            source.fetch(name)
        upload(memory, store, "/late")


WORDS = st.text(alphabet=string.ascii_letters + string.digits + "%._~-", min_size=6, max_size=12)


@given(user=WORDS, password=WORDS, query=WORDS)
def test_no_secret_of_a_url_is_ever_shown(user, password, query):
    # upper case cannot be part of what remains of the URL
    secrets = [f"U{user}U", f"P{password}P", f"Q{query}Q"]
    url = "https://{}:{}@host:99/models/late?token={}#{}".format(*secrets, secrets[-1])
    told = repr(Remote(url)) + repr(Remote(url, key=secrets[0]))
    assert told == "Remote('https://host:99/models/late')" * 2
