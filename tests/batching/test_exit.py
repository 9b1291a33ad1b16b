"""An interpreter that ends must end, whatever the runner is doing, and without a word."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import atexit, gc, os, sys, threading, time
import numpy as np
from inprocml.batching import Runner
from inprocml.testing import FakeBackend

def x(value=1.0): return {"x": np.full((1, 1), value, np.float32)}

def contend(runner, backend):
    with backend.hold():
        first = threading.Thread(target=runner.run, args=(x(),)); first.start(); backend.wait_running()
        second = threading.Thread(target=runner.run, args=(x(),)); second.start()
        while not runner.depth: time.sleep(0.001)
    first.join(); second.join()

backend = FakeBackend()
runner = Runner(backend)
"""

ENDINGS = {
    "parked worker": "contend(runner, backend)",
    "parked worker, sys.exit": "contend(runner, backend); sys.exit(0)",
    "worker never started": "runner.run(x())",
    "closed": "contend(runner, backend); runner.close()",
    "a batch in progress, daemon callers": """
        hold = backend.hold(); hold.__enter__()
        for _ in range(3):
            threading.Thread(target=runner.run, args=(x(),), daemon=True).start()
        backend.wait_running()
        """,
    "a call from an exit handler": """
        atexit.register(lambda: print(runner.run(x(5.0)).outputs["x"].item(), file=sys.stderr))
        contend(runner, backend)
        """,
    "in a forked child": """
        contend(runner, backend)
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            sys.exit(os.waitstatus_to_exitcode(status))
        mine = FakeBackend(); own = Runner(mine); contend(own, mine)
        del runner; gc.collect()
        """,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends(ending):
    code = PRELUDE + textwrap.dedent(ENDINGS[ending])
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ("5.0\n" if "handler" in ending else "")
