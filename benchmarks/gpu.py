"""The runner on an NVIDIA GPU: where batching pays most, because a launch costs as much as a row.

Without a GPU it says so and ends well: there is nothing to measure, and nothing is made up.

    python -m benchmarks.gpu
"""

from __future__ import annotations

import json
import statistics
import threading
from collections.abc import Callable
from typing import Any

from benchmarks.batching import batch_loop, closed_loop, lone, mlp
from benchmarks.machine import machine
from inprocml.backends.onnx import OnnxBackend
from inprocml.batching import Runner
from inprocml.errors import BackendMissing

ROUNDS, SECONDS = 3, 1.5


def measure() -> dict[str, Any]:
    """Return the figures of ``benchmarks.batching`` on CUDA, or ``{"skipped": why}``."""
    try:
        backend = OnnxBackend(mlp(), device="cuda")
    except BackendMissing as error:
        return {"skipped": f"no NVIDIA GPU that ONNX Runtime can use: {error}"}
    lock = threading.Lock()

    def locked(features: Any) -> Any:
        with lock:
            return backend.run(features)

    runner = Runner(backend, name="gpu")
    calls: dict[str, Callable[[Any], Any]] = {"lock": locked, "runner": runner.run}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in (*calls, "batch_32")}
    idle = lone({"bare": backend.run, "runner": runner.run})
    for _ in range(ROUNDS):
        for name, call in calls.items():
            rounds[name].append(closed_loop(call, SECONDS))
        rounds["batch_32"].append(batch_loop(backend, SECONDS))
    runner.close(5)
    return {
        "model": "MLP 64-1024-1024-10, ONNX Runtime CUDA",
        "device": backend.device,
        "lone_us": idle,
        "closed_loop_32_threads": {
            name: {key: round(statistics.median(turn[key] for turn in turns), 3) for key in turns[0]}
            for name, turns in rounds.items()
        },
    }


if __name__ == "__main__":
    figures = measure()
    if "skipped" in figures:
        print(f"SKIPPED: {figures['skipped']}")
    else:
        print(json.dumps({"machine": machine(), **figures}, indent=2))
