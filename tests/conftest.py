"""What the whole suite shares: a small real model, packed once, copied where a test changes it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")


def make_rows(count: int = 400, seed: int = 0) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Rows with a number and a category, and a label that depends on both."""
    random = np.random.default_rng(seed)
    amounts = random.normal(50, 20, count)
    countries = random.choice(["de", "fr", "us"], count)
    labels = (amounts + np.where(countries == "us", 25, 0) + random.normal(0, 8, count) > 60).astype(int)
    rows = [{"amount": float(a), "country": str(c)} for a, c in zip(amounts, countries, strict=True)]
    return rows, labels


def pack_small(store: Path, *, seed: int = 0, version: str | None = None) -> Any:
    """Train and pack one more version of the small model; another seed is another model."""
    from sklearn.linear_model import LogisticRegression

    import inprocml
    from inprocml import Category, Classes, Numeric, Transform

    rows, labels = make_rows(seed=seed)
    transform = Transform({"amount": Numeric(missing="median", scale="standard"), "country": Category()})
    estimator = LogisticRegression(C=1.0 / (1 + seed)).fit(transform.fit_transform(rows), labels)
    return inprocml.pack(
        store,
        transform=transform,
        model=estimator,
        output=Classes(["ok", "fraud"]),
        baseline=rows,
        labels=labels,
        metrics={"auc": 0.9},
        version=version,
    )


@pytest.fixture(scope="session")
def _packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("packed") / "fraud"
    pack_small(store)
    pack_small(store, seed=1)
    return store


@pytest.fixture
def store(_packed: Path, tmp_path: Path) -> Path:
    """A store with version 1 of the small model."""
    copy = tmp_path / "models" / "fraud"
    shutil.copytree(_packed / "1", copy / "1")
    return copy


@pytest.fixture
def add_version(_packed: Path, store: Path) -> Any:
    """A function that puts version 2, another model, into the store, atomically."""

    def add(name: str = "2") -> None:
        temporary = store / ".tmp-adding"
        shutil.copytree(_packed / "2", temporary)
        temporary.rename(store / name)

    return add


@pytest.fixture
def add_broken_version(_packed: Path, store: Path) -> Any:
    """A function that publishes a version 2 whose model was cut short on the way."""

    def add() -> None:
        temporary = store / ".tmp-adding"
        shutil.copytree(_packed / "2", temporary)
        model = temporary / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1])
        temporary.rename(store / "2")

    return add


def move_alias(store: Path, alias: str, version: str, *, digest: str | None = None) -> None:
    """Make ``alias`` mean ``version``, whatever a writer would have to say about it."""
    from inprocml.schema.canonical import sha256
    from inprocml.sources import Directory
    from inprocml.sources.history import HISTORY, Entry, Target, entry_name

    last = Directory(store).newest_entry()
    digest = digest or json.loads((store / version / "manifest.json").read_text())["digest"]
    entry = Entry(
        serial=1 if last is None else last.serial + 1,
        previous=None if last is None else f"sha256:{sha256(last.to_json())}",
        when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        who="test",
        why="",
        action="move",
        alias=alias,
        aliases={**({} if last is None else last.aliases), alias: Target(version=version, digest=digest)},
        trials={},
    )
    (store / HISTORY).mkdir(exist_ok=True)
    temporary = store / HISTORY / ".tmp"
    temporary.write_bytes(entry.to_json())
    temporary.rename(store / HISTORY / entry_name(entry.serial))


@pytest.fixture
def row() -> dict[str, Any]:
    """A row the small model accepts."""
    return {"amount": 80.0, "country": "us"}


def elsewhere(script: str) -> subprocess.CompletedProcess[str]:
    """Run ``script`` in another interpreter, to its end."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """Wait on an event nobody sets: the suite's only way to let time pass."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("the condition did not come true in time")


class Gate:
    """The real model behind a gate, as a model's ``backend``: once shut, a run waits until it is opened.

    ``loading`` is set when a bundle arrives; with ``slow`` it too waits for the gate.
    """

    def __init__(self, *, slow: bool = False) -> None:
        self.slow, self.shut = slow, False
        self.loading, self.entered, self.opened = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, bundle: Any) -> Any:
        from inprocml.backends import open_backend

        self.loading.set()
        if self.slow:
            assert self.opened.wait(30)
        return _Behind(self, open_backend("onnx", bundle.model, threads=1))


class _Behind:
    name, device = "gate", "cpu"

    def __init__(self, gate: Gate, real: Any) -> None:
        self.gate, self.real = gate, real

    def run(self, inputs: Any) -> Any:
        if self.gate.shut:
            self.gate.entered.set()
            assert self.gate.opened.wait(30)
        return self.real.run(inputs)

    def close(self) -> None:
        self.real.close()
