"""The loop of retraining, with real processes: drift, training, check, promotion, swap, and no person."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from examples.retrain import retrain
from examples.retrain.world import orders, train
from inprocml import Store
from inprocml.monitoring import DriftEvent, Reference
from inprocml.monitoring.verdict import Action

ROOT = Path(__file__).parents[2]


def test_a_running_application_gets_a_version_that_knows_the_new_world():
    done = subprocess.run(
        [sys.executable, "-m", "examples.retrain.demo"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the application never stopped" in done.stdout
    assert "amount" in done.stdout.partition("retrain: drift")[2]


def test_too_few_labelled_rows_promote_nothing(tmp_path, monkeypatch, capsys):
    bundle = train(str(tmp_path / "fraud"), *orders(300, seed=0))
    store = Store(tmp_path / "fraud")
    store.promote(bundle.version)
    event = DriftEvent("a", Action.OPENED, "fraud", bundle.version, Reference.TRAIN, 2.0, 1.0, ())
    monkeypatch.setattr(sys, "stdin", io.StringIO(event.to_json()))
    monkeypatch.setattr(sys, "argv", ["retrain", str(tmp_path)])
    assert retrain.main() == 1
    assert "too few" in capsys.readouterr().out
    assert store.alias("production").name == bundle.version
    assert len(store.versions()) == 1
