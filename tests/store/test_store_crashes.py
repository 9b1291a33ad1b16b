"""A writer killed at any step leaves what was there or what was to be, whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.store.kit import put

from inprocml import Store

ROOT = Path(__file__).parents[2]
FEWEST = {"publish": 20, "promote": 9, "first": 9, "rollback": 9, "remove": 9}


@pytest.mark.parametrize("when", ["before", "halfway", "after"])
@pytest.mark.parametrize("deed", FEWEST)
def test_a_kill_at_any_step_tears_nothing(tmp_path, _packed, deed, when):
    store = tmp_path / "late"
    for auc in (0.8, 0.9):
        put(store, _packed / "1", metrics={"auc": auc})
    for version in () if deed == "first" else ("1", "2", "1"):
        Store(store).promote(version)
    run = subprocess.run(
        [sys.executable, "-m", "tests.store.crashing", str(store), str(_packed / "1"), deed, when],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= FEWEST[deed]
