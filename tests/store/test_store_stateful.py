"""Whatever order things are done in, a store means what a list and two dicts would mean."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.store.kit import Ticks, put

from inprocml import Store, UnknownVersion

ALIASES = st.sampled_from(["production", "staging"])
START = 1_780_000_000.0


class Stores(RuleBasedStateMachine):
    """``undo`` holds, by alias, the meanings that roll-backs go through; ``states`` all that ever was."""

    template: ClassVar[Path]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Ticks(START, step=0)
        self.store = Store(self.folder, clock=self.clock)
        self.metrics: dict[str, float] = {}
        self.deleted: set[str] = set()
        self.undo: dict[str, list[str | None]] = {"production": [None], "staging": [None]}
        self.now: dict[str, str] = {}
        self.states: list[tuple[float, dict[str, str]]] = []
        self.ever: set[str] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def moved(self, alias: str, meant: str | None) -> None:
        if meant is None:
            self.now.pop(alias)
        else:
            self.now[alias] = meant
            self.ever.add(meant)
        self.states.append((self.clock.now, dict(self.now)))

    def pick(self, number: int) -> str:
        return sorted(self.metrics, key=int)[number % len(self.metrics)]

    @rule(auc=st.sampled_from([0.1, 0.5, 0.9]))
    def publish(self, auc: float) -> None:
        numbers = [int(name) for name in self.metrics if name not in self.deleted or name in self.ever]
        expected = str(max(numbers, default=0) + 1)
        assert put(self.folder, self.template, metrics={"auc": auc}) == expected
        self.metrics[expected] = auc
        self.deleted.discard(expected)

    @precondition(lambda self: self.metrics)
    @rule(number=st.integers(0, 20), alias=ALIASES)
    def promote(self, number: int, alias: str) -> None:
        version = self.pick(number)
        if version in self.deleted:
            with pytest.raises(UnknownVersion):
                self.store.promote(version, alias=alias)
        elif self.now.get(alias) == version:
            assert self.store.promote(version, alias=alias) is None
        else:
            assert self.store.promote(version, alias=alias) is not None
            self.undo[alias].append(version)
            self.moved(alias, version)

    @rule(alias=ALIASES)
    def rollback(self, alias: str) -> None:
        back = self.undo[alias][:-1]
        while back and back[-1] is None:
            back.pop()
        if not back or back[-1] in self.deleted:
            with pytest.raises(UnknownVersion):
                self.store.rollback(alias=alias)
            return
        self.store.rollback(alias=alias)
        self.undo[alias] = back
        self.moved(alias, back[-1])

    @rule(alias=ALIASES)
    def remove(self, alias: str) -> None:
        if alias not in self.now:
            with pytest.raises(UnknownVersion):
                self.store.remove(alias)
            return
        self.store.remove(alias)
        self.undo[alias].append(None)
        self.moved(alias, None)

    @precondition(lambda self: len(self.metrics) > len(self.deleted))
    @rule(number=st.integers(0, 20))
    def delete(self, number: int) -> None:
        version = self.pick(number)
        if version not in self.deleted:
            shutil.rmtree(self.folder / version)
            self.deleted.add(version)

    @rule(seconds=st.sampled_from([1.0, 3600.0, 86_400.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(back=st.floats(0, 300_000), alias=ALIASES)
    def at(self, back: float, alias: str) -> None:
        asked = dt.datetime.fromtimestamp(self.clock.now - back, dt.UTC)
        moment = asked.timestamp()  # whole microseconds: a shorter time back is no time at all
        before: list[dict[str, str]] = [state for when, state in self.states if when <= moment]
        meant = before[-1].get(alias) if before else None
        if meant is None:
            with pytest.raises(UnknownVersion):
                self.store.at(asked, alias=alias)
        else:
            found = self.store.at(asked, alias=alias)
            assert found.name == meant
            assert bool(found.broken) == (meant in self.deleted)

    @invariant()
    def means_what_it_should(self) -> None:
        if not hasattr(self, "store"):
            return
        found: dict[str, Any] = {version.name: version for version in self.store.versions()}
        assert set(found) == set(self.metrics) - self.deleted
        assert len(self.store.history()) == len(self.states)
        for alias, meant in self.now.items():
            assert self.store.alias(alias).name == meant
            assert bool(self.store.alias(alias).broken) == (meant in self.deleted)
            assert meant in self.deleted or alias in found[meant].aliases
        best = self.store.versions(order_by="auc")
        assert [version.metrics["auc"] for version in best] == sorted(
            (self.metrics[name] for name in found), reverse=True
        )


def test_a_store_means_what_its_model_means(_packed):
    Stores.template = _packed / "1"
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Stores, settings=settings(max_examples=25, stateful_step_count=20, deadline=None)
    )
