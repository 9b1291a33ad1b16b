"""The Flask example against the classic view, both under gunicorn with the same workers and threads.

Loaded by ``wrk`` (Debian package) on the same machine, in interleaved runs; medians. Without ``wrk`` it
says so and measures nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.classic import save
from examples.flask_app import flights
from examples.flask_app.train import train

WORKERS, THREADS = 2, 4
CONNECTIONS, SECONDS, ROUNDS = 16, 8, 3


def measure() -> dict[str, Any]:
    """Return requests/s and latency of both views, side by side."""
    if shutil.which("wrk") is None:
        raise SystemExit("views: NOT MEASURED, wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        store, pickled = Path(folder) / "late", Path(folder) / "classic.joblib"
        train(store)
        save(pickled)
        row = json.dumps(flights.as_rows(flights.split(flights.load())[1].sample(n=1, random_state=3))[0])
        script = Path(folder) / "post.lua"
        script.write_text(_lua(row))
        servers = {
            "inprocml": ("examples.flask_app.app:app", {"LATE_MODEL": str(store)}),
            "classic": ("benchmarks.classic:create_app()", {"CLASSIC_MODEL": str(pickled)}),
        }
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, (app, environment) in servers.items():
                with gunicorn(app, environment, row, "/late", WORKERS, THREADS) as port:
                    _wrk(port, script, seconds=2)
                    runs[name].append(_wrk(port, script, seconds=SECONDS))
    return _report(runs)


def _report(runs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    middle = {
        name: {key: round(statistics.median(run[key] for run in taken), 2) for key in taken[0]}
        for name, taken in runs.items()
    }
    faster = middle["inprocml"]["requests_per_s"] / middle["classic"]["requests_per_s"]
    tail = middle["classic"]["p99_ms"] / middle["inprocml"]["p99_ms"]
    return {
        "setup": f"gunicorn {WORKERS} workers x {THREADS} threads, wrk -c{CONNECTIONS} -d{SECONDS}s",
        "views": middle,
        "ratio": {"requests_per_s": round(faster, 1), "p99": round(tail, 1)},
        "targets": [],  # the figures stand side by side in the README; no number was promised
    }


def _wrk(port: int, script: Path, *, seconds: int) -> dict[str, float]:
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}/late",
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"FIGURES (\S+) (\S+) (\S+) (\S+)", output)
    if found is None:
        raise RuntimeError(f"wrk printed no figures: {output}")
    rate, p50, p99, errors = map(float, found.groups())
    if errors:
        raise RuntimeError(f"{errors:.0f} requests failed")
    return {"requests_per_s": rate, "p50_ms": p50 / 1000, "p99_ms": p99 / 1000}


def _lua(body: str) -> str:
    return f"""
wrk.method = "POST"
wrk.body = {json.dumps(body)}
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("FIGURES %f %f %f %d\\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@contextlib.contextmanager
def gunicorn(
    app: str, environment: dict[str, str], row: str, path: str, workers: int, threads: int
) -> Iterator[int]:
    """Serve ``app`` and yield its port once every worker has answered ``row`` at ``path``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", app, "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    command += ["--workers", str(workers), "--threads", str(threads), "--keep-alive", "30"]
    # Both get the same thread budget: one core a worker.
    environment = {**os.environ, **environment, "WEB_CONCURRENCY": str(workers), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, env=environment)
    try:
        for _ in range(20):
            _until_it_answers(port, row, path)
        yield port
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)


def _until_it_answers(port: int, row: str, path: str) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", path, row, {"Content-Type": "application/json"})
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("the server did not answer")


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
