"""What a forked child finds: locks that are free, a torch that does not hang."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

LOCK = """
import os, threading
from inprocml.backends.locks import ProcessLock
lock, held, done = ProcessLock(), threading.Event(), threading.Event()
def hold():
    with lock:
        held.set(); done.wait(60)
threading.Thread(target=hold, daemon=True).start()
held.wait(60)
child = os.fork()
if child == 0:
    with lock:
        os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
done.set()
"""

TORCH = """
import os, sys, numpy as np, torch
from safetensors.torch import save
from inprocml.backends.torch import TorchBackend, register
make = lambda: torch.nn.Sequential(torch.nn.Linear(512, 2048), torch.nn.ReLU(), torch.nn.Linear(2048, 512))
register("net", make)
weights = save(make().state_dict())
rows = np.ones((256, 512), np.float32)
parent = TorchBackend("net", weights, threads=2)
expected = parent.run({"features": rows})["output"]
child = os.fork()
if child == 0:
    found = TorchBackend("net", weights, threads=2).run({"features": rows})["output"]
    assert np.allclose(found, expected, atol=1e-4)
    assert torch.get_num_threads() == 1
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert torch.get_num_threads() == 2
"""


@pytest.mark.parametrize("script", [LOCK, TORCH], ids=["a lock held at the fork", "a warm torch"])
def test_a_child_goes_on(script):
    # A hang is what would fail here; the limit is far above what the work takes.
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_process_lock_excludes():
    from inprocml.backends.locks import ProcessLock

    lock, inside, most = ProcessLock(), [0], [0]

    def work():
        for _ in range(200):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
