"""Swapping versions while serving: what requests notice, and what memory does.

Two parts. Under gunicorn with 2 workers x 8 threads, ``wrk`` asks at half of what the server can do; quiet
stretches and stretches in which an alias goes back and forth between two versions alternate, and every answer
is checked to be wholly one version's. In one process, a 200 MB model is swapped 50 times.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

import inprocml
from benchmarks.load import pack_megabytes
from benchmarks.views import gunicorn
from inprocml import Category, Classes, Numeric, Transform

WORKERS, THREADS, CONNECTIONS = 2, 8, 16
SECONDS, SWAPS, ROUNDS = 15, 25, 3  # SWAPS in each of the ROUNDS' busy stretches
LARGE_MB, LARGE_SWAPS = 200, 50
ROW = {"amount": 80.0, "country": "us"}


def measure() -> dict[str, Any]:
    """Return latency with and without swaps, failed and mixed answers, and memory over many swaps."""
    if shutil.which("wrk") is None:
        raise SystemExit("swaps: NOT MEASURED, wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        served = _served(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        large = _large(Path(folder))
    ratio = served["p99_ms"]["swapping"] / served["p99_ms"]["steady"]
    growth = large["rss_mb"]["after the last"] / large["rss_mb"]["after the first"]
    figures = [
        ("failed requests during swaps", served["failed"], "0", served["failed"] == 0),
        ("answers mixed of two versions", served["mixed"], "0", served["mixed"] == 0),
        ("p99 while swapping over steady p99", round(ratio, 2), "<= 1.5", ratio <= 1.5),
        (
            f"RSS after {LARGE_SWAPS} swaps of 200 MB over the first",
            round(growth, 3),
            "<= 1.1",
            growth <= 1.1,
        ),
    ]
    targets = [
        {"what": what, "measured": measured, "target": target, "met": met}
        for what, measured, target, met in figures
    ]
    return {"served": served, "large": large, "targets": targets}


def _served(folder: Path) -> dict[str, Any]:
    store = folder / "fraud"
    answers = {version: _pack(store, version, seed) for seed, version in enumerate(("1", "2"))}
    inprocml.Store(store).promote("1", alias="production")
    script = folder / "post.lua"
    environment = {"SWAPS_STORE": str(store)}
    row = json.dumps(ROW)
    with gunicorn("benchmarks.swaps:create_app()", environment, row, "/score", WORKERS, THREADS) as port:
        script.write_text(_lua(row, answers, 0))
        full = _wrk(port, script, 4)["requests_per_s"]
        delay = _delay(port, script, row, answers, full / 2)
        runs: dict[str, list[dict[str, float]]] = {"steady": [], "swapping": []}
        for _ in range(ROUNDS):
            runs["steady"].append(_wrk(port, script, SECONDS))
            stop = threading.Event()
            mover = threading.Thread(target=_move, args=(store, stop))
            mover.start()
            runs["swapping"].append(_wrk(port, script, SECONDS))
            stop.set()
            mover.join()
    middle = {
        key: {name: round(statistics.median(run[key] for run in taken), 2) for name, taken in runs.items()}
        for key in ("requests_per_s", "p50_ms", "p99_ms", "longest_ms")
    }
    everything = [run for taken in runs.values() for run in taken]
    return {
        "setup": f"gunicorn {WORKERS} x {THREADS} threads, wrk -c{CONNECTIONS}, {ROUNDS} x {SECONDS} s each",
        "capacity_requests_per_s": round(full),
        "delay_ms": delay,
        "moves": SWAPS * ROUNDS,
        "seen_versions": sorted({key for run in everything for key in ("1", "2") if run[f"of_{key}"]}),
        "failed": int(sum(run["errors"] for run in everything)),
        "mixed": int(sum(run["mixed"] for run in everything)),
        **middle,
    }


def create_app() -> Any:
    """Return the app that the first part serves."""
    import flask

    from inprocml.flask import predicts

    app = flask.Flask(__name__)
    model = inprocml.Model(os.environ["SWAPS_STORE"], alias="production", poll_interval=0.1)

    @app.post("/score")
    @predicts(model)
    def score(prediction: inprocml.Prediction) -> dict[str, object]:
        return {"model": prediction.version, "p": round(prediction.probability or 0.0, 4)}

    return app


def _pack(store: Path, version: str, seed: int) -> float:
    """Pack one version and return its answer for the row; each has another."""
    random = np.random.default_rng(seed)
    amounts, countries = random.normal(50, 20, 400), random.choice(["de", "fr", "us"], 400)
    labels = (amounts + np.where(countries == "us", 25, 0) > 60).astype(int)
    rows = [{"amount": float(a), "country": str(c)} for a, c in zip(amounts, countries, strict=True)]
    transform = Transform({"amount": Numeric(scale="standard"), "country": Category()})
    estimator = LogisticRegression(C=0.01 * 10**seed).fit(transform.fit_transform(rows), labels)
    inprocml.pack(
        store,
        transform=transform,
        model=estimator,
        output=Classes(["ok", "fraud"]),
        baseline=rows,
        version=version,
    )
    with inprocml.Model(store, version=version, threads=1) as model:
        return round(model.predict(ROW).probability or 0.0, 4)


def _move(store: Path, stop: threading.Event) -> None:
    kept = inprocml.Store(store)
    for count in range(SWAPS):
        kept.promote("21"[count % 2], alias="production", why="benchmark")
        if stop.wait(SECONDS / SWAPS):
            return


def _delay(port: int, script: Path, row: str, answers: dict[str, float], wanted: float) -> int:
    """Return the pause between requests of a connection, in ms, that comes nearest to ``wanted`` a second."""
    delay = max(round(1000 * CONNECTIONS / wanted), 1)
    for _ in range(8):
        script.write_text(_lua(row, answers, delay))
        found = _wrk(port, script, 3)["requests_per_s"]
        if abs(found / wanted - 1) < 0.05:
            break
        # what a request takes beside the pause is no part of the pause
        delay = max(round(delay + 1000 * CONNECTIONS * (1 / wanted - 1 / found)), 1)
    script.write_text(_lua(row, answers, delay))
    return delay


def _wrk(port: int, script: Path, seconds: int) -> dict[str, float]:
    address = f"http://127.0.0.1:{port}/score"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), address]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"FIGURES (.*)", output)
    if found is None:
        raise RuntimeError(f"wrk printed no figures: {output}")
    rate, p50, p99, longest, errors, one, two, mixed = map(float, found[1].split())
    return {
        "requests_per_s": rate,
        "p50_ms": p50 / 1000,
        "p99_ms": p99 / 1000,
        "longest_ms": longest / 1000,
        "errors": errors,
        "of_1": one,
        "of_2": two,
        "mixed": mixed,
    }


def _lua(body: str, answers: dict[str, float], delay: int) -> str:
    """A script that asks every ``delay`` ms on each connection, and sorts answers by version."""
    return f"""
wrk.method = "POST"
wrk.body = {json.dumps(body)}
wrk.headers["Content-Type"] = "application/json"
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init(args) one, two, mixed = 0, 0, 0 end
function delay() return {delay} end
function response(status, headers, body)
  if body:find('"model":"1"', 1, true) and body:find('"p":{answers["1"]}', 1, true) then one = one + 1
  elseif body:find('"model":"2"', 1, true) and body:find('"p":{answers["2"]}', 1, true) then two = two + 1
  else mixed = mixed + 1 end
end
done = function(summary, latency, requests)
  local errors = summary.errors
  local thread = threads[1]
  io.write(string.format("FIGURES %f %f %f %f %d %d %d %d\\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    thread:get("one"), thread:get("two"), thread:get("mixed")))
end
"""


def _large(folder: Path) -> dict[str, Any]:
    """Swap a large model in a process of its own, and return its memory in MB."""
    for version in ("1", "2"):
        pack_megabytes(folder / "large", LARGE_MB, version=version)
    code = f"import benchmarks.swaps as swaps; swaps.swap_large({str(folder / 'large')!r})"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(output)
    return found


def swap_large(store: str) -> None:
    """Print memory before, after the first load, the first and the last swap, and the most there ever was."""
    import onnxruntime  # noqa: F401 - what it costs by itself is not the model's

    figures = {"before": _rss()}
    model = inprocml.Model(store, version="1", threads=1)
    _forget_peak()
    model.predict({"x": 1.0})
    figures["loaded"], figures["peak of a load"] = _rss(), _rss("VmHWM")
    took, peaks = [], []
    for count in range(LARGE_SWAPS):
        _forget_peak()
        began = time.perf_counter()
        model.reload("21"[count % 2])
        took.append(time.perf_counter() - began)
        peaks.append(_rss("VmHWM"))
        model.predict({"x": 1.0})
        if count == 0:
            figures["after the first"] = _rss()
    figures["after the last"], figures["peak of a swap"] = _rss(), max(peaks)
    print(
        json.dumps(
            {"rss_mb": figures, "swap_ms": round(1000 * statistics.median(took)), "swaps": LARGE_SWAPS}
        )
    )


def _rss(what: str = "VmRSS") -> float:
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return round(int(found[1]) / 1024, 1) if found else 0.0


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
