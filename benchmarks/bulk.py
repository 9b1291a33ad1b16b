"""Files of rows through ``predict_many``, beside the loop that one would write by hand, and scikit-learn.

The flights model over one Parquet file, in interleaved rounds in one process; the median round counts. The
loop by hand reads, encodes, runs the session in batches of the same size, and writes the answers to a file;
it keeps no order to be gone on with, checks no versions and takes no turns with requests.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import inprocml
from benchmarks.classic import train_classic
from examples.flask_app import flights
from examples.flask_app.train import train

ROUNDS, ROWS, BATCH, READ = 7, 200_000, 1024, 4096
HAND, FILE, STREAM, CLASSIC = "by hand", "predict_many(to=)", "predict_many, predictions", "scikit-learn"


def measure() -> dict[str, Any]:
    """Return rows per second of each way over the same file."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> dict[str, Any]:
    store, path = folder / "late", folder / "rows.parquet"
    train(store)
    classic = train_classic()
    later = flights.split(flights.load())[1]
    frame = later.sample(n=ROWS, replace=True, random_state=3).reset_index(drop=True)
    frame.to_parquet(path, row_group_size=50_000)
    model = inprocml.Model(store, max_batch_size=BATCH)
    bundle = inprocml.Bundle.open(next(iter(sorted(store.iterdir()))))
    session = _session(bundle.model)
    ways: dict[str, Callable[[Path], int]] = {
        HAND: lambda out: _by_hand(bundle, session, path, out),
        FILE: lambda out: model.predict_many(path, to=out).rows,
        STREAM: lambda _: sum(1 for _ in model.predict_many(path)),
        CLASSIC: lambda _: len(classic.predict_proba(pd.read_parquet(path))),
    }
    model.predict_many(frame[:BATCH])
    rounds = _interleaved(ways, folder)
    model.close()
    return _report(rounds)


def _interleaved(ways: dict[str, Callable[[Path], int]], folder: Path) -> dict[str, list[float]]:
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        for name, way in ways.items():
            out = folder / f"{number}-{len(rounds[name])}-{name[:2]}.parquet"
            began = time.perf_counter()
            rows = way(out)
            rounds[name].append(rows / (time.perf_counter() - began))
            out.unlink(missing_ok=True)
    return rounds


def _by_hand(bundle: inprocml.Bundle, session: Any, path: Path, out: Path) -> int:
    name, rows = session.get_inputs()[0].name, 0
    labels = pa.array(list(bundle.output.labels))  # type: ignore[union-attr]
    writer = None
    for batch in pq.ParquetFile(path).iter_batches(READ):
        features = bundle.transform.transform(batch)
        parts = [features[start : start + BATCH] for start in range(0, len(features), BATCH)]
        scores = np.concatenate([session.run([bundle.output.tensor], {name: part})[0] for part in parts])
        table = pa.table({"value": labels.take(pa.array(scores.argmax(axis=1))), "p": scores.max(axis=1)})
        writer = writer or pq.ParquetWriter(out, table.schema)
        writer.write_table(table)
        rows += len(scores)
    if writer is not None:
        writer.close()
    return rows


def _report(rounds: dict[str, list[float]]) -> dict[str, Any]:
    hand, classic = (
        statistics.median(ours / theirs for ours, theirs in zip(rounds[FILE], rounds[other], strict=True))
        for other in (HAND, CLASSIC)
    )
    return {
        "rows_per_s": {name: round(statistics.median(rates)) for name, rates in rounds.items()},
        "rows": ROWS,
        "batch": BATCH,
        "targets": [
            {
                "what": "a Parquet file into a file of answers, rows/s over the loop by hand",
                "measured": f"{hand:.2f} times",
                "target": ">= 0.9 times",
                "met": hand >= 0.9,
            },
            {
                "what": "the same over scikit-learn's predict_proba of the file in memory",
                "measured": f"{classic:.1f} times",
                "target": ">= 2 times",
                "met": classic >= 2,
            },
        ],
    }


def _session(model: bytes) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    print(measure())
