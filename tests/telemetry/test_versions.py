"""What a host's OpenTelemetry SDK learns of versions refused, stale processes and candidates."""

from __future__ import annotations

import shutil
import threading

from tests.conftest import pack_small, wait_for
from tests.telemetry.points import points

from inprocml import Model, Rollout, Store
from inprocml.values import Readiness


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
