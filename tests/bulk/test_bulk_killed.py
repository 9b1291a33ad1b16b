"""Killed at any step, a run that writes a file goes on when it is called again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import make_rows

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("when", ["before", "after", "halfway"])
def test_killed_at_every_step(store, tmp_path, when):
    rows, _ = make_rows(300)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=77)
    run = subprocess.run(
        [sys.executable, "-m", "tests.bulk.dying", str(store), str(tmp_path), when],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 40
