"""What a host's OpenTelemetry SDK learns of versions refused, stale processes and candidates."""

from __future__ import annotations

import gc
import shutil
import threading

from tests.conftest import pack_small, wait_for
from tests.telemetry.points import gathered, points

from inprocml import Model, Monitoring, Rollout, Store
from inprocml.model.trials import Trials
from inprocml.values import Readiness

RECORDED = {
    "inprocml.prediction.duration",
    "inprocml.inference.duration",
    "inprocml.inference.batch.size",
    "inprocml.model.load.duration",
}


def test_a_refused_version_is_counted_once_and_the_process_is_stale(reader, store, row, add_broken_version):
    model = Model(store, name="refusing", poll_interval=0.02)
    model.predict(row)
    assert [p.value for p in points(reader, "inprocml.model.stale", "refusing")] == [0]
    add_broken_version()
    wait_for(lambda: model.ready is Readiness.STALE)
    threading.Event().wait(0.2)
    (refused,) = points(reader, "inprocml.model.refused", "refusing")
    assert refused.value == 1
    assert refused.attributes["error.type"] == "Corrupt"
    assert refused.attributes["inprocml.model.version"] == "2"
    assert [p.value for p in points(reader, "inprocml.model.stale", "refusing")] == [1]
    shutil.rmtree(store / "2")
    wait_for(lambda: model.ready is Readiness.READY)
    assert [p.value for p in points(reader, "inprocml.model.stale", "refusing")] == [0]
    model.close()


def test_decisions_about_candidates_are_counted_and_their_share_is_shown(reader, store, row, add_version):
    add_version()
    model = Model(store, name="trying", version="1", poll_interval=0.02, rollout={"2": 0.25})
    model.predict(row)
    wait_for(lambda: model.rollout.candidates)
    (share,) = points(reader, "inprocml.rollout.share", "trying")
    assert (share.value, share.attributes["inprocml.model.version"]) == (0.25, "2")
    model.shift("2", 0.5)
    assert [p.value for p in points(reader, "inprocml.rollout.share", "trying")] == [0.5]
    model.reload("2")
    assert points(reader, "inprocml.rollout.share", "trying") == []
    decisions = {
        p.attributes["inprocml.rollout.decision"]: p.value
        for p in points(reader, "inprocml.rollout.decisions", "trying")
    }
    assert decisions == {"begin": 1, "shift": 1, "finish": 1}
    model.close()
    assert points(reader, "inprocml.model.stale", "trying") == [], "a closed model is neither stale nor not"


def test_a_candidate_that_is_gone_has_no_share(reader, store, row, add_version):
    add_version()
    pack_small(store, seed=3)
    Store(store).promote("2", alias="staging")
    rollout = Rollout(alias="staging", share=0.25)
    model = Model(store, name="withdrawing", version="1", poll_interval=0.02, rollout=rollout)
    model.predict(row)

    def on_trial():
        return [candidate.version for candidate in model.rollout.candidates]

    wait_for(lambda: on_trial() == ["2"])
    Store(store).promote("3", alias="staging")
    wait_for(lambda: on_trial() == ["3"])
    (share,) = points(reader, "inprocml.rollout.share", "withdrawing")
    assert share.attributes["inprocml.model.version"] == "3"
    model.close()
    assert points(reader, "inprocml.rollout.share", "withdrawing") == []


def test_a_shadow_is_told_by_how_often_it_disagrees(reader, store, row, add_version):
    add_version()
    model = Model(store, name="shadowed", version="1", poll_interval=0.02, rollout=Rollout("2", shadow=1.0))
    model.predict(row)
    wait_for(lambda: model.rollout.candidates)
    wait_for(lambda: model.predict(row) and points(reader, "inprocml.shadow.disagreement.ratio", "shadowed"))
    (point,) = points(reader, "inprocml.shadow.disagreement.ratio", "shadowed")
    assert 0 <= point.value <= 1
    assert point.attributes["inprocml.model.version"] == "1"
    assert point.attributes["inprocml.shadow.version"] == "2"
    model.close()


def roles(reader, model):
    """What each loaded version is told to be."""
    return {
        point.attributes["inprocml.model.version"]: point.attributes["inprocml.rollout"]
        for point in points(reader, "inprocml.model.loaded", model)
    }


def test_what_a_version_is_changes_with_its_trial(reader, store, row, add_version):
    add_version()
    trial = Rollout("2", shadow=1.0)
    with Model(store, name="roles", version="1", poll_interval=0.02, rollout=trial) as model:
        model.predict(row)
        wait_for(lambda: model.rollout.candidates)
        assert roles(reader, "roles") == {"1": "live", "2": "shadow"}
        model.shift("2", 0.25)
        assert roles(reader, "roles") == {"1": "live", "2": "canary"}
        model.shift("2", 0.0)
        assert roles(reader, "roles") == {"1": "live", "2": "shadow"}
        model.reload("2")
        gc.collect()
        assert roles(reader, "roles") == {"2": "live"}


def test_a_candidate_on_stand_by_is_a_canary_without_a_share(reader, store, row, add_version):
    add_version()
    with Model(store, name="standby", version="1", poll_interval=0.02, rollout={"2": 0.0}) as model:
        model.predict(row)
        wait_for(lambda: model.rollout.candidates)
        assert roles(reader, "standby") == {"1": "live", "2": "canary"}


def test_a_candidate_is_never_told_to_be_live_before_it_is(reader, store, row, add_version, monkeypatch):
    """Not even once it is loaded: what is read between that and the trial shows the serving one alone."""
    add_version()
    seen = []
    shown = Trials._show

    def asked(self, *trial):
        seen.append(roles(reader, "early"))
        shown(self, *trial)

    monkeypatch.setattr(Trials, "_show", asked)
    with Model(store, name="early", version="1", poll_interval=0.02, rollout={"2": 0.5}) as model:
        model.predict(row)
        wait_for(lambda: model.rollout.candidates)
    assert seen == [{"1": "live"}]


def test_after_fifty_swaps_only_the_live_version_is_observed(
    reader, since_last, store, row, tmp_path, add_version
):
    """What was recorded of the other stays in an SDK's totals, and is not in what is new."""
    add_version()
    watched = Monitoring(folder=tmp_path / "counts")
    with Model(store, name="swapped", version="1", monitoring=watched) as model:
        model.predict(row)
        for number in range(50):
            assert model.reload("12"[number % 2]) == "12"[number % 2]
            model.predict(row)
        model.drift()
        gc.collect()
        gathered(since_last, "swapped")
        model.predict(row)
        told, lately = gathered(reader, "swapped"), gathered(since_last, "swapped")
    for name in ("model.loaded", "queue.usage", "queue.limit", "model.memory.usage", "feature.observations"):
        assert versions(told[f"inprocml.{name}"]) == {"2"}
    assert len(told["inprocml.model.loaded"]) == 1
    assert {name for name, own in told.items() if "1" in versions(own)} == RECORDED
    assert versions(lately["inprocml.prediction.duration"]) == {"2"}
    assert not any("1" in versions(own) for own in lately.values())


def versions(own):
    return {point.attributes.get("inprocml.model.version") for point in own}
