"""A model that follows an alias: there, back, and what happens when the alias means something broken."""

from __future__ import annotations

import shutil
import threading

import pytest
from tests.conftest import move_alias, pack_small, wait_for

import inprocml
from inprocml import Model, Rollout
from inprocml.values import Readiness


@pytest.fixture
def follow(store, add_version):
    """A function that declares a model following ``production``, which means version 1."""
    add_version()
    move_alias(store, "production", "1")
    made = []

    def follow(**options):
        model = Model(store, **{"alias": "production", "poll_interval": 0.03} | options)
        made.append(model)
        return model

    yield follow
    for model in made:
        model.close()


def test_an_alias_is_followed_there_and_back(store, follow, row):
    model = follow()
    assert model.predict(row).version == "1", "not the newest"
    move_alias(store, "production", "2")
    wait_for(lambda: model.predict(row).version == "2")
    move_alias(store, "production", "1")
    wait_for(lambda: model.predict(row).version == "1")


def test_other_aliases_and_new_versions_move_nobody(store, follow, row):
    model = follow()
    model.predict(row)
    pack_small(store, seed=3)
    move_alias(store, "staging", "2")
    threading.Event().wait(0.2)
    assert model.predict(row).version == "1"


def test_a_reload_holds_until_the_alias_moves(store, follow, row):
    model = follow()
    model.predict(row)
    assert model.reload("2") == "2"
    threading.Event().wait(0.2)
    assert model.predict(row).version == "2"
    move_alias(store, "staging", "1")
    threading.Event().wait(0.2)
    assert model.predict(row).version == "2"
    assert model.reload() == "1"
    move_alias(store, "production", "2")
    wait_for(lambda: model.predict(row).version == "2")


def test_an_alias_that_is_not_there_is_a_typed_error_and_is_awaited(store, row, add_version):
    model = Model(store, alias="production", poll_interval=0.03)
    with pytest.raises(inprocml.UnknownVersion, match=r"no alias 'production'.*promote"):
        model.predict(row)
    assert not model.ready
    move_alias(store, "production", "1")
    wait_for(lambda: model.ready is Readiness.READY)
    assert model.predict(row).version == "1"
    model.close()


def test_an_alias_that_means_something_broken_leaves_the_old_version_stale(store, follow, row, caplog):
    model = follow()
    model.predict(row)
    assert model.ready is Readiness.READY
    model_file = store / "2" / "model.onnx"
    whole = model_file.read_bytes()
    model_file.write_bytes(whole[:-1])
    move_alias(store, "production", "2")
    wait_for(lambda: model.ready is Readiness.STALE)
    assert "2" in model.failure
    assert model.predict(row).version == "1"
    threading.Event().wait(0.2)
    assert caplog.text.count("refused") == 1
    move_alias(store, "production", "1")
    wait_for(lambda: model.ready is Readiness.READY)
    assert model.failure is None
    model_file.write_bytes(whole)


def test_an_alias_means_bytes_and_not_a_name(store, follow, row):
    """Another version put under the name of one that was deleted is not what was promoted."""
    model = follow()
    model.predict(row)
    move_alias(store, "production", "2")
    wait_for(lambda: model.predict(row).version == "2")
    move_alias(store, "production", "1")
    wait_for(lambda: model.predict(row).version == "1")
    digest = inprocml.Bundle.open(store / "2").digest
    shutil.rmtree(store / "2")
    pack_small(store.parent / "elsewhere", seed=7, version="2")
    (store.parent / "elsewhere" / "2").rename(store / "2")
    move_alias(store, "production", "2", digest=digest)
    wait_for(lambda: model.ready is Readiness.STALE)
    assert model.predict(row).version == "1"


def test_a_source_that_cannot_be_read_leaves_the_version_stale(store, follow, row):
    model = follow()
    model.predict(row)
    away = store.with_name("away")
    store.rename(away)
    wait_for(lambda: model.ready is Readiness.STALE)
    assert "cannot be read" in model.failure
    assert model.predict(row).version == "1"
    away.rename(store)
    wait_for(lambda: model.ready is Readiness.READY)


def test_a_candidate_may_be_whatever_another_alias_means(store, follow, row):
    model = follow(rollout=Rollout(alias="staging", share=1.0))
    assert model.predict(row).version == "1"
    move_alias(store, "staging", "2")
    wait_for(lambda: model.predict(row).version == "2")
    assert [one.version for one in model.rollout.candidates] == ["2"]
    pack_small(store, seed=3)
    move_alias(store, "staging", "3")
    wait_for(lambda: model.predict(row).version == "3")
    assert [(d.version, d.decision.action) for d in model.rollout.decisions] == [
        ("2", "begin"),
        ("2", "withdraw"),
        ("3", "begin"),
    ]


def test_a_candidate_that_becomes_what_the_alias_means_is_taken_over_as_it_is(store, follow, row):
    loads = []

    def backend(bundle):
        from inprocml.backends import open_backend

        loads.append(bundle.version)
        return open_backend("onnx", bundle.model, threads=1)

    model = follow(rollout={"2": 0.5}, backend=backend)
    model.predict(row)
    wait_for(lambda: model.rollout.candidates)
    move_alias(store, "production", "2")
    wait_for(lambda: not model.rollout.candidates)
    assert {model.predict(row).version for _ in range(20)} == {"2"}
    assert loads == ["1", "2"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"alias": "production", "version": "1"}, "give one of them"),
        ({"alias": ""}, "alias must be a name"),
        ({"alias": "../production"}, "alias must be a name"),
        ({"alias": 5}, "alias must be text"),
        ({"pins": [5]}, "version must be text"),
        ({"pins": "12"}, "pins must be a list"),
        ({"pins": 12}, "pins must be a list"),
    ],
)
def test_impossible_arguments_are_refused_where_they_are_written(store, options, complaint):
    with pytest.raises((TypeError, ValueError), match=complaint):
        Model(store, **options)


def test_a_policy_is_held_by_every_door_to_a_version(store, row, add_version):
    from inprocml.bundle import Policy
    from inprocml.bundle.signing import new_key, sign

    private, public = new_key()
    sign(store / "1", private)
    add_version()
    policy = Policy(require_signature=True, trusted_keys=[public])
    model = Model(store, version="1", policy=policy, rollout={"2": 1.0}, pins=["2"], poll_interval=0.02)
    assert model.predict(row).version == "1"
    threading.Event().wait(0.2)
    assert not model.rollout.candidates
    with pytest.raises(inprocml.Untrusted, match="not signed"):
        model.predict(row, version="2")
    with pytest.raises(inprocml.Untrusted, match="not signed"):
        model.reload("2")
    assert model.predict(row).version == "1"
    model.close()
    with pytest.raises(TypeError, match="policy must be"):
        Model(store, policy={"require_signature": True})


def test_damage_to_the_past_of_an_alias_stops_no_process_from_starting(store, follow, row, caplog):
    """A trial lost every request after a restart to one old entry that was missing."""
    for version in ("2", "1", "2", "1"):
        move_alias(store, "production", version)
    (store / "_history" / "00000003.json").unlink()
    assert follow().predict(row).version == "1"
    assert "meant before cannot be read" in caplog.text
    (store / "_history" / "00000002.json").write_text("{")
    assert follow().predict(row).version == "1"


def test_a_process_that_starts_while_the_alias_means_something_broken_serves_what_it_meant_before(
    store, follow, row
):
    move_alias(store, "production", "2")
    (store / "2" / "model.onnx").write_bytes(b"")
    model = follow()
    assert model.predict(row).version == "1"
    assert model.ready is Readiness.STALE


def test_every_swap_is_told_in_the_log(store, follow, row, caplog):
    with caplog.at_level("INFO", logger="inprocml"):
        model = follow()
        model.predict(row)
        assert "version 1 serves now" in caplog.text
        move_alias(store, "production", "2")
        wait_for(lambda: model.predict(row).version == "2")
        assert "version 2 serves now (was 1)" in caplog.text


def test_why_a_candidate_is_not_there_is_told(store, follow, row):
    model = follow(rollout=[Rollout("2", 0.1), Rollout("7", 0.1), Rollout(alias="staging", share=0.1)])
    (store / "2" / "model.onnx").write_bytes(b"")
    model.predict(row)
    wait_for(lambda: len(model.rollout.absent) == 3)
    told = str(model.rollout)
    assert "candidate 2: refused (Corrupt)" in told
    assert "candidate 7: not there yet" in told
    assert "candidate alias staging: it means nothing yet" in told


def test_a_closed_model_is_not_loading(store, follow, row):
    model = follow()
    model.predict(row)
    model.close()
    assert model.ready is Readiness.FAILED
    assert model.failure == "closed"


def test_a_version_to_shift_is_text(store, follow, row):
    model = follow(rollout={"2": 0.0})
    model.predict(row)
    with pytest.raises(TypeError, match="version must be text"):
        model.shift(2, 0.1)
