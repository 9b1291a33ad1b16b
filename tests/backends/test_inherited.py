"""A session inherited through a fork is never freed by the child: that would hang it for ever."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# ``raw_fork`` is what uWSGI does: Python's fork hooks do not run.
PREAMBLE = """
import ctypes, gc, os, sys
import inprocml
store, row = sys.argv[1], {"amount": 80.0, "country": "us"}
raw_fork = ctypes.PyDLL(None).fork
def wait(child):
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, status
model = inprocml.Model(store, threads=2)
model.predict(row)
"""

CASES = {
    "dropped in the child": "del model; gc.collect(); os._exit(0)",
    "left to the interpreter's end": "sys.exit(0)",
    "used, reloaded, then left": "model.predict(row); model.reload(); model.close(); sys.exit(0)",
    "closed in the child": "model.close(); gc.collect(); sys.exit(0)",
}


@pytest.mark.parametrize("fork", ["os.fork", "raw_fork"])
@pytest.mark.parametrize("case", CASES)
def test_a_child_ends(store, case, fork):
    script = f"{PREAMBLE}child = {fork}()\nif child == 0:\n    {CASES[case]}\nwait(child)\n"
    # A hang is what would fail here; the limit is far above what the work takes.
    done = subprocess.run(
        [sys.executable, "-c", script, str(store)], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
