"""Processes that follow one alias: what one decides about a candidate, or a person does, holds for all.

Two models over one store stand for two processes: they share nothing but the store's history.
"""

from __future__ import annotations

import errno
import math
import os
import threading

import pytest
from tests.conftest import wait_for
from tests.model.test_candidates import on_trial

from inprocml import Model, Rollout, Store
from inprocml.backends import open_backend

RAMP = Rollout("2", ramp=(0.5, 1.0), hold=0.0, rows=5, latency=math.inf)


@pytest.fixture
def shared(store, add_version):
    """A store of versions 1 and 2 whose ``production`` is 1."""
    add_version()
    shared = Store(store)
    shared.promote("1")
    return shared


@pytest.fixture
def follow(shared):
    """A function that declares a model following ``production``, as one worker process does."""
    made = []

    def follow(**options):
        given = {"alias": "production", "poll_interval": 0.03, "rollout": {"2": 0.5}} | options
        made.append(Model(shared.path, **given))
        return made[-1]

    yield follow
    for model in made:
        model.close()


def finished(model, row):
    """Ask the model until its candidate has taken over, and the alias moved with it."""

    def asked():
        model.predict(row)
        return model.version == "2"

    wait_for(asked)
    wait_for(lambda: not model.rollout.candidates)


def polls(number=8):
    threading.Event().wait(0.03 * number)


class Failing:
    """A backend whose version 2 fails once ``broke_out``; counts what is loaded."""

    def __init__(self):
        self.broke_out, self.loads = False, []

    def __call__(self, bundle):
        self.loads.append(bundle.version)
        return _Failing(self, bundle.version, open_backend("onnx", bundle.model, threads=1))


class _Failing:
    name, device = "failing", "cpu"

    def __init__(self, sick, version, real):
        self.sick, self.version, self.real = sick, version, real

    def run(self, inputs):
        if self.version == "2" and self.sick.broke_out:
            raise RuntimeError("out of order")
        return self.real.run(inputs)

    def close(self):
        self.real.close()


def test_a_candidate_that_one_rolls_back_is_gone_from_all_and_from_those_that_start_later(
    shared, follow, row, caplog
):
    sick = Failing()
    one, other = on_trial(follow(backend=sick), row), on_trial(follow(), row)
    sick.broke_out = True
    for _ in range(40):
        assert one.predict(row).version == "1"
    wait_for(lambda: not one.rollout.candidates and not other.rollout.candidates)
    assert shared.history()[-1].trials["production"].share == 0.0
    assert "taken back by another process" in str(other.rollout)
    later = follow()
    later.predict(row)
    polls()
    assert not later.rollout.candidates
    assert "taken back" in caplog.text
    sick.broke_out = False
    shared.trial("2", 0.25, why="mended")
    wait_for(lambda: [model.rollout.candidates[:1] != () for model in (one, other, later)] == [True] * 3)
    assert {model.rollout.candidates[0].share for model in (one, other, later)} == {0.25}


def test_a_roll_back_that_cannot_be_entered_holds_here_and_does_not_come_again(
    follow, row, monkeypatch, caplog
):
    sick = Failing()
    model = on_trial(follow(backend=sick), row)

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    sick.broke_out = True
    for _ in range(40):
        model.predict(row)
    wait_for(lambda: not model.rollout.candidates)
    polls()
    assert [one.decision.action for one in model.rollout.decisions] == ["begin", "roll_back"]
    assert sick.loads == ["1", "2"]
    assert caplog.text.count("cannot be entered") == 1


def test_a_disk_that_was_full_once_is_written_to_when_it_is_mended(shared, follow, row, monkeypatch):
    sick = Failing()
    link = os.link

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    model = on_trial(follow(backend=sick), row)
    monkeypatch.setattr(os, "link", link)
    sick.broke_out = True
    for _ in range(40):
        model.predict(row)
    wait_for(lambda: not model.rollout.candidates)
    assert shared.history()[-1].trials["production"].share == 0.0


def test_a_ramp_that_is_through_moves_the_alias_once_and_loads_nothing_twice(shared, follow, row):
    counted = Failing()
    one, other = (on_trial(follow(rollout=RAMP, backend=counted), row) for _ in range(2))
    finished(one, row)
    wait_for(lambda: other.predict(row).version == "2" and not other.rollout.candidates)
    polls()
    assert shared.alias("production").name == "2"
    assert [entry.action for entry in shared.history()].count("move") == 2
    assert counted.loads == ["1", "2", "1", "2"]


def test_a_finished_candidate_that_a_person_rolls_back_stays_away(shared, follow, row):
    one, other = (on_trial(follow(rollout=RAMP), row) for _ in range(2))
    finished(one, row)  # and before it looks again at the alias that it moved, or the other at all
    assert shared.rollback(why="complaints").aliases["production"].version == "1"
    late = follow(rollout=RAMP)
    wait_for(lambda: {model.predict(row).version for model in (one, other, late)} == {"1"})
    for _ in range(20):
        polls(1)
        assert {model.predict(row).version for model in (one, other, late)} == {"1"}
    assert shared.alias("production").name == "1"
    assert not any(model.rollout.candidates for model in (one, other, late))


def test_a_finished_candidate_does_not_come_again_after_a_reload_of_the_old_version(store, add_version, row):
    add_version()
    with Model(store, version="1", poll_interval=0.02, rollout=RAMP) as model:
        on_trial(model, row)
        finished(model, row)
        assert model.reload("1") == "1"
        polls()
        assert not model.rollout.candidates
        assert {model.predict(row).version for _ in range(20)} == {"1"}


def test_a_bad_candidate_is_rolled_back_while_the_source_cannot_be_read(store, shared, follow, row):
    sick = Failing()
    model = on_trial(follow(backend=sick), row)
    away = store.with_name("away")
    store.rename(away)
    sick.broke_out = True
    for _ in range(40):
        assert model.predict(row).version == "1"
    wait_for(lambda: not model.rollout.candidates)
    away.rename(store)
    polls()
    assert not model.rollout.candidates


# --- two that decide opposite things at once -------------------------------------------------------------


@pytest.fixture
def board(shared):
    """What a process that has not looked since writes, and both versions as it has them."""
    from types import SimpleNamespace

    from inprocml.model.board import Board
    from inprocml.serving import Decision

    old, new = (
        SimpleNamespace(name="late", version=name, digest=shared.open(name).digest) for name in ("1", "2")
    )
    written = Board(shared._source, "production")

    def enter(action, share, *, known=0.5):
        return written.enter(new, old, Decision(action, share, "decided"), known=known)

    return enter


def test_a_finish_does_not_win_over_a_roll_back(shared, board):
    assert board("begin", 0.5, known=None) == 0.5
    assert board("roll_back", 0.0) == 0.0
    assert board("finish", 1.0) == 0.0
    assert board("advance", 0.9) == 0.0
    assert shared.alias("production").name == "1"


def test_a_roll_back_wins_over_a_finish_that_was_faster(shared, board):
    board("begin", 0.5, known=None)
    assert board("finish", 1.0) == 1.0
    assert shared.alias("production").name == "2"
    assert board("roll_back", 0.0) == 0.0
    assert shared.alias("production").name == "1"
    assert shared.history()[-1].trials["production"].share == 0.0


def test_a_finish_does_not_win_over_a_person_who_rolled_the_alias_back(shared, board):
    board("begin", 0.5, known=None)
    board("finish", 1.0)
    shared.rollback()
    assert board("finish", 1.0) == 0.0
    assert shared.alias("production").name == "1"


def test_a_trial_that_was_on_record_and_is_not_has_ended(shared, board):
    board("begin", 0.5, known=None)
    shared.remove("production")
    shared.promote("1")
    assert board("finish", 1.0) == 0.0
    assert shared.alias("production").name == "1"


def test_two_that_finish_move_the_alias_once(shared, board):
    board("begin", 0.5, known=None)
    assert board("finish", 1.0) == 1.0
    moves = len(shared.history())
    assert board("finish", 1.0) == 1.0
    assert len(shared.history()) == moves
