"""A million rows take no more memory than a third of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks of memory are read from /proc")
@pytest.mark.parametrize("how", ["stream", "file"])
def test_memory_does_not_depend_on_the_number_of_rows(store, tmp_path, how):
    def peak(rows):
        run = subprocess.run(
            [sys.executable, "-m", "tests.bulk.measuring", str(store), str(rows), str(tmp_path), how],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=55,
        )
        return float(run.stdout)

    few, many = peak(300_000), peak(1_000_000)
    assert many - few < 32, (few, many)  # MiB; the answers alone would be 60 more, as predictions 500
