"""Batching against everybody else's, in one run: the same models, the same cores, rounds in turns, medians.

Two models in ONNX Runtime with one thread: an MLP 64-1024-1024-10 (some 50 us a row) and 64-2048x4-10 (some
2 ms). Closed loop: 32 and 128 callers that never pause; every contestant may batch as many rows as there are
callers, and runs in a child process of its own environment (``make rivals``), which measures the ceiling
(``session.run`` at that batch, in a loop) in the same minute: ratios are taken inside one process. A lone
caller: call by call beside the bare run, and after 5 ms of idleness. Open loop: Poisson arrivals at shares of
the measured capacity of the 2 ms model, dispatch as soon as the device is idle against fixed lingers, with
the same arrivals for each.

    python -m benchmarks.batching            # 12 minutes
    python -m benchmarks.batching --quick    # 2 minutes, one round: whether it runs, not how well
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.mlp import mlp
from benchmarks.rivals.contestants import CONTESTANTS, ask, ask_child
from benchmarks.rivals.verdicts import closed_targets, medians, open_targets

__all__ = ["measure"]

MODELS = {"mlp": (64, 1024, 1024, 10), "slow": (64, 2048, 2048, 2048, 2048, 10)}
OPEN_PATIENCE = 400.0  # seconds for one round of the open loop

FULL: dict[str, Any] = {
    "rounds": 3,
    "closed": {"callers": [32, 128], "seconds": 0.6, "ceiling_seconds": 0.2, "lone_seconds": 0.3},
    "open": {
        "lingers_ms": [1, 2, 5, 10, 20, 50],
        "seconds": {"2": 3.0, "10": 2.0, "30": 1.6, "50": 1.6, "70": 1.6, "90": 1.6, "97": 1.6},
    },
}
QUICK: dict[str, Any] = {
    "rounds": 1,
    "closed": {"callers": [32], "seconds": 0.3, "ceiling_seconds": 0.1, "lone_seconds": 0.12},
    "open": {"lingers_ms": [1, 10], "seconds": {"2": 2.0, "30": 1.0, "70": 1.0, "97": 1.0}},
}


def measure(extent: dict[str, Any] = FULL) -> dict[str, Any]:
    """Return the figures of all contestants, those that could not be measured and why, and the verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name, sizes in MODELS.items():
            path = Path(folder) / f"{name}.onnx"
            path.write_bytes(mlp(sizes))
            paths[name] = str(path)
        closed, absent, opened = _rounds(extent, paths)
    figures = {name: medians(turns) for name, turns in closed.items()}
    loads = medians(opened)
    return {
        "model": "MLP 64-1024-1024-10, ONNX Runtime CPU, 1 intra-op thread",
        "slow_model": "MLP 64-2048-2048-2048-2048-10, likewise",
        "rounds": extent["rounds"],
        "contestants": figures,
        "not_measured": absent,
        "open_loop": loads,
        "targets": closed_targets(figures, extent["closed"]["callers"]) + open_targets(loads["loads"]),
    }


def _rounds(
    extent: dict[str, Any], paths: dict[str, str]
) -> tuple[dict[str, list[Any]], dict[str, str], list[Any]]:
    closed: dict[str, list[Any]] = {}
    absent: dict[str, str] = {}
    opened = []
    for turn in range(extent["rounds"]):
        for one in CONTESTANTS:
            if one.name in absent:
                continue
            figures = ask(one, {"models": paths, **extent["closed"]})
            if "failed" in figures:
                absent[one.name] = figures["failed"]
                closed.pop(one.name, None)
                print(f"  not measured: {one.name}: {figures['failed']}", flush=True)
            else:
                closed.setdefault(one.name, []).append(figures)
        order = {"model": paths["slow"], "seed": turn, **extent["open"]}
        figures = ask_child("open_loop", "", order, OPEN_PATIENCE)
        if "failed" in figures:
            raise RuntimeError(f"the open loop failed: {figures['failed']}")
        opened.append(figures)
    return closed, absent, opened


def show(report: dict[str, Any]) -> None:
    """Print a line for each contestant and each load."""
    for name, figures in report["contestants"].items():
        for model in MODELS:
            parts = [f"{name:52} {model:4} lone +{figures[model]['lone']['over_bare_us']:.0f} us"]
            parts += [
                f"{size}: {seen['rows_per_second']:,.0f}/s = {seen['of_ceiling']:.2f} of the ceiling, "
                f"p99 {seen['p99_batches']:.1f} batches, {seen['cpu_us_per_row']:.0f} us/row"
                for size, seen in figures[model].items()
                if size != "lone"
            ]
            print("; ".join(parts))
    for load, policies in report["open_loop"]["loads"].items():
        parts = [f"{name} {seen['p50_ms']:.1f}/{seen['p99_ms']:.1f}" for name, seen in policies.items()]
        print(f"{load:>3} % load, p50/p99 ms: {', '.join(parts)}")


if __name__ == "__main__":
    found = measure(QUICK if "--quick" in sys.argv else FULL)
    show(found)
    print(json.dumps({"machine": machine(), "targets": found["targets"]}, indent=2))
