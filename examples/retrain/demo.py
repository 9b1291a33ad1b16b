"""The whole loop, without a person: ``python -m examples.retrain.demo``, some 20 seconds.

Four days of orders are counted as if they had passed; all else is real: an application that answers and takes
labels, ``inprocml watch`` beside it, a training, a check, a promotion, and the swap in the running process.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from examples.retrain.world import orders, train
from inprocml import Bundle, Model, Store
from inprocml.monitoring import Monitor, Monitoring, layout_of

PATIENCE = 30.0


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="inprocml-retrain-") as folder:
        home = Path(folder)
        bundle = train(str(home / "fraud"), *orders(4_000, seed=0))
        Store(home / "fraud").promote(bundle.version, why="the first", who="demo")
        pass_days(bundle, home / "counts")
        print(f"version {bundle.version} has served for four days; since this morning amounts are others")
        with application(home) as port:
            before = answer(port, 1_500, seed=7)
            time.sleep(2.5)  # the last rows and labels reach the disk
            subprocess.run(watch(home), check=False)
            wait_for(port, "2")
            after = answer(port, 300, seed=8)
        print(f"right answers: {before:.1%} before, {after:.1%} after; the application never stopped")
        for entry in Store(home / "fraud").history():
            print(f"{entry.who}: {entry.why}")
    return 0 if after > before else 1


def pass_days(bundle: Bundle, counts: Path) -> None:
    """Count four days of usual orders and half a day of the others, as a server would have, in the past."""
    now = time.time() - 4.5 * 86_400

    def clock() -> float:
        return now

    monitor = Monitor(
        layout_of(bundle.baseline),
        model=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        inputs=bundle.transform.columns,
        outputs=dict,
        settings=Monitoring(folder=counts),
        clock=clock,
    )
    random = np.random.default_rng(1)
    with Model(bundle.path, monitoring=False) as model:
        for rows, hours, steps in (
            (orders(4_000, seed=2)[0], 96, 500),
            (orders(4_000, seed=3, changed=True)[0], 12, 60),
        ):
            told = [list((each.probabilities or {}).values()) for each in model.predict_many(rows)]
            p = np.array(told)
            for _ in range(steps):
                now += hours * 3_600 / steps
                some = random.integers(0, len(rows), 100)
                columns = {f"probability[{place}]": p[some, place] for place in range(2)}
                monitor.saw_table([rows[place] for place in some], [columns])
                monitor.look()
    monitor.close()


def watch(home: Path) -> list[str]:
    """Return the command that a machine runs all day, without ``--once``."""
    look = [sys.executable, "-m", "inprocml", "watch", f"{home / 'fraud'}@production"]
    look += ["--counts", str(home / "counts"), "--once"]
    return [*look, "--on-drift", sys.executable, "-m", "examples.retrain.retrain", str(home)]


@contextlib.contextmanager
def application(home: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "examples.retrain.app", str(port)]
    server = subprocess.Popen(
        command,
        env={**os.environ, "FRAUD_HOME": str(home)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(port, "1")
        yield port
    finally:
        server.terminate()
        server.wait()


def answer(port: int, count: int, *, seed: int) -> float:
    """Ask about orders of today, and tell the truth about them; return the share of right answers."""
    rows, truth = orders(count, seed=seed, changed=True)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    right = 0
    for row, label in zip(rows, truth, strict=True):
        said = ask(connection, "/score", row)
        right += said["answer"] == label
        ask(connection, f"/label/{said['id']}", {"label": label})
    connection.close()
    return right / count


def ask(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> Any:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())


def wait_for(port: int, version: str) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/version")
            if json.loads(connection.getresponse().read()) == {"version": version}:
                return
        time.sleep(0.1)
    raise SystemExit(f"version {version} does not answer")


if __name__ == "__main__":
    raise SystemExit(main())
