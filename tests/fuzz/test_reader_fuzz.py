"""A short run of every fuzz target: nothing but the package's own errors leaves a reader. Longer on demand.

``FUZZ_SECONDS`` says how long each runs (``make fuzz-reader SECONDS=3600``). atheris needs a process of its
own: it instruments bytecode, takes signals, and ends the process that it runs in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = int(os.environ.get("FUZZ_SECONDS", "5"))
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("target", ["whole", "archive", "manifest", "history", "onnx"])
def test_nothing_but_a_refusal_leaves_a_reader(target, store, tmp_path):
    pytest.importorskip("atheris", reason="atheris is not installed here (Linux only)")
    options = ["-timeout=20", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"]
    options += [f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/"]
    found = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.targets", target, str(store / "1"), *options],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        timeout=SECONDS + 100,
        check=False,
    )
    told = (found.stdout + found.stderr).decode("utf-8", "replace")
    print(told[-3000:])
    assert found.returncode == 0, told[-6000:]
    executed = [line for line in told.splitlines() if "number_of_executed_units" in line]
    assert int(executed[-1].split()[-1]) > 20


def test_the_target_notices_what_is_no_refusal(store, tmp_path):
    """The alarm itself: a reader that raises anything else, or writes outside, ends its run."""
    pytest.importorskip("atheris", reason="atheris is not installed here (Linux only)")
    for fault in ("1 / 0", f"open({str(tmp_path / 'outside')!r}, 'w')"):
        script = (
            f"import sys; sys.argv = ['x', 'bad', {str(store / '1')!r}, '-runs=10']\n"
            "from tests.fuzz import targets\n"
            "targets.seeds = lambda name, folder: [b'[]']\n"
            f"targets.TARGETS['bad'] = lambda content: {fault}\n"
            "targets.main()"
        )
        found = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            capture_output=True,
            timeout=100,
            check=False,
        )
        assert found.returncode != 0
        assert b"ZeroDivisionError" in found.stdout or b"ESCAPED" in found.stderr
        assert not (tmp_path / "outside").exists()
