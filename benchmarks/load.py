"""What opening a bundle costs: verify every byte, build, replay the golden rows."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

import inprocml
from inprocml import Numeric, Regression, Transform

ROUNDS = 5


def measure() -> dict[str, Any]:
    """Return milliseconds to a first prediction from a 5 MB and a 100 MB bundle, beside sha256 alone."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in (5, 100):
            store = Path(folder) / f"mb{megabytes}"
            pack_megabytes(store, megabytes)
            with inprocml.Model(store, threads=1) as model:
                model.predict({"x": 1.0})
            figures[f"{megabytes} MB"] = _measure(store)
    limits = {"5 MB": 60, "100 MB": 400}
    targets = [
        {
            "what": f"verify and load {size}, to the first prediction",
            "measured": f"{figures[size]['first prediction']} ms",
            "target": f"<= {limit} ms",
            "met": figures[size]["first prediction"] <= limit,
        }
        for size, limit in limits.items()
    ]
    return {"ms": figures, "targets": targets}


def _measure(store: Path) -> dict[str, float]:
    loads, hashes = [], []
    single = inprocml.Bundle.open(store / "1").save(store.with_suffix(".inprocml"))
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for file in sorted((store / "1").iterdir()):
            hashlib.sha256(file.read_bytes()).digest()
        hashes.append(1000 * (time.perf_counter() - began))
        model = inprocml.Model(store, threads=1)
        began = time.perf_counter()
        model.predict({"x": 1.0})
        loads.append(1000 * (time.perf_counter() - began))
        model.close()
    return {
        "read and hash": round(statistics.median(hashes), 1),
        "first prediction": round(statistics.median(loads), 1),
        "open folder": _opening(store / "1"),
        "open single file": _opening(single),
    }


def _opening(path: Path) -> float:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        inprocml.Bundle.open(path)
        took.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(took), 1)


def pack_megabytes(store: Path, megabytes: int, *, version: str | None = None) -> None:
    """Pack a regression whose weights take that many megabytes."""
    hidden = megabytes * 1_000_000 // 4 // 1001
    random = np.random.default_rng(0)
    weights = {
        "w1": random.normal(size=(1, hidden)).astype(np.float32),
        "w2": (random.normal(size=(hidden, 1000)) / hidden).astype(np.float32),
        "w3": random.normal(size=(1000, 1)).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "w1"], ["h"]),
            helper.make_node("MatMul", ["h", "w2"], ["g"]),
            helper.make_node("MatMul", ["g", "w3"], ["y"]),
        ],
        "load",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    rows = [{"x": float(x)} for x in range(50)]
    inprocml.pack(
        store,
        transform=Transform({"x": Numeric(scale="standard")}).fit(rows),
        model=model.SerializeToString(),
        output=Regression(),
        baseline=rows,
        version=version,
    )
