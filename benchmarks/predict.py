"""What one ``predict(row)`` of the flights model costs, part by part, beside the classic ways.

Everything runs in one process on one thread, in interleaved rounds; the median round counts.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import inprocml
from benchmarks.classic import train_classic
from examples.flask_app import flights
from examples.flask_app.train import train
from inprocml.web import parse_row

ROUNDS, CALLS = 15, 300
CLASSIC = "scikit-learn pipeline, from the row"


def measure() -> dict[str, Any]:
    """Return microseconds per call of each path over the same 300 flights."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "late"
        train(store)
        classic = train_classic()
        return _measure(store, classic)


def _measure(store: Path, classic: Any) -> dict[str, Any]:
    later = flights.split(flights.load())[1].sample(n=CALLS, random_state=2)
    rows = flights.as_rows(later)
    bundle = inprocml.Bundle.open(next(iter(sorted(store.iterdir()))))
    model = inprocml.Model(store, threads=1)
    model.predict(rows[0])
    session = _session(bundle.model)
    features = [bundle.transform.transform_one(row).reshape(1, -1) for row in rows]
    frames = [pd.DataFrame([row]) for row in rows]
    bodies = [json.dumps(row).encode() for row in rows]
    outputs = [output.name for output in session.get_outputs()]
    name = session.get_inputs()[0].name
    paths: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        "session.run alone": (lambda x: session.run(outputs, {name: x}), features),
        "transform_one": (bundle.transform.transform_one, rows),
        "predict(row)": (model.predict, rows),
        "json bytes -> predict -> json": (lambda body: _through_json(model, body), bodies),
        "scikit-learn pipeline, ready frame": (classic.predict_proba, frames),
        CLASSIC: (lambda row: classic.predict_proba(pd.DataFrame([row])), rows),
    }
    times = _interleaved(paths)
    model.close()
    return _report(times)


def _interleaved(paths: dict[str, tuple[Callable[[Any], Any], list[Any]]]) -> dict[str, float]:
    rounds: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(ROUNDS):
        for name, (call, inputs) in paths.items():
            few = inputs if "scikit" not in name else inputs[:10]
            began = time.perf_counter()
            for value in few:
                call(value)
            rounds[name].append(1e6 * (time.perf_counter() - began) / len(few))
    return {name: round(statistics.median(taken), 2) for name, taken in rounds.items()}


def _report(times: dict[str, float]) -> dict[str, Any]:
    ours = times["predict(row)"]
    return {
        "us_per_call": times,
        "ratio": {f"{CLASSIC} / predict(row)": round(times[CLASSIC] / ours)},
        "targets": [
            {
                "what": "predict(row), flights model, in all",
                "measured": f"{ours} us",
                "target": "<= 60 us",
                "met": ours <= 60,
            }
        ],
    }


def _through_json(model: inprocml.Model, body: bytes) -> bytes:
    prediction = model.predict(parse_row(body))
    return json.dumps({"late": prediction.value, "p": prediction.probability}).encode()


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    np.set_printoptions(precision=2)
    print(json.dumps(measure(), indent=2))
