"""``make demo``: train on real flights, pack, serve under gunicorn, ask it 2,000 real questions.

Goes on serving until Ctrl-C; ``--once`` stops after the report.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLIENTS = 8
FLIGHTS = 2_000
THREADS = 8


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--once", action="store_true", help="stop after the report")
    arguments.add_argument("--port", type=int, default=0, help="default: 8000, or any free one")
    options = arguments.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="inprocml-demo-") as folder:
        store = Path(folder) / "models" / "late"
        rows, truth = _train(store)
        port = options.port or _free_port(8000)
        with _gunicorn(store, port) as server:
            _wait_until_ready(server, port)
            _report(rows, truth, port)
            print(f"  done in       {time.monotonic() - began:.0f} s")
            if not options.once:
                _serve_until_interrupted(server, port, rows[0])
    return 0


def _train(store: Path) -> tuple[list[dict[str, Any]], list[bool]]:
    from examples.flask_app import flights
    from examples.flask_app.train import train

    print("Training on 100,000 real flights out of New York, January to June 2013 ...", flush=True)
    began = time.monotonic()
    bundle = train(store)
    print(
        f"  packed        {bundle.name} version {bundle.version}: {bundle.transform.width} features, "
        f"AUC {bundle.manifest.metrics['auc']:.3f} on July to December ({time.monotonic() - began:.0f} s)"
    )
    print(f"  parity        trained and packed model differ by at most {bundle.parity.distance:.1e}")
    later = flights.split(flights.load())[1].sample(n=FLIGHTS, random_state=1)
    return flights.as_rows(later), later["late"].tolist()


@contextlib.contextmanager
def _gunicorn(store: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "gunicorn", "examples.flask_app.app:app", "--bind", f"127.0.0.1:{port}"]
    command += ["--workers", "1", "--threads", str(THREADS), "--log-level", "warning", "--keep-alive", "30"]
    server = subprocess.Popen(command, env={**os.environ, "LATE_MODEL": str(store)})
    try:
        yield server
    finally:
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=15)
        if server.poll() is None:
            server.kill()


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if _get(port, "/_ml/ready")[0] == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the server did not become ready; its messages are above")


def _report(rows: list[dict[str, Any]], truth: list[bool], port: int) -> None:
    print(
        f"Asking it {len(rows):,} flights of July to December from {CLIENTS} clients at once ...", flush=True
    )
    answers: list[tuple[bool, float]] = [(False, 0.0)] * len(rows)
    failures: list[str] = []
    clients = [
        threading.Thread(
            target=_client, args=(port, rows, range(first, len(rows), CLIENTS), answers, failures)
        )
        for first in range(CLIENTS)
    ]
    began = time.monotonic()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = time.monotonic() - began
    if failures:
        raise SystemExit(f"{len(failures)} of {len(rows)} requests failed; the first: {failures[0]}")
    right = sum(late == known for (late, _), known in zip(answers, truth, strict=True))
    took = sorted(1000 * duration for _, duration in answers)
    state = _get(port, "/_ml/ready")[1]["models"]["late"]
    print(
        f"  accuracy      {right / len(rows):.1%} (always saying 'on time': {1 - sum(truth) / len(rows):.1%})"
    )
    print(f"  requests/s    {len(rows) / seconds:,.0f}, clients and server sharing this machine")
    print(f"  latency       p50 {statistics.median(took):.1f} ms, p99 {took[int(len(took) * 0.99)]:.1f} ms")
    print(
        f"  mean batch    {state['rows'] / max(state['batches'], 1):.2f} rows (an idle model answers at once)"
    )


def _client(
    port: int,
    rows: list[dict[str, Any]],
    mine: range,
    answers: list[tuple[bool, float]],
    failures: list[str],
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for index in mine:
        body = json.dumps(rows[index])
        began = time.monotonic()
        try:
            connection.request("POST", "/late", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{type(error).__name__}: {error}")
            return
        if response.status != 200:
            failures.append(f"{response.status}: {answer}")
            return
        answers[index] = (answer["late"] == "late", time.monotonic() - began)


def _serve_until_interrupted(server: subprocess.Popen[bytes], port: int, row: dict[str, Any]) -> None:
    print(f"\nServing on http://127.0.0.1:{port}/ until Ctrl-C. Ask it yourself:")
    print(f"  curl -H 'Content-Type: application/json' -d '{json.dumps(row)}' http://127.0.0.1:{port}/late")
    with contextlib.suppress(KeyboardInterrupt):
        server.wait()


def _get(port: int, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise SystemExit("no free port on 127.0.0.1")


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit("\nstopped") from None
