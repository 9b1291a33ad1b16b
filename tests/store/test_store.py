"""A store: which versions there are, what aliases mean and meant, who moved them."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from tests.bundle.kit import forge
from tests.store.kit import Ticks, files, put

import inprocml
from inprocml import Bundle, BundleError, Corrupt, PackError, Store, UnknownVersion, Untrusted
from inprocml.bundle import Policy, signing
from inprocml.sources import Directory

AUGUST = dt.datetime(2026, 8, 1, 12, tzinfo=dt.UTC).timestamp()


@pytest.fixture
def template(_packed):
    return _packed / "1"


@pytest.fixture
def path(tmp_path, template):
    """Four versions: 0.8, 0.9, 0.7 and no metric at all."""
    folder = tmp_path / "late"
    for auc in (0.8, 0.9, 0.7):
        put(folder, template, metrics={"auc": auc, "loss": 1 - auc})
    put(folder, template, metrics={})
    return folder


def names(versions):
    return [version.name for version in versions]


def test_it_is_a_top_level_name_and_reads_nothing_when_made(tmp_path):
    assert inprocml.Store is Store
    assert repr(Store(tmp_path / "missing")) == f"Store({str(tmp_path / 'missing')!r})"


def test_versions_come_newest_first(path):
    assert names(Store(path).versions()) == ["4", "3", "2", "1"]
    assert names(Store(path).versions(ascending=True)) == ["1", "2", "3", "4"]


def test_the_best_and_the_third_best(path):
    best = Store(path).versions(order_by="auc")
    assert names(best) == ["2", "1", "3", "4"]  # what lacks the metric is last
    assert (best[0].metrics["auc"], best[2].metrics["auc"]) == (0.9, 0.7)
    assert names(Store(path).versions(order_by="loss", ascending=True)) == ["2", "1", "3", "4"]


def test_versions_by_time_and_by_size(path, template):
    put(path, template, created="2020-01-01T00:00:00Z", metrics={str(i): 0.5 for i in range(100)})
    by_time = Store(path).versions(order_by="created")
    assert names(by_time)[-1] == "5"
    assert by_time[-1].created == dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    largest = Store(path).versions(order_by="size")[0]
    assert largest.name == "5"
    assert largest.size == sum(file.stat().st_size for file in (path / "5").iterdir())


def test_of_equals_the_newer_comes_first(path, template):
    put(path, template, metrics={"auc": 0.9})
    assert names(Store(path).versions(order_by="auc"))[:2] == ["5", "2"]


def test_a_metric_that_nobody_has_is_told(path):
    with pytest.raises(UnknownVersion, match=r"no version has a metric 'acu'.*auc, loss, created, size"):
        Store(path).versions(order_by="acu")


def test_a_broken_version_breaks_nothing_but_itself(path):
    manifest = path / "2" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-3])
    shutil.copytree(path / "1", path / "9")  # a copy under another name
    found = {version.name: version for version in Store(path).versions(order_by="auc")}
    assert list(found)[-1] == "2"
    assert "manifest.json" in found["2"].broken
    assert "calls it '1'" in found["9"].broken
    assert not found["1"].broken
    assert not any(version.broken for name, version in found.items() if name not in {"2", "9"})
    with pytest.raises(Corrupt):
        Store(path).open("2")


def test_an_empty_store_and_none(tmp_path):
    assert Store(tmp_path).versions(order_by="auc") == ()
    assert Store(tmp_path).history() == ()
    with pytest.raises(BundleError, match=r"inprocml\.pack"):
        Store(tmp_path / "missing").versions()


def test_one_bundle_is_no_store(path):
    with pytest.raises(BundleError, match=r"one bundle, not a store.*folder above"):
        Store(path / "1").versions()
    with pytest.raises(BundleError, match="one bundle, not a store"):
        Store(path / "1").promote("1")


def test_promote_and_what_it_leaves(path):
    store = Store(path, clock=Ticks(AUGUST))
    entry = store.promote("2", why="best on the test set", who="ann@ci")
    assert (entry.serial, entry.who, entry.why, entry.action) == (1, "ann@ci", "best on the test set", "move")
    meant = store.alias("production")
    assert (meant.name, meant.aliases, meant.broken) == ("2", ("production",), "")
    assert store.open("production").version == "2"
    store.promote("3", alias="staging")
    assert {v.name: v.aliases for v in store.versions() if v.aliases} == {
        "2": ("production",),
        "3": ("staging",),
    }
    assert {a: v.name for a, v in Directory(path).aliases().items()} == {"production": "2", "staging": "3"}
    assert [e.alias for e in store.history()] == ["production", "staging"]
    assert [e.alias for e in store.history("staging")] == ["staging"]


def test_to_promote_what_is_meant_already_is_no_move(path):
    store = Store(path)
    assert store.promote("1") is not None
    assert store.promote("1") is None
    assert len(store.history()) == 1


def test_who_defaults_to_user_at_host(path, monkeypatch):
    monkeypatch.setenv("LOGNAME", "ann")
    who = Store(path).promote("1").who
    assert who.startswith("ann@")
    assert len(who) > len("ann@")


def test_who_of_a_user_without_a_name(path, monkeypatch):
    def nameless():
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert Store(path).promote("1").who.startswith(f"uid-{os.getuid()}@")


@pytest.mark.parametrize("alias", ["", "7", "a b", "../x", "x" * 65, "_history", "2"])
def test_what_cannot_be_an_alias(path, alias):
    with pytest.raises(ValueError, match="alias"):
        Store(path).promote("1", alias=alias)
    assert Store(path).history() == ()


@pytest.mark.parametrize("text", [{"why": "x" * 4097}, {"who": "x" * 257}, {"who": ""}, {"why": "\ud800"}])
def test_texts_that_no_entry_can_hold(path, text):
    with pytest.raises(ValueError, match=r"who|why"):
        Store(path).promote("1", **text)
    assert Store(path).history() == ()


def test_an_alias_never_names_what_is_not_there_or_not_whole(path):
    model = path / "2" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(Corrupt, match=r"model\.onnx"):
        Store(path).promote("2")
    with pytest.raises(UnknownVersion, match="it has: 1, 2, 3, 4"):
        Store(path).promote("17")
    assert Store(path).history() == ()


def test_rollback_goes_back_and_further_back(path):
    store = Store(path)
    for version in ("1", "2", "3", "2"):
        store.promote(version)
    assert [store.rollback().target.version for _ in range(3)] == ["3", "2", "1"]
    with pytest.raises(UnknownVersion, match="meant nothing before"):
        store.rollback()
    assert store.alias("production").name == "1"
    store.promote("4")
    assert store.rollback(why="slow").target.version == "1"
    assert store.history()[-1].action == "rollback"


def test_rollback_brings_a_removed_alias_back(path):
    store = Store(path)
    store.promote("1")
    store.promote("2")
    store.remove("production", why="holiday")
    with pytest.raises(UnknownVersion, match="has no alias 'production'; it has: none yet"):
        store.alias("production")
    assert store.rollback().target.version == "2"
    assert store.rollback().target.version == "1"


def test_a_removal_in_between_is_no_way_back(path):
    store = Store(path)
    store.promote("1")
    store.remove("production")
    store.promote("2")
    assert store.rollback().target.version == "1"


def test_rollback_to_what_was_deleted_is_refused(path):
    store = Store(path)
    store.promote("1")
    store.promote("2")
    shutil.rmtree(path / "1")
    with pytest.raises(UnknownVersion, match=r"not in the store any more.*promote another"):
        store.rollback()
    assert store.alias("production").name == "2"


@pytest.mark.parametrize("move", ["rollback", "remove", "trial"])
def test_an_alias_that_was_never_set(path, move):
    store = Store(path)
    store.promote("1", alias="staging")
    calls = {
        "rollback": store.rollback,
        "remove": lambda: store.remove("production"),
        "trial": lambda: store.trial("2", 0.1),
    }
    with pytest.raises(UnknownVersion, match="has no alias 'production'; it has: staging"):
        calls[move]()


def test_a_trial_ends_when_its_version_is_promoted_or_the_alias_removed(path):
    store = Store(path)
    store.promote("1")
    store.promote("1", alias="staging")
    assert store.trial("2", 0.1, why="canary").trials["production"].share == 0.1
    store.trial("3", 0.5, alias="staging")
    assert store.alias("production").name == "1"
    assert set(store.promote("3").trials) == {"production", "staging"}  # another version: the trial goes on
    assert set(store.promote("2").trials) == {"staging"}
    assert set(store.remove("staging").trials) == set()
    with pytest.raises(ValueError, match="from 0 to 1"):
        store.trial("2", 1.5)


def test_what_an_alias_is_rolled_back_from_is_on_record_as_taken_back_until_it_is_promoted(path):
    store = Store(path)
    store.promote("1")
    store.promote("2")
    taken_back = store.rollback().trials["production"]
    assert (taken_back.version, taken_back.share) == ("2", 0.0)
    assert store.promote("2").trials == {}
    store.trial("3", 0.1)
    assert store.rollback().trials["production"].version == "3", "the trial under way goes on"
    assert len(store.history()) == 6, "and every link of the chain holds"


@pytest.mark.parametrize(
    ("when", "meant"),
    [
        ("2026-07-31", None),
        ("2026-08-01", "2"),  # the end of that day
        ("2026-08-02", "3"),
        (dt.date(2026, 8, 1), "2"),
        ("2026-08-01T00:30", "1"),  # without a zone: UTC
        ("2026-08-01T00:30:00Z", "1"),
        ("2026-08-01T00:30+02:00", None),
        ("2026-08-01T20:00-02:00", "2"),
        (dt.datetime(2026, 8, 1, 0, 30), "1"),  # noqa: DTZ001  (that is the point)
        (dt.datetime(2026, 8, 2, 1, tzinfo=dt.timezone(dt.timedelta(hours=5))), "2"),
        ("2030-01-01", "3"),
    ],
)
def test_what_an_alias_meant_then(path, when, meant):
    clock = Ticks(step=0)
    store = Store(path, clock=clock)
    for version, moment in (("1", "2026-08-01T00:00"), ("2", "2026-08-01T12:00"), ("3", "2026-08-02T00:00")):
        clock.now = dt.datetime.fromisoformat(moment + "+00:00").timestamp()
        store.promote(version)
    if meant is None:
        with pytest.raises(UnknownVersion, match=r"meant nothing at .*first set at 2026-08-01T00:00"):
            store.at(when)
    else:
        assert store.at(when).name == meant
        assert store.open(store.at(when)).version == meant


@pytest.mark.parametrize(("when", "error"), [("yesterday", ValueError), (3, TypeError), ("", ValueError)])
def test_no_moment(path, when, error):
    with pytest.raises(error, match="2026-08-01"):
        Store(path).at(when)


def test_what_was_production_is_told_though_it_is_deleted(path):
    store = Store(path, clock=Ticks(AUGUST))
    digest = store.open("1").digest
    store.promote("1")
    store.promote("2")
    shutil.rmtree(path / "1")
    then = store.at(dt.datetime.fromtimestamp(AUGUST + 1, dt.UTC))
    assert (then.name, then.digest) == ("1", digest)
    assert "not in the store any more" in then.broken
    with pytest.raises(UnknownVersion, match="not in the store any more"):
        store.open(then)


def test_time_goes_on_though_a_clock_goes_back(path):
    Store(path, clock=Ticks(AUGUST)).promote("1")
    Store(path, clock=Ticks(AUGUST - 3600)).promote("2")
    first, second = Store(path).history()
    assert first.when == second.when


def test_digests_name_versions(path):
    store = Store(path)
    digest = store.open("3").digest
    assert store.open(digest).version == "3"
    assert store.open(digest[:15]).version == "3"
    with pytest.raises(UnknownVersion, match="too short"):
        store.open("sha256:a")
    with pytest.raises(UnknownVersion, match="no version whose digest begins"):
        store.open("sha256:" + "0" * 64)
    with pytest.raises(TypeError, match="text or a StoredVersion"):
        store.open(3)


def test_a_beginning_that_several_digests_share_names_none(tmp_path, template):
    """Of 300 digests two share their first four letters with more than a chance of one in two: make sure."""
    seen: dict[str, str] = {}
    for number in range(20_000):
        made = files(template, "1", metrics={"n": float(number)})
        start = json.loads(made["manifest.json"])["digest"][:11]
        if start in seen:
            break
        seen[start] = str(number)
    twin = float(seen[start])
    # the name is in the digest too, so the twins have one name, and one lies where it should not
    put(tmp_path, template, "1", metrics={"n": float(number)})
    (tmp_path / "2").mkdir()
    for name, content in files(template, "1", metrics={"n": twin}).items():
        (tmp_path / "2" / name).write_bytes(content)
    with pytest.raises(UnknownVersion, match="several: 1, 2"):
        Store(tmp_path).open(start)


def test_a_version_replaced_under_its_alias_is_refused(path, template):
    """T11: deleted and put there again with other bytes, by hand, for publish would refuse."""
    store = Store(path)
    store.promote("4")
    light = store.alias("production")
    shutil.rmtree(path / "4")
    shutil.copytree(template, path / "4")
    forge(path / "4", lambda manifest: manifest.update(version="4", metrics={"auc": 1.0}))
    assert Bundle.open(path / "4").version == "4"  # a sound bundle, but not the one that was promoted
    assert store.versions()[0].aliases == ()
    assert "another bundle of that name" in store.alias("production").broken
    for meant in ("production", light):
        with pytest.raises(UnknownVersion, match="another bundle of that name"):
            store.open(meant)
    with pytest.raises(UnknownVersion, match="another bundle of that name"):
        store.promote(light, alias="staging")


def test_a_model_that_follows_the_alias_refuses_it_too(path, template):
    Store(path).promote("3")
    Store(path).promote("4")
    shutil.rmtree(path / "4")
    shutil.copytree(template, path / "4")
    forge(path / "4", lambda manifest: manifest.update(version="4"))
    model = inprocml.Model(path, alias="production", threads=1)
    try:
        assert model.version == "3"  # what it meant before: a start must serve something that was promoted
    finally:
        model.close()
    assert [version.name for version in Directory(path).earlier("production")] == ["3"]


def test_what_an_alias_meant_before_is_told_once_and_the_last_last(path):
    store = Store(path)
    for version in ("1", "2", "3", "1", "4", "3"):
        store.promote(version)
    assert [version.name for version in Directory(path).earlier("production")] == ["2", "1", "4"]
    store.rollback()
    assert [version.name for version in Directory(path).earlier("production")] == ["2", "3", "1"]
    assert Directory(path).earlier("staging") == ()


def test_single_files_are_versions_too(path):
    Bundle.open(path / "4").save(path / "4.inprocml")
    shutil.rmtree(path / "4")
    store = Store(path)
    newest = store.versions()[0]
    assert (newest.name, newest.size) == ("4", (path / "4.inprocml").stat().st_size)
    store.promote("4")
    assert store.open("production").path == path / "4.inprocml"
    with pytest.raises(PackError, match="already has '4'"):
        put(path, path / "1", "4")
    (path / "4.inprocml").write_bytes(b"PK")
    assert "4.inprocml" in store.versions()[0].broken


def test_a_policy_is_held_to_before_an_alias_moves(path):
    private, public = signing.new_key()
    store = Store(path, policy=Policy(require_signature=True, trusted_keys=(public,)))
    with pytest.raises(Untrusted, match="sign"):
        store.promote("2")
    assert store.history() == ()
    signing.sign(path / "2", private)
    store.promote("2")
    assert store.open("production").signed_by == (public,)
    signed = store.versions()[2]
    assert signed.size == sum(file.stat().st_size for file in (path / "2").iterdir())


def test_a_name_that_the_history_knows_is_never_given_again(path, template):
    store = Store(path)
    store.promote("4")
    shutil.rmtree(path / "4")
    with pytest.raises(PackError, match=r"its history ties '4' to another bundle.*choose another name"):
        put(path, template, "4")
    assert put(path, template) == "5"


def test_the_same_bytes_may_take_their_name_again(path, template):
    """A build that gives the same bytes, as with SOURCE_DATE_EPOCH, brings back what was deleted."""
    digest = Store(path).open("4").digest
    Store(path).promote("4")
    shutil.rmtree(path / "4")
    assert Store(path).alias("production").broken
    assert put(path, template, "4", metrics={}) == "4"
    assert Store(path).open("production").digest == digest


def test_a_version_deleted_that_no_alias_ever_meant_may_be_packed_again(path, template):
    shutil.rmtree(path / "4")
    assert put(path, template) == "4"


def test_a_version_cannot_be_called_as_an_alias(path, template):
    Store(path).promote("1")
    with pytest.raises(PackError, match="'production' is an alias"):
        put(path, template, "production")


def test_a_name_that_is_both_is_told(path, template):
    store = Store(path)
    store.promote("1")
    shutil.copytree(path / "1", path / "production")
    with pytest.raises(UnknownVersion, match="a version and an alias"):
        store.open("production")


def test_diff_says_what_differs(path, template):
    store = Store(path)
    other = json.loads((template / "manifest.json").read_bytes())["provenance"]
    other |= {"seed": 7, "commit": "a" * 40}
    other["packages"] = other["packages"] | {"numpy": "1.0", "<b>": "1"}
    put(path, template, metrics={"auc": 0.95, "recall": 0.5}, provenance=other)
    found = store.diff("2", "5")
    assert found.metrics == {"auc": (0.9, 0.95), "loss": (pytest.approx(0.1), None), "recall": (None, 0.5)}
    assert set(found.packages) == {"numpy", "<b>"}
    assert found.packages["numpy"][1] == "1.0"
    assert found.provenance["seed"] == (None, "7")
    assert set(found.provenance) == {"commit", "seed"}
    assert found.transform.rows == "same"
    assert found.same_output
    assert (found.old.name, found.new.name) == ("2", "5")
    assert "0.95" in repr(found)
    assert "&lt;b&gt;" in found._repr_html_()
    assert "<b>" not in found._repr_html_()


def test_a_recipe_can_be_given_to_a_shell(path):
    made = Store(path).open("1").manifest.provenance
    recipe = Store(path).recipe("1")
    assert f"numpy=={made.packages['numpy']}" in recipe
    assert made.dataset.digest in recipe
    assert made.commit is None or f"git checkout {made.commit}" in recipe


@pytest.mark.parametrize(
    "packages", [{"--index-url=http://x": "1"}, {"numpy": "1; rm -rf /"}, {"numpy": "1\nrm"}, {"a b": "1"}]
)
def test_a_recipe_holds_nothing_that_a_shell_or_pip_would_obey(path, template, packages):
    made = json.loads((template / "manifest.json").read_bytes())["provenance"] | {"packages": packages}
    put(path, template, provenance=made)
    with pytest.raises(Corrupt, match="no name or version that pip takes"):
        Store(path).recipe("5")


def test_free_text_in_a_recipe_stays_in_its_comment(path, template):
    made = json.loads((template / "manifest.json").read_bytes())["provenance"]
    put(path, template, provenance=made | {"platform": "x\nrm -rf /", "python": "3.11; rm -rf /"})
    assert not [line for line in Store(path).recipe("5").splitlines() if line.startswith("rm")]
    assert "; rm" not in Store(path).recipe("5")


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_hard_links_is_told(path, monkeypatch, code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(BundleError, match=r"no hard links.*POSIX"):
        Store(path).promote("1")
    monkeypatch.undo()
    assert Store(path).history() == ()
    assert list((path / "_history").iterdir()) == []


@pytest.mark.parametrize("step", ["open", "write", "fsync", "link"])
def test_a_full_disk_leaves_the_alias_as_it_was(path, monkeypatch, step):
    store = Store(path)
    store.promote("1")
    real = getattr(os, step)

    def fail(*arguments, **more):
        if step == "open" and not arguments[1] & os.O_CREAT:
            return real(*arguments, **more)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(BundleError, match=r"No space left on device.*it means what it meant"):
        store.promote("2")
    monkeypatch.undo()
    assert store.alias("production").name == "1"
    assert len(list((path / "_history").iterdir())) == 1


def test_a_link_whose_answer_was_lost_was_made(path, monkeypatch):
    """NFS: the first request made the link, and its repetition found it there."""
    real = os.link

    def twice(*arguments, **more):
        real(*arguments, **more)
        real(*arguments, **more)

    monkeypatch.setattr(os, "link", twice)
    Store(path).promote("1")
    assert [entry.serial for entry in Store(path).history()] == [1]


def test_what_killed_writers_left_is_swept_when_it_is_old(path):
    store = Store(path)
    store.promote("1")
    left = path / "_history" / ".tmp-0123456789abcdef"
    young = path / "_history" / ".tmp-fedcba9876543210"
    other = path / "_history" / ".tmp-mine"
    for file in (left, young, other):
        file.write_bytes(b"torn")
    for file in (left, other):
        os.utime(file, (0, 0))
    store.promote("2")
    assert not left.exists()
    assert young.exists()
    assert other.exists()


def test_so_is_what_killed_packers_left(path, template, tmp_path):
    left = path / ".tmp-0123456789abcdef"
    left.mkdir()
    (left / "model.onnx").write_bytes(b"torn")
    precious = tmp_path / "precious"
    precious.mkdir()
    link = path / ".tmp-00000000000000ff"
    link.symlink_to(precious)
    os.utime(left, (0, 0))
    os.utime(link, (0, 0), follow_symlinks=False)
    put(path, template)
    assert not left.exists()
    assert not link.is_symlink()
    assert Path(precious).is_dir()


# --- what is no store ------------------------------------------------------------------------------------

SECRET = "http://bob:hunter2@x/late?token=s3"


def test_a_url_is_no_store_and_no_bundle_and_its_password_is_not_repeated():
    with pytest.raises(ValueError, match=r"inprocml\.Model\(url\)") as store:
        Store(SECRET)
    with pytest.raises(BundleError, match=r"inprocml\.Model\(url\)") as bundle:
        Bundle.open(SECRET)
    with pytest.raises(BundleError, match=r"inprocml\.Model\(url\)") as signed:
        signing.verify(SECRET)
    told = str(store.value) + str(bundle.value) + str(signed.value)
    assert not any(part in told for part in ("bob", "hunter2", "s3", "token"))


@pytest.mark.parametrize("none", [None, 3, b"late"])
def test_what_is_no_path_says_what_to_give(none):
    with pytest.raises(TypeError, match="path of a store's folder"):
        Store(none)
    with pytest.raises(TypeError, match="path of a bundle's folder or file"):
        Bundle.open(none)


def test_a_file_of_another_kind_is_not_called_a_bundle(tmp_path):
    (tmp_path / "train.py").write_text("x = 1\n")
    with pytest.raises(BundleError, match="is a file, not a store") as raised:
        Store(tmp_path / "train.py").open("1")
    assert "one bundle" not in str(raised.value)


def test_a_misspelt_alias_is_told_the_aliases(path):
    store = Store(path)
    store.promote("1")
    store.promote("2", alias="staging")
    with pytest.raises(UnknownVersion, match=r"it has: 1, 2, 3, 4; aliases: production, staging\."):
        store.open("prodution")


def test_the_history_of_an_alias_that_never_was_is_no_empty_one(path):
    store = Store(path)
    with pytest.raises(UnknownVersion, match="no alias 'nope'; it has: none yet"):
        store.history("nope")
    store.promote("1")
    store.remove("production")
    assert [entry.action for entry in store.history("production")] == ["move", "remove"]
    with pytest.raises(UnknownVersion, match="no alias 'nope'; it has: production"):
        store.history("nope")


def test_what_an_alias_means_is_no_candidate_for_it(path):
    store = Store(path)
    store.promote("1")
    with pytest.raises(ValueError, match="production means version 1 already"):
        store.trial("1", 0.5)
    assert len(store.history()) == 1
    assert store.trial("1", 0.0).trials["production"].share == 0.0
