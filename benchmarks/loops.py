"""One process: a closed loop of threads, batches in a loop, and a lone caller; and the MLP in ONNX."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from inprocml.backends.onnx import OnnxBackend

__all__ = ["batch_loop", "closed_loop", "lone", "mlp"]

CALLERS = 32
LONE_ROUNDS = 30
LONE_CALLS = 300


def mlp(sizes: tuple[int, ...] = (64, 1024, 1024, 10), seed: int = 7) -> bytes:
    """Build the network as ONNX bytes: MatMul, Add, Relu, seeded."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    nodes, weights, at = [], [], "features"
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        last = i == len(sizes) - 2
        weight = (rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)).astype(np.float32)
        weights += [numpy_helper.from_array(weight, f"w{i}")]
        weights += [numpy_helper.from_array(np.zeros(fan_out, np.float32), f"b{i}")]
        out = "scores" if last else f"a{i}"
        nodes += [helper.make_node("MatMul", [at, f"w{i}"], [f"m{i}"])]
        nodes += [helper.make_node("Add", [f"m{i}", f"b{i}"], [out if last else f"h{i}"])]
        if not last:
            nodes += [helper.make_node("Relu", [f"h{i}"], [out])]
        at = out
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", sizes[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", sizes[-1]])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    content: bytes = model.SerializeToString()
    return content


def closed_loop(call: Callable[[Any], Any], seconds: float, callers: int = CALLERS) -> dict[str, float]:
    """Let ``callers`` threads call without a pause: rows/s, latency percentiles in ms, CPU per row in us."""
    rng = np.random.default_rng(1)
    start = threading.Barrier(callers + 1)
    latencies: list[list[float]] = [[] for _ in range(callers)]
    stop = False

    def caller(mine: list[float], features: dict[str, Any]) -> None:
        clock = time.perf_counter
        start.wait()
        while not stop:
            began = clock()
            call(features)
            mine.append(clock() - began)

    threads = [
        threading.Thread(
            target=caller, args=(mine, {"features": rng.standard_normal((1, 64)).astype(np.float32)})
        )
        for mine in latencies
    ]
    for thread in threads:
        thread.start()
    start.wait()
    began, cpu = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    stop = True
    for thread in threads:
        thread.join()
    took, burnt = time.perf_counter() - began, time.process_time() - cpu
    flat = np.concatenate([np.asarray(mine) for mine in latencies]) * 1e3
    return {
        "rows_per_second": len(flat) / took,
        "p50_ms": float(np.percentile(flat, 50)),
        "p99_ms": float(np.percentile(flat, 99)),
        "cpu_us_per_row": burnt / len(flat) * 1e6,
    }


def batch_loop(backend: OnnxBackend, seconds: float, rows: int = 32) -> dict[str, float]:
    """Run batches of 32 from one thread: the most the model gives."""
    features = {"features": np.random.default_rng(2).standard_normal((rows, 64)).astype(np.float32)}
    done, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        backend.run(features)
        done += rows
    took, burnt = time.perf_counter() - began, time.process_time() - cpu
    return {"rows_per_second": done / took, "cpu_us_per_row": burnt / done * 1e6}


def lone(calls: dict[str, Callable[[Any], Any]]) -> dict[str, float]:
    """Median microseconds of one call from one thread, the contestants taking turns call by call."""
    features = {"features": np.random.default_rng(3).standard_normal((1, 64)).astype(np.float32)}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    clock = time.perf_counter
    for _ in range(LONE_ROUNDS):
        for _ in range(LONE_CALLS):
            for name, call in calls.items():
                began = clock()
                call(features)
                samples[name].append(clock() - began)
    return {name: round(statistics.median(taken) * 1e6, 2) for name, taken in samples.items()}
